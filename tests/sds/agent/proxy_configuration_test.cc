#include "sds/agent/proxy_configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sds/agent/audit_intake.h"
#include "sds/agent/known_callers.h"
#include "sds/agent/proxy_table.h"

namespace countersign::agent {
namespace {

using Kind = authz::Matcher::Kind;
using ::testing::ElementsAre;

constexpr std::string_view kOrdersId = "spiffe://shop.example/ns/prod/sa/orders";

authz::Matcher Make(Kind kind, std::string text) {
  authz::Matcher matcher;
  matcher.kind = kind;
  matcher.text = std::move(text);
  return matcher;
}

TEST(MayMatchTest, NarrowsByEveryFormItCanDecideAndNeverTooMuch) {
  const struct {
    const char* name;
    authz::Matcher matcher;
    bool may;
  } rows[] = {
      {"exact", Make(Kind::kExact, std::string(kOrdersId)), true},
      {"exact other", Make(Kind::kExact, "spiffe://shop.example/ns/prod/sa/order"), false},
      {"under", Make(Kind::kUnder, "spiffe://shop.example/ns/prod"), true},
      {"under itself", Make(Kind::kUnder, std::string(kOrdersId)), true},
      {"under domain", Make(Kind::kUnder, "spiffe://shop.example"), true},
      {"under ends at a border", Make(Kind::kUnder, "spiffe://shop.example/ns/pro"), false},
      {"prefix", Make(Kind::kPrefix, "spiffe://shop.example/ns/pro"), true},
      {"other prefix", Make(Kind::kPrefix, "spiffe://shop.example/ns/stage"), false},
      {"suffix", Make(Kind::kSuffix, "/orders"), true},
      {"other suffix", Make(Kind::kSuffix, "/billing"), false},
      {"present", Make(Kind::kPresent, ""), true},
      {"absent", Make(Kind::kAbsent, ""), false},
      {"a pattern is left to the proxy", Make(Kind::kRe2, "nothing-like-it"), true},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(MayMatch(row.matcher, kOrdersId), row.may) << row.name;
  }
}

std::string Policy(std::string_view name, std::string_view applies_to) {
  return Concat(
      R"({"apiVersion":"countersign.dev/v1alpha1","kind":"AccessPolicy","metadata":{"name":")",
      name, R"("},"spec":{"appliesTo":)", applies_to,
      R"(,"rules":[{"effect":"allow","from":"mesh","name":"r"}]}})");
}

std::shared_ptr<const NodeState> StateWithSet(const std::vector<std::string>& documents) {
  v1::PolicySetVersion version;
  version.set_set("shop");
  version.set_version(3);
  version.set_digest(std::string(64, 'd'));
  for (const std::string& document : documents) {
    version.add_documents(document);
  }
  v1::Update update;
  update.set_full(true);
  v1::Resource& resource = *update.add_upsert();
  resource.set_kind("PolicySetVersion");
  resource.set_name("shop");
  resource.set_document(version.SerializeAsString());
  return *NodeState::Apply(NodeState(), update);
}

std::vector<std::string> DocumentsFor(const NodeState& state, std::string_view id) {
  authz::Registration registration;
  registration.id = id;
  v1::ProxyConfiguration configuration = BuildProxyConfiguration(state, registration);
  EXPECT_EQ(configuration.policy_sets_size(), 1);
  EXPECT_EQ(configuration.policy_sets(0).digest(), std::string(64, 'd'));
  const auto& documents = configuration.policy_sets(0).documents();
  return {documents.begin(), documents.end()};
}

