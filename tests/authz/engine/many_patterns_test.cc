// Policies with so many patterns that they run together in automata, one look-up within another.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/authz/engine/both_evaluators.h"
#include "tests/support/policy_builder.h"

namespace countersign::authz::testing {
namespace {

std::vector<Matcher> Patterns(size_t count, std::string_view stem) {
  std::vector<Matcher> patterns;
  for (size_t i = 0; i < count; ++i) {
    patterns.push_back(Re2(Concat(stem, "(", i, ")?")));
  }
  return patterns;
}

// Paths are found by one automaton; each rule it finds asks another one about a header.
TEST(ManyPatternsTest, ALookUpWithinALookUpLosesNoRule) {
  std::vector<Rule> rules;
  for (const Matcher& path : Patterns(12, ".*/orders.*")) {
    rules.push_back(R(Concat("r", rules.size()), Effect::kDeny, Subject::kAnyone, {Path(path)},
                      {Keyed(Field::kHeader, "x-tenant", Patterns(30, ".*acme.*"))}));
  }
  BothEvaluators both(OneSet(rules));
  const NameValue header[] = {{"x-tenant", "acme"}};
  CanonicalRequest request = Get("/orders/7");
  request.headers = header;
  EXPECT_EQ(both.Decide(request).matched.size(), 12U);
}

// The same for what the connection finds: ids by one automaton, server names by another.
TEST(ManyPatternsTest, ALookUpWithinTheConnectionsLookUpLosesNoRule) {
  std::vector<Rule> rules;
  for (const Matcher& id : Patterns(12, ".*/sa/web.*")) {
    rules.push_back(R(Concat("r", rules.size()), Effect::kDeny,
                      {E({On(Field::kId, id), On(Field::kSni, Patterns(30, ".*orders.*"))})}));
  }
  BothEvaluators both(OneSet(rules));
  EXPECT_EQ(both.Decide(Get()).matched.size(), 12U);
  EXPECT_EQ(both.Decide(Tcp()).matched.size(), 12U);
}

// A key may hold what looks like the end of a key and a pattern.
TEST(ManyPatternsTest, PatternsOfTwoKeysStayApart) {
  auto deny = [](std::string_view name, std::string_view key, std::string_view pattern) {
    return R(name, Effect::kDeny, Subject::kAnyone, {},
             {Keyed(Field::kQuery, key, {Re2(pattern)})});
  };
  BothEvaluators both(OneSet({deny("a", "k\nx", "(y|y.)*"), deny("b", "k", "x\n(y|y.)*")}));
  const NameValue query[] = {{"k", "x\nyy"}};
  CanonicalRequest request = Get();
  request.query = query;
  EXPECT_EQ(both.Decide(request).reason, Reason::kDenyRule);
}

// The same for lists, whose spelling in the compiler begins with kind, length and colon.
TEST(ManyPatternsTest, ListsOfTwoKeysStayApart) {
  auto deny = [](std::string_view name, std::string_view key, std::vector<Matcher> any_of) {
    return R(name, Effect::kDeny, Subject::kAnyone, {Path(Under("/"))},
             {Keyed(Field::kQuery, key, std::move(any_of))});
  };
  BothEvaluators both(OneSet(
      {deny("a", "k/a8:p", {Is("bar"), Is("zz")}), deny("b", "k", {Is("p/a3:bar"), Is("zz")})}));
  const NameValue query[] = {{"k", "p/a3:bar"}};
  CanonicalRequest request = Get();
  request.query = query;
  EXPECT_EQ(both.Decide(request).reason, Reason::kDenyRule);
}

}  // namespace
}  // namespace countersign::authz::testing
