#include "identity/server/agent_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_store.h"

namespace countersign::server {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

const std::string kSerialA(40, 'a');
const std::string kSerialB(40, 'b');
const WallTime kNow = *ParseTime("2026-01-31T12:00:00.000Z");

class AgentDirectoryTest : public testing::Test {
 protected:
  std::string MakeToken(const std::string& node, std::chrono::nanoseconds ttl = 0s) {
    auto token = directory_.CreateToken({node, ttl, "unix:root"}, kNow);
    EXPECT_TRUE(token.ok()) << token.status();
    return token.ok() ? token->token : "";
  }
  StatusOr<TokenGrant> Find(const std::string& token, WallTime now) {
    return directory_.FindToken(token, now, why_);
  }
  // A serial of an attestation, as the issuer makes them.
  static std::string SerialOf(const Attestation& attestation, char filler) {
    return Concat(attestation.hex(), std::string(24, filler));
  }
  AdmittedAgent Admit(const std::string& node) {
    Attestation attestation = Attestation::New();
    auto grant = Find(MakeToken(node), kNow);
    EXPECT_TRUE(grant.ok()) << grant.status();
    Status status = directory_.Admit(*grant, {SerialOf(attestation, 'a'), kNow + 1h}, kNow);
    EXPECT_TRUE(status.ok()) << status;
    return {Concat("spiffe://shop.example/agent/", node), node, attestation};
  }
  std::unique_ptr<Store> store_ = MakeMemoryStore();
  identity::TrustDomain domain_ = *identity::TrustDomain::Parse("shop.example");
  AgentDirectory directory_{*store_, domain_};
  std::string why_;
};

TEST_F(AgentDirectoryTest, TokenGrantsItsNodeOnce) {
  std::string token = MakeToken("node-1");
  auto grant = Find(token, kNow);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->agent_id.str(), "spiffe://shop.example/agent/node-1");
  ASSERT_TRUE(directory_.Admit(*grant, {kSerialA, kNow + 1h}, kNow).ok());
  EXPECT_EQ(Find(token, kNow).status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(why_, "unknown or used");
}

TEST_F(AgentDirectoryTest, OfTwoThatUseATokenAtOnceOneIsAdmitted) {
  std::string token = MakeToken("node-1");
  auto first = Find(token, kNow);
  auto second = Find(token, kNow);
  EXPECT_TRUE(directory_.Admit(*second, {kSerialB, kNow + 1h}, kNow).ok());
  EXPECT_EQ(directory_.Admit(*first, {kSerialA, kNow + 1h}, kNow).code(),
            StatusCode::kPermissionDenied);
  EXPECT_EQ((*directory_.Find("node-1"))->svid.serial, kSerialB);
}

TEST_F(AgentDirectoryTest, TokenEndsWithItsTime) {
  std::string token = MakeToken("node-1", 10min);
  EXPECT_TRUE(Find(token, kNow + 10min - 1ms).ok());
  EXPECT_EQ(Find(token, kNow + 10min).status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(why_, HasSubstr("expired"));
}

TEST_F(AgentDirectoryTest, RefusalsLookAlikeToTheCaller) {
  std::string expired = MakeToken("node-1", 1min);
  Status of_expired = Find(expired, kNow + 1h).status();
  Status of_unknown = Find("0123", kNow).status();
  EXPECT_EQ(of_expired, of_unknown);
  EXPECT_EQ(Find("", kNow).status(), of_unknown);
  EXPECT_EQ(Find(std::string(1000, 'x'), kNow).status(), of_unknown);
}

TEST_F(AgentDirectoryTest, StoreHoldsNoToken) {
  std::string token = MakeToken("node-1");
  Listing all = *store_->List("");
  ASSERT_EQ(all.entries.size(), 1u);
  EXPECT_EQ(all.entries[0].key.find(token), std::string::npos);
  EXPECT_EQ(all.entries[0].value.find(token), std::string::npos);
}

TEST_F(AgentDirectoryTest, UnusableTokensAreNotMade) {
  struct Row {
    const char* name;
    std::string node;
    std::chrono::nanoseconds ttl;
  };
  for (const Row& row : {Row{"no name", "", 1min}, Row{"a slash", "a/b", 1min},
                         Row{"a long name", std::string(64, 'n'), 1min},
                         Row{"a bad character", "node 1", 1min}, Row{"too long", "n", 24h * 8}}) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(directory_.CreateToken({row.node, row.ttl, "unix:root"}, kNow).status().code(),
              StatusCode::kInvalidArgument);
  }
}

TEST_F(AgentDirectoryTest, UnusedTokensHaveALimit) {
  for (size_t i = 0; i < JoinTokenLimits::kTokensMax; ++i) {
    std::vector<Operation> put = {Operation::Put(Concat("token/", i), "{}")};
    ASSERT_TRUE(store_->Txn({}, put, {}).ok());
  }
  Status over = directory_.CreateToken({"node-1", 1min, "unix:root"}, kNow).status();
  EXPECT_EQ(over.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(over)), HasSubstr("wait until some expire"));
  std::vector<Operation> one_less = {Operation::Delete("token/0")};
  ASSERT_TRUE(store_->Txn({}, one_less, {}).ok());
  EXPECT_NE(MakeToken("node-1", 1min), "");
}

