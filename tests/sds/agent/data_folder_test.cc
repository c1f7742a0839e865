// The agent's data folder at the limits of what it reads and writes.
#include "sds/agent/data_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "identity/certificate_authority.h"
#include "sds/agent/attested_process.h"
#include "tests/support/temp_dir.h"

namespace countersign::agent {
namespace {

using ::testing::HasSubstr;

std::string Said(const Status& status) { return std::string(Message(status)); }

class DataFolderTest : public ::testing::Test {
 protected:
  DataFolder Open(const AgentLimits& limits = {}) {
    auto opened = DataFolder::Open(folder_.File("data"), limits);
    CHECK(opened.ok());
    return *std::move(opened);
  }
  static StoredSvid Svid() {
    WallTime now = Clock::System().Now();
    auto authority = identity::CertificateAuthority::CreateSelfSigned(
        *identity::TrustDomain::Parse("shop.example"), std::chrono::hours(48), now);
    auto key = identity::PrivateKey::GenerateP256();
    auto chain = authority->SignLeaf({*identity::SpiffeId::Parse("spiffe://shop.example/web"),
                                      *key->PublicKeyDer(),
                                      std::chrono::hours(1),
                                      {}},
                                     now);
    auto svid = identity::X509Svid::Create(*chain, *key->ToPkcs8Der());
    return {std::make_shared<const identity::X509Svid>(*std::move(svid)), now, "shape"};
  }
  TempDir folder_;
};

TEST_F(DataFolderTest, AnSvidFileOverTheLimitIsAnErrorForTheAgentsOwnAndLeftOutForAWorkload) {
  {
    DataFolder folder = Open();
    ASSERT_TRUE(folder.SaveAgentSvid(Svid()).ok());
    ASSERT_TRUE(folder.SaveSvid("web", Svid()).ok());
    EXPECT_TRUE(folder.LoadAgentSvid().ok());
    EXPECT_EQ(folder.LoadSvids()->size(), 1u);
  }
  AgentLimits limits;
  limits.svid_file_bytes_max = 100;
  DataFolder folder = Open(limits);
  EXPECT_THAT(Said(folder.LoadAgentSvid().status()), HasSubstr("limit of 100 bytes"));
  EXPECT_TRUE(folder.LoadSvids()->empty());
}

TEST_F(DataFolderTest, AStateOverTheLimitIsNeitherWrittenNorRead) {
  v1::Update update;
  update.set_full(true);
  v1::Resource& resource = *update.add_upsert();
  resource.set_kind("Registration");
  resource.set_name("web");
  resource.set_document(std::string(1000, 'x'));
  auto state = NodeState::Apply(NodeState(), update);
  ASSERT_TRUE(state.ok());
  AgentLimits limits;
  limits.state_bytes_max = 500;
  {
    Status status = Open(limits).SaveState(**state);
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
    EXPECT_THAT(Said(status), HasSubstr("500 bytes"));
    EXPECT_EQ(Open().LoadState().status().code(), StatusCode::kNotFound);
  }
  ASSERT_TRUE(Open().SaveState(**state).ok());
  EXPECT_THAT(Said(Open(limits).LoadState().status()), HasSubstr("limit of 500 bytes"));
}

TEST(AttestedProcessTest, AnEnvironmentOverTheLimitIsNotRead) {
  int ends[2] = {};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  Fd one(ends[0]);
  Fd other(ends[1]);
  auto process = AttestedProcess::Pin(one.get(), {::geteuid(), ::getegid(), ::getpid()});
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_NE(::getenv("PATH"), nullptr) << "an environment of some bytes";
  EXPECT_TRUE((*process)->Environment(1 << 20).ok());
  EXPECT_FALSE((*process)->Environment(4).ok());
}

}  // namespace
}  // namespace countersign::agent
