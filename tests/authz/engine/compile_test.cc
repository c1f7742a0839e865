// What a policy may not be, and what a compiled one is.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/engine/naive_authorizer.h"
#include "authz/engine/program.h"
#include "tests/support/policy_builder.h"

namespace countersign::authz::testing {
namespace {

constexpr Effect kAllow = Effect::kAllow;
constexpr Effect kDeny = Effect::kDeny;

Status CompileStatus(PolicySets sets, const EngineLimits& limits = {}) {
  return CompiledPolicy::Compile(std::move(sets), {.limits = limits}).status();
}

TEST(CompileTest, BothEvaluatorsRefuseWhatTheyCouldOnlyMisread) {
  PolicySet guardrail = S("g", {P("p", {R("r", kAllow, Subject::kAnyone)})});
  guardrail.guardrail = true;
  AccessPolicy unmatched = P("p", {});
  unmatched.unmatched_dry_run_until = WallTime();
  PolicySet lenient_guardrail = S("g", {unmatched});
  lenient_guardrail.guardrail = true;
  Rule expiring_deny = R("r", kDeny, Subject::kAnyone);
  expiring_deny.expires = WallTime();
  AccessPolicy nobody = P("p", {});
  nobody.applies_to_all = false;
  struct {
    const char* name;
    PolicySets sets;
  } const kRows[] = {
      {"an allow in a guardrail", Sets({guardrail})},
      {"unmatched in a guardrail", Sets({lenient_guardrail})},
      {"a deny that expires", OneSet({expiring_deny})},
      {"no appliesTo", Sets({S("s", {nobody})})},
      {"no from", OneSet({R("r", kAllow, std::vector<Entry>())})},
      {"an empty entry", OneSet({R("r", kAllow, {E({})})})},
      {"an empty exception", OneSet({R("r", kAllow, {E({On(Field::kId, Is(kWeb))}, {{}})})})},
      {"a condition without a value",
       OneSet({R("r", kAllow, {E({On(Field::kId, std::vector<Matcher>())})})})},
      {"a claim without a path",
       OneSet({R("r", kAllow, Subject::kAnyone, {}, {On(Field::kClaim, Is("x"))})})},
      {"many on a claim", OneSet({R("r", kAllow, Subject::kAnyone, {},
                                    {Many(Keyed(Field::kClaim, "groups", {Is("x")}))})})},
      {"many on a path",
       OneSet({R("r", kAllow, Subject::kAnyone, {}, {Many(On(Field::kPath, Is("/x")))})})},
      {"a header without a name",
       OneSet({R("r", kAllow, Subject::kAnyone, {}, {On(Field::kHeader, Is("x"))})})},
      {"a port as an id", OneSet({R("r", kAllow, {E({On(Field::kId, Port(1))})})})},
      {"text as an address", OneSet({R("r", kAllow, {E({On(Field::kPeerIp, Is("x"))})})})},
      {"a bad pattern", OneSet({R("r", kAllow, {Id(Re2("("))})})},
      {"a lookahead", OneSet({R("r", kAllow, {Id(Re2("(?=x)"))})})},
      {"a pattern over its memory", OneSet({R("r", kAllow, {Id(Re2("((a{100}){10}){10}"))})})},
      {"a long pattern", OneSet({R("r", kAllow, {Id(Re2(std::string(5000, 'a')))})})},
      {"no set", {nullptr}},
  };
  for (const auto& row : kRows) {
    EXPECT_FALSE(CompileStatus(row.sets).ok()) << row.name;
    EXPECT_FALSE(NaiveAuthorizer::Create(row.sets).ok()) << row.name;
  }
}

TEST(CompileTest, ARefusalNamesTheRule) {
  Status status = CompileStatus(OneSet({R("reads", kAllow, {E({})})}));
  EXPECT_NE(Message(status).find("shop/orders/reads"), std::string_view::npos) << status;
}

TEST(CompileTest, EachLimitIsNamedWhenItIsExceeded) {
  std::vector<Entry> from;
  std::vector<Entry> to;
  for (int i = 0; i < 9; ++i) {
    from.push_back(
        E({On(Field::kId, Is(Concat(kWeb, i))), On(Field::kPort, Port(uint16_t(80 + i)))}));
    to.push_back(E({On(Field::kPath, Is(Concat("/", i))), On(Field::kHost, Is(Concat("h", i)))}));
  }
  Status boxes = CompileStatus(OneSet({R("wide", kAllow, from, to)}));
  EXPECT_NE(Message(boxes).find("boxes_per_rule_max"), std::string_view::npos) << boxes;
  EXPECT_NE(Message(boxes).find("wide"), std::string_view::npos) << boxes;
  EngineLimits limits;
  limits.rules_max = 1;
  PolicySets two = OneSet({R("a", kAllow, Subject::kAnyone), R("b", kAllow, Subject::kAnyone)});
  EXPECT_NE(Message(CompileStatus(two, limits)).find("rules_max"), std::string_view::npos);
  limits = {};
  limits.boxes_max = 1;
  EXPECT_NE(Message(CompileStatus(two, limits)).find("boxes_max"), std::string_view::npos);
  limits = {};
  limits.pattern_bytes_max = 3;
  PolicySets pattern = OneSet({R("a", kAllow, {Id(Re2("abcd"))})});
  EXPECT_NE(Message(CompileStatus(pattern, limits)).find("pattern_bytes_max"),
            std::string_view::npos);
}

TEST(CompileTest, EntriesThatDifferInOneCoordinateAreOneBox) {
  std::vector<Entry> from;
  for (int i = 0; i < 200; ++i) {
    from.push_back(Id(Is(Concat("spiffe://shop.example/sa/", i))));
  }
  auto compiled =
      CompiledPolicy::Compile(OneSet({R("r", kAllow, from, {Path(Is("/a")), Path(Under("/b"))})}));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ((*compiled)->box_count(), 1U);
  DecisionScratch scratch(**compiled);
  for (std::string_view path : {"/a", "/b/c"}) {
    EXPECT_EQ((*compiled)->Decide(Get(path, "spiffe://shop.example/sa/199"), {}, scratch).effect,
              kAllow);
    EXPECT_EQ((*compiled)->Decide(Get(path, "spiffe://shop.example/sa/200"), {}, scratch).effect,
              kDeny);
  }
}

TEST(CompileTest, AScratchOfAnotherPolicyIsAFaultAndADeny) {
  auto one = CompiledPolicy::Compile(OneSet({R("a", kAllow, Subject::kAnyone)}));
  auto two = CompiledPolicy::Compile(OneSet({R("a", kAllow, Subject::kAnyone)}));
  DecisionScratch scratch;
  EXPECT_EQ((*one)->Decide(Get(), {}, scratch).reason, Reason::kEngineFault);
  scratch.Fit(**one);
  EXPECT_EQ((*one)->Decide(Get(), {}, scratch).effect, kAllow);
  EXPECT_EQ((*two)->Decide(Get(), {}, scratch).reason, Reason::kEngineFault);
  EXPECT_EQ((*two)->Decide(Get(), {}, scratch).effect, kDeny);
}

TEST(CompileTest, WhatABudgetCouldNotJudgeIsADenyWithEngineFault) {
  auto program = engine::CompileProgram(OneSet({R("all", kAllow, Subject::kAnyone)}), {});
  ASSERT_TRUE(program.ok());
  engine::ScratchState scratch;
  engine::Fit(scratch, **program);
  CanonicalRequest request = Get();
  engine::BuildView(**program, request, scratch);
  EXPECT_EQ(engine::DecideOnView(**program, scratch.view(), request, 0, scratch).effect, kAllow);
  scratch.lookup.fault = true;
  Decision faulty = engine::DecideOnView(**program, scratch.view(), request, 0, scratch);
  EXPECT_EQ(faulty.effect, kDeny);
  EXPECT_EQ(faulty.reason, Reason::kEngineFault);
  EXPECT_TRUE(faulty.matched.empty());
}

TEST(CompileTest, TheDigestIsThatOfTheSetsWhateverTheirOrder) {
  PolicySet a = S("a", {P("p", {R("r", kAllow, Subject::kAnyone)})});
  PolicySet b = S("b", {});
  b.digest = std::string(64, 'b');
  auto digest = [](PolicySets sets) { return (*CompiledPolicy::Compile(sets))->digest(); };
  EXPECT_EQ(digest(Sets({a, b})), digest(Sets({b, a})));
  EXPECT_NE(digest(Sets({a, b})), digest(Sets({a})));
  EXPECT_EQ(digest(Sets({a})).size(), 64U);
}

TEST(CompileTest, RulesKeepTheirNamesAndPlaces) {
  Rule second = R("second", kDeny, Subject::kAnyone);
  second.where = {"policies/orders.yaml", 12, 7};
  auto compiled = CompiledPolicy::Compile(OneSet({R("first", kAllow, Subject::kAnyone), second}));
  EXPECT_EQ((*compiled)->rule_count(), 2U);
  EXPECT_EQ((*compiled)->RuleName(1), "shop/orders/second");
  EXPECT_EQ((*compiled)->RuleWhere(1).line, 12U);
}

TEST(CompileTest, KnowsWhichKeysItsRulesName) {
  auto compiled = CompiledPolicy::Compile(OneSet(
      {R("r", kAllow, Subject::kAnyone, {}, {Keyed(Field::kHeader, "x-tenant", {Is("a")})})}));
  EXPECT_TRUE((*compiled)->NamesHeader("x-tenant"));
  EXPECT_FALSE((*compiled)->NamesHeader("x-other"));
  EXPECT_FALSE((*compiled)->NamesQuery("x-tenant"));
  EXPECT_FALSE((*compiled)->NamesAnyQuery());
}

TEST(CompileTest, ThreadsShareOnePolicy) {
  std::vector<Rule> rules;
  for (int i = 0; i < 200; ++i) {
    rules.push_back(R(Concat("r", i), kAllow, {Id(Re2(Concat(".*/sa/w", i, "-.*")))},
                      {Path(Re2(Concat("/p", i, "(/.*)?")))}));
  }
  auto compiled = CompiledPolicy::Compile(OneSet(rules));
  ASSERT_TRUE(compiled.ok());
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      DecisionScratch scratch(**compiled);
      for (int i = 0; i < 400; ++i) {
        std::string caller = Concat("spiffe://shop.example/sa/w", i % 200, "-x");
        std::string path = Concat("/p", (i * 3) % 200, "/y");
        bool expected = i % 200 == (i * 3) % 200;
        Decision decision = (*compiled)->Decide(Get(path, caller), {}, scratch);
        wrong[t] += (decision.effect == kAllow) != expected;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace countersign::authz::testing
