#include "identity/server/node_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/identity/server/documents.h"

namespace countersign::server {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;

// A state made of documents, each with a revision of its own.
RegistryState StateOf(const std::string& yaml) {
  authz::LoadResult loaded = authz::Load(Files(yaml));
  for (const authz::Diagnostic& one : loaded.diagnostics) {
    EXPECT_EQ(one.severity, authz::Diagnostic::Severity::kWarning) << one.message;
  }
  RegistryState state;
  uint64_t n = 0;
  auto put = [&](auto& map, const auto& value) {
    using T = std::decay_t<decltype(value)>;
    map[value.name] =
        std::make_shared<const Typed<T>>(Typed<T>{value, value.canonical_json, {1, ++n}});
  };
  for (const auto& one : loaded.registrations) {
    put(state.registrations, one);
  }
  for (const auto& one : loaded.services) {
    put(state.services, one);
  }
  for (const auto& one : loaded.routes) {
    put(state.routes, one);
  }
  for (const auto& set : loaded.sets) {
    RunningSet running;
    running.policy = set;
    running.version.set = set->name;
    running.revision = {1, ++n};
    state.sets[set->name] = std::make_shared<const RunningSet>(running);
  }
  state.revision = {1, n};
  return state;
}

std::vector<std::string> Names(const NodeView& view) {
  std::vector<std::string> names;
  for (const auto& [key, item] : view) {
    names.push_back(Concat(key.first, "/", key.second));
  }
  return names;
}

constexpr const char* kNode1 = "spiffe://shop.example/agent/node-1";

TEST(NodeViewTest, NodeSeesItsWorkloadsAndWhatTheyReach) {
  RegistryState state = StateOf(RegistrationYaml("web") + RegistrationYaml("far", "node-2") +
                                ServiceYaml("web", "nobody") + ServiceYaml("orders", "web") +
                                ServiceYaml("far", "nobody"));
  EXPECT_THAT(Names(ViewForNode(state, kNode1)),
              UnorderedElementsAre("Registration/web", "Service/web", "Service/orders"));
}

TEST(NodeViewTest, RoutesFollowServicesAndTheirSplits) {
  RegistryState state =
      StateOf(RegistrationYaml("web") + ServiceYaml("orders", "web") +
              ServiceYaml("orders-next", "nobody") + ServiceYaml("far", "nobody") +
              RouteYaml("orders", "orders-next") + RouteYaml("far", "far"));
  EXPECT_THAT(Names(ViewForNode(state, kNode1)),
              UnorderedElementsAre("Registration/web", "Service/orders", "Service/orders-next",
                                   "Route/orders"));
}

TEST(NodeViewTest, PolicySetsComeByScope) {
  RegistryState state = StateOf(RegistrationYaml("web") + SetYaml("shop", "/orders/**") +
                                SetYaml("staging", "/orders/**", "spiffe://shop.example/ns/stage"));
  EXPECT_THAT(Names(ViewForNode(state, kNode1)),
              UnorderedElementsAre("Registration/web", "PolicySetVersion/shop"));
}

TEST(NodeViewTest, NodeWithoutWorkloadsSeesNothing) {
  RegistryState state = StateOf(RegistrationYaml("web") + ServiceYaml("orders", "web") +
                                SetYaml("shop", "/orders/**"));
  EXPECT_THAT(ViewForNode(state, "spiffe://shop.example/agent/node-9"), IsEmpty());
}

TEST(NodeViewTest, ComparisonNamesExactlyWhatDiffers) {
  RegistryState former = StateOf(RegistrationYaml("web") + ServiceYaml("web", "x"));
  RegistryState next = StateOf(RegistrationYaml("web") + RegistrationYaml("zoo"));
  NodeView a = ViewForNode(former, kNode1);
  NodeView b = ViewForNode(next, kNode1);
  ViewChange change = CompareViews(a, b);
  ASSERT_EQ(change.upsert.size(), 1u);
  EXPECT_EQ(change.upsert[0]->first.second, "zoo");
  ASSERT_EQ(change.remove.size(), 1u);
  EXPECT_EQ(change.remove[0]->first.first, kServiceKind);
  ViewChange none = CompareViews(a, a);
  EXPECT_TRUE(none.upsert.empty() && none.remove.empty());
}

TEST(NodeViewTest, MatchersOverIds) {
  using Kind = authz::Matcher::Kind;
  struct Row {
    const char* name;
    Kind kind;
    const char* text;
    bool expected;
  };
  constexpr const char* kId = "spiffe://shop.example/ns/prod/sa/web";
  for (const Row& row :
       {Row{"same", Kind::kExact, kId, true},
        Row{"other", Kind::kExact, "spiffe://shop.example/ns/prod/sa/we", false},
        Row{"under", Kind::kUnder, "spiffe://shop.example/ns/prod", true},
        Row{"under the domain", Kind::kUnder, "spiffe://shop.example", true},
        Row{"under ends at a segment", Kind::kUnder, "spiffe://shop.example/ns/pro", false},
        Row{"prefix", Kind::kPrefix, "spiffe://shop.example/ns/pro", true},
        Row{"suffix", Kind::kSuffix, "/web", true}, Row{"no suffix", Kind::kSuffix, "/wex", false},
        Row{"a pattern may", Kind::kRe2, "nothing", true},
        Row{"so may a form for other fields", Kind::kTemplate, "nothing", true},
        Row{"an ID is never absent", Kind::kAbsent, "", false}}) {
    authz::Matcher matcher;
    matcher.kind = row.kind;
    matcher.text = row.text;
    EXPECT_EQ(MayMatchId(matcher, kId), row.expected) << row.name;
  }
}

}  // namespace
}  // namespace countersign::server