TEST_F(AgentDirectoryTest, ExpiredTokensAreCleared) {
  MakeToken("node-1", 1min);
  std::string kept = MakeToken("node-2", 1h);
  ASSERT_TRUE(directory_.RemoveExpiredTokens(kNow + 2min).ok());
  EXPECT_EQ(store_->List("token/")->entries.size(), 1u);
  EXPECT_TRUE(Find(kept, kNow + 2min).ok());
}

TEST_F(AgentDirectoryTest, RenewalNeedsARecord) {
  AdmittedAgent agent{"", "node-1", Attestation::New()};
  EXPECT_EQ(directory_.Renewed(agent, {"aa", kNow}).code(), StatusCode::kNotFound);
  agent = Admit("node-1");
  std::string serial = SerialOf(agent.attestation, 'b');
  ASSERT_TRUE(directory_.Renewed(agent, {serial, kNow + 2h}).ok());
  AgentRecord record = directory_.All()->at(0);
  EXPECT_EQ(record.svid.serial, serial);
  EXPECT_EQ(record.svid.not_after, kNow + 2h);
  EXPECT_EQ(record.attested, kNow);
  ASSERT_TRUE(directory_.Remove("node-1").ok());
  EXPECT_EQ(directory_.Renewed(agent, {serial, kNow}).code(), StatusCode::kNotFound);
  EXPECT_EQ(directory_.Remove("node-1").code(), StatusCode::kNotFound);
}

TEST_F(AgentDirectoryTest, AnAttestationEndsTheOneBeforeAndARenewalDoesNot) {
  AdmittedAgent first = Admit("node-1");
  EXPECT_TRUE(directory_.CheckCurrent(first).ok());
  ASSERT_TRUE(directory_.Renewed(first, {SerialOf(first.attestation, 'b'), kNow + 2h}).ok());
  EXPECT_TRUE(directory_.CheckCurrent(first).ok());
  AdmittedAgent second = Admit("node-1");
  EXPECT_TRUE(directory_.CheckCurrent(second).ok());
  EXPECT_EQ(directory_.CheckCurrent(first).code(), StatusCode::kPermissionDenied);
  // Nor can the former go on by renewing.
  EXPECT_EQ(directory_.Renewed(first, {SerialOf(first.attestation, 'c'), kNow + 2h}).code(),
            StatusCode::kPermissionDenied);
  EXPECT_EQ((*directory_.Find("node-1"))->svid.serial, SerialOf(second.attestation, 'a'));
  ASSERT_TRUE(directory_.Remove("node-1").ok());
  EXPECT_EQ(directory_.CheckCurrent(second).code(), StatusCode::kPermissionDenied);
}

TEST_F(AgentDirectoryTest, ASerialWithoutAnAttestationIsOfNoAgent) {
  AdmittedAgent agent = Admit("node-1");
  for (std::string serial : {std::string(), std::string(32, 'a'), std::string(39, 'a'),
                             std::string(40, '0'), std::string(40, 'x'), std::string(41, 'a')}) {
    SCOPED_TRACE(serial);
    agent.attestation = Attestation::Of(serial);
    EXPECT_TRUE(agent.attestation.is_none());
    EXPECT_EQ(directory_.CheckCurrent(agent).code(), StatusCode::kPermissionDenied);
    EXPECT_EQ(directory_.Renewed(agent, {serial, kNow}).code(), StatusCode::kPermissionDenied);
    auto grant = Find(MakeToken("node-2"), kNow);
    EXPECT_EQ(directory_.Admit(*grant, {serial, kNow + 1h}, kNow).code(), StatusCode::kInternal);
  }
}

TEST_F(AgentDirectoryTest, ARecordThatNamesNoAttestationAdmitsNobody) {
  AdmittedAgent agent = Admit("node-1");
  std::vector<Operation> put = {Operation::Put(
      "agent/node-1", R"({"attestedUnixMs":1,"svidSerial":"aa","svidNotAfterUnixMs":2})")};
  ASSERT_TRUE(store_->Txn({}, put, {}).ok());
  EXPECT_EQ(directory_.CheckCurrent(agent).code(), StatusCode::kPermissionDenied);
  agent.attestation = Attestation();
  EXPECT_EQ(directory_.CheckCurrent(agent).code(), StatusCode::kPermissionDenied);
}

TEST_F(AgentDirectoryTest, OnlyAgentsOfTheDomainHaveAnAgentsName) {
  auto name = [&](const char* id) {
    return AgentNameOf(domain_, *identity::SpiffeId::Parse(id)).value_or("<none>");
  };
  EXPECT_EQ(name("spiffe://shop.example/agent/node-1"), "node-1");
  EXPECT_EQ(name("spiffe://other.example/agent/node-1"), "<none>");
  EXPECT_EQ(name("spiffe://shop.example/agent/node-1/more"), "<none>");
  EXPECT_EQ(name("spiffe://shop.example/agent"), "<none>");
  EXPECT_EQ(name("spiffe://shop.example/server"), "<none>");
}

}  // namespace
}  // namespace countersign::server