TEST(BuildProxyConfigurationTest, CutsASetToThePoliciesThatMayConcernTheWorkload) {
  std::string set =
      R"({"apiVersion":"countersign.dev/v1alpha1","kind":"PolicySet","metadata":{"name":"shop"},)"
      R"("spec":{"owner":{"id":"spiffe://shop.example/lead"},"scope":{"under":"spiffe://shop.example/ns/prod"}}})";
  std::string orders = Policy("orders", Concat(R"([{"id":")", kOrdersId, R"("}])"));
  std::string billing = Policy("billing", R"([{"id":"spiffe://shop.example/ns/prod/sa/billing"}])");
  std::string all = Policy("everyone", R"("all")");
  std::string assertion =
      R"({"apiVersion":"countersign.dev/v1alpha1","kind":"PolicyAssertion","metadata":{"name":"a"},)"
      R"("spec":{"never":{"from":"anyone","to":[{"path":"/refunds"}]}}})";  // No proxy judges it.
  auto state = StateWithSet({set, orders, billing, all, assertion});
  ASSERT_TRUE(state->resources().begin()->second->policy_set);
  EXPECT_THAT(DocumentsFor(*state, kOrdersId), ElementsAre(set, orders, all));
  // Outside the scope not even `all` concerns it; the set itself is still shown as known.
  EXPECT_THAT(DocumentsFor(*state, "spiffe://shop.example/ns/stage/sa/x"), ElementsAre(set));
}

TEST(BuildProxyConfigurationTest, PassesASetThatItCannotReadOnWhole) {
  auto state = StateWithSet({"{}", "not JSON"});
  EXPECT_THAT(DocumentsFor(*state, kOrdersId), ElementsAre("{}", "not JSON"));
}

TEST(NodeStateTest, SurvivesItsFileAndNoticesDamage) {
  auto state = StateWithSet({"{}"});
  std::string text = state->Encode();
  auto again = NodeState::Decode(text);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->Encode(), text);
  for (size_t at = 0; at < text.size(); ++at) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_EQ(NodeState::Decode(damaged).status().code(), StatusCode::kDataLoss) << at;
  }
  EXPECT_EQ(NodeState::Decode(text.substr(0, text.size() - 1)).status().code(),
            StatusCode::kDataLoss);
}

TEST(NodeStateTest, RefusesAChangeThatGoesBackOrLeavesTheTerm) {
  v1::Update update;
  update.set_full(true);
  update.mutable_revision()->set_term(2);
  update.mutable_revision()->set_n(5);
  auto state = *NodeState::Apply(NodeState(), update);
  update.set_full(false);
  update.mutable_revision()->set_n(4);
  EXPECT_FALSE(NodeState::Apply(*state, update).ok());
  update.mutable_revision()->set_term(3);
  update.mutable_revision()->set_n(9);
  EXPECT_FALSE(NodeState::Apply(*state, update).ok());
  update.set_full(true);  // A restored store starts over.
  update.mutable_revision()->set_n(1);
  EXPECT_TRUE(NodeState::Apply(*state, update).ok());
}

TEST(NodeStateTest, RefusesAnOldStateAlsoWhole) {
  v1::Update update;
  update.set_full(true);
  update.mutable_revision()->set_term(2);
  update.mutable_revision()->set_n(5);
  auto state = *NodeState::Apply(NodeState(), update);
  EXPECT_TRUE(NodeState::Apply(*state, update).ok());  // The same again, after a lost stream.
  update.mutable_revision()->set_n(4);
  EXPECT_FALSE(NodeState::Apply(*state, update).ok());
  update.mutable_revision()->set_term(1);
  update.mutable_revision()->set_n(9);
  EXPECT_FALSE(NodeState::Apply(*state, update).ok());
}

