// The plan says how a policy finds its rules.
#include <gtest/gtest.h>

#include "authz/engine/compiled_policy.h"
#include "tests/support/policy_builder.h"

namespace countersign::authz::testing {
namespace {

const FieldPlan& Of(const MatcherPlan& plan, std::string_view field) {
  static const FieldPlan kNone;
  for (const FieldPlan& each : plan.fields) {
    if (each.field == field) {
      return each;
    }
  }
  ADD_FAILURE() << "no plan of " << field;
  return kNone;
}

TEST(PlanTest, CountsWhatEachFieldIsFoundBy) {
  std::vector<Rule> rules = {
      R("a", Effect::kAllow, {Id(Is(kWeb))}, {Path(Template("/orders/{id}"))}),
      R("b", Effect::kAllow, {Id(Under("spiffe://shop.example/ns/prod"))},
        {Path(Re2("/a/[0-9]+"))}),
      R("c", Effect::kDeny, Subject::kAnyone, {Path(Under("/admin"))},
        {Keyed(Field::kHeader, "x-tenant", {Re2("(a|b)*c")})}),
      R("d", Effect::kDeny, Subject::kAnyone),
  };
  for (int i = 0; i < 20; ++i) {
    rules.push_back(
        R(Concat("f", i), Effect::kDeny, Subject::kAnyone, {Path(Re2(Concat(".*/f", i, "/.*")))}));
  }
  auto compiled = CompiledPolicy::Compile(OneSet(rules));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  MatcherPlan plan = (*compiled)->Plan();
  EXPECT_EQ(plan.rules, 24U);
  EXPECT_EQ(plan.boxes, 24U);
  EXPECT_EQ(plan.boxes_always, 1U);
  EXPECT_TRUE(plan.re2.empty());
  EXPECT_EQ(Of(plan, "id").literals, 1U);
  EXPECT_EQ(Of(plan, "id").borders, 1U);
  EXPECT_EQ(Of(plan, "path").templates, 1U);
  EXPECT_EQ(Of(plan, "path").borders, 1U);
  EXPECT_EQ(Of(plan, "path").patterns_by_prefix, 1U);
  EXPECT_EQ(Of(plan, "path").patterns_by_literal, 20U);
  EXPECT_EQ(Of(plan, "path").patterns_as_code, 1U);
  EXPECT_EQ(Of(plan, "path").patterns_as_automata, 20U);
  EXPECT_GT(Of(plan, "path").literal_states, 20U);
  EXPECT_EQ(Of(plan, "headers x-tenant").patterns_as_automata, 1U);
  EXPECT_EQ(Of(plan, "headers x-tenant").automaton_states, 3U);
}

}  // namespace
}  // namespace countersign::authz::testing