TEST(ProxyTableTest, NeverReportsMoreThanTheServerTakes) {
  ProxyTable table([] {});
  std::vector<int> streams(2000);
  v1::ProxyStatus status;
  status.set_instance("web");
  for (const int& stream : streams) {
    table.Set(&stream, status);
  }
  EXPECT_EQ(table.Report().proxies_size(), 1024);
  status.set_refused(std::string(60'000, 'x'));
  for (const int& stream : streams) {
    table.Set(&stream, status);
  }
  v1::ProxyReport report = table.Report();
  EXPECT_GT(report.proxies_size(), 10);
  EXPECT_LT(report.ByteSizeLong(), size_t{4} << 20);
}

TEST(AuditIntakeTest, AUserSpeaksForTheProxiesThatAreRegisteredForItAlone) {
  EXPECT_EQ(WorkloadsOf(nullptr, SelectorMode::kUnix, {1, 1, 1}).status().code(),
            StatusCode::kUnavailable);
  v1::Update update;
  update.set_full(true);
  for (auto [name, uid, proxy] :
       {std::tuple{"web", 70012, R"(,"proxy":{})"}, std::tuple{"orders", 70014, R"(,"proxy":{})"},
        std::tuple{"web-too", 70012, R"(,"proxy":{})"}, std::tuple{"plain", 70013, ""}}) {
    v1::Resource& resource = *update.add_upsert();
    resource.set_kind("Registration");
    resource.set_name(name);
    resource.set_document(Concat(
        R"({"apiVersion":"countersign.dev/v1alpha1","kind":"Registration","metadata":{"name":")",
        std::string_view(name), R"("},"spec":{"id":"spiffe://shop.example/)",
        std::string_view(name), R"(","nodes":[{"id":"spiffe://shop.example/agent/n"}],)",
        R"("selectors":{"unix":{"uid":)", uid, "}}", std::string_view(proxy), "}}"));
  }
  auto state = *NodeState::Apply(NodeState(), update);
  ASSERT_EQ(state->registrations().size(), 4u);
  auto of = [&state](uid_t uid) {
    return WorkloadsOf(state.get(), SelectorMode::kUnix, {uid, 1, 1});
  };
  EXPECT_THAT(*of(70012), ::testing::UnorderedElementsAre("spiffe://shop.example/web",
                                                          "spiffe://shop.example/web-too"));
  EXPECT_THAT(*of(70014), ::testing::ElementsAre("spiffe://shop.example/orders"));
  EXPECT_EQ(of(70013).status().code(), StatusCode::kPermissionDenied) << "it is no proxy";
  EXPECT_EQ(of(0).status().code(), StatusCode::kPermissionDenied);
}

TEST(KnownCallersTest, WhomARegistrationNamesIsKnownAndNobodyElse) {
  v1::Update update;
  update.set_full(true);
  for (auto [name, unix] :
       {std::pair{"user", R"("uid":70010)"}, std::pair{"group", R"("gid":70020)"},
        std::pair{"both", R"("uid":70011,"gid":70021)"},
        std::pair{"program", R"("path":"/usr/bin/web")"}}) {
    v1::Resource& resource = *update.add_upsert();
    resource.set_kind("Registration");
    resource.set_name(name);
    resource.set_document(Concat(
        R"({"apiVersion":"countersign.dev/v1alpha1","kind":"Registration","metadata":{"name":")",
        std::string_view(name), R"("},"spec":{"id":"spiffe://shop.example/)",
        std::string_view(name), R"(","nodes":[{"id":"spiffe://shop.example/agent/n"}],)",
        R"("selectors":{"unix":{)", std::string_view(unix), "}}}}"));
  }
  auto state = *NodeState::Apply(NodeState(), update);
  ASSERT_EQ(state->registrations().size(), 4u);
  auto knows = [&](uid_t uid, gid_t gid) {
    return IsKnownCaller(state.get(), SelectorMode::kUnix, {uid, gid, 1});
  };
  EXPECT_TRUE(knows(70010, 1));
  EXPECT_TRUE(knows(1, 70020));
  EXPECT_TRUE(knows(70011, 1)) << "what it is given is decided later";
  EXPECT_TRUE(knows(0, 0));
  EXPECT_FALSE(knows(1, 70021));
  EXPECT_FALSE(knows(100'000, 100'000));
  EXPECT_FALSE(IsKnownCaller(nullptr, SelectorMode::kUnix, {70010, 1, 1}));
  EXPECT_TRUE(IsKnownCaller(nullptr, SelectorMode::kDemo, {70010, 1, 1}));
}

}  // namespace
}  // namespace countersign::agent
