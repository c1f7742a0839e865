#include "authz/check/policy_test_runner.h"

#include <algorithm>

#include "authz/check/test_request.h"
#include "authz/engine/compiled_policy.h"
#include "authz/engine/explain.h"
#include "authz/engine/naive_authorizer.h"

namespace countersign::authz {
namespace {

std::string_view EffectName(Effect effect) { return effect == Effect::kAllow ? "allow" : "deny"; }

Diagnostic ErrorAt(const SourcePosition& where, std::string message) {
  return {Diagnostic::Severity::kError, where, std::move(message), "test"};
}

// Runner judges the cases of one RunPolicyTests.
class Runner {
 public:
  Runner(NaiveAuthorizer naive, std::shared_ptr<const CompiledPolicy> compiled, WallTime now)
      : naive_(std::move(naive)), compiled_(std::move(compiled)), scratch_(*compiled_), now_(now) {}

  void Run(const PolicySet& set, const PolicyTestCase& test, TestReport& report) {
    TestCaseResult result;
    result.set = set.name;
    result.name = test.name;
    result.where = test.where;
    result.expected = test.expect;
    result.expected_rule = test.rule;
    TestRequest request(test.request);
    std::string disagreement;
    if (request.error() != CanonicalError::kNone) {
      result.actual = Effect::kDeny;
      result.reason = Concat("bad_request: ", CanonicalErrorName(request.error()));
    } else {
      disagreement = Judge(request.canonical(), result);
    }
    bool rule_decided = test.rule.empty() || test.rule == result.deciding_rule;
    result.passed = disagreement.empty() && result.actual == test.expect && rule_decided;
    if (!result.passed) {
      report.diagnostics.push_back(
          ErrorAt(test.where, Concat("case ", Quoted(test.name), " of policy set ",
                                     Quoted(set.name), ": ", Describe(result), disagreement)));
    }
    report.cases.push_back(std::move(result));
  }

 private:
  // Fills in what both evaluators say. Returns a sentence if they differ, which is our own fault.
  std::string Judge(const CanonicalRequest& request, TestCaseResult& result) {
    Decision decision = compiled_->Decide(request, now_, scratch_);
    NaiveDecision naive = naive_.Decide(request, now_);
    result.actual = decision.effect;
    result.reason = std::string(ReasonName(decision.reason));
    bool same = naive.effect == decision.effect && naive.reason == decision.reason &&
                naive.deciding_rule == decision.deciding_rule;
    Explanation explanation = Explain(*compiled_, request, now_, decision);
    if (explanation.deciding.has_value()) {
      result.deciding_rule = explanation.deciding->Name();
    }
    for (const RuleReference& rule : explanation.matched) {
      result.matched_rules.push_back(rule.Name());
    }
    if (explanation.nearest_miss.has_value()) {
      const MissReport& miss = *explanation.nearest_miss;
      result.nearest_rule = miss.rule.Name();
      result.nearest_field = Concat(FieldName(miss.field), miss.key.empty() ? "" : " ", miss.key,
                                    ": expected ", miss.expected, ", was ", miss.actual);
    }
    if (same) {
      return "";
    }
    return Concat("; the reference evaluator says ", EffectName(naive.effect), " (",
                  ReasonName(naive.reason), "): a fault of this program, please report it");
  }

  static std::string Describe(const TestCaseResult& result) {
    std::string out = Concat("expected ", EffectName(result.expected));
    if (!result.expected_rule.empty()) {
      out += Concat(" by ", result.expected_rule);
    }
    out += Concat(", got ", EffectName(result.actual));
    out += result.deciding_rule.empty() ? Concat(" (", result.reason, ")")
                                        : Concat(" by ", result.deciding_rule);
    std::string others;
    for (const std::string& rule : result.matched_rules) {
      if (rule != result.deciding_rule) {
        others += (others.empty() ? "; matched too: " : ", ") + rule;
      }
    }
    out += others;
    if (!result.expected_rule.empty() && result.expected_rule != result.deciding_rule &&
        result.expected_rule != result.nearest_rule &&
        std::ranges::find(result.matched_rules, result.expected_rule) ==
            result.matched_rules.end()) {
      out += Concat("; ", result.expected_rule, " did not match");
    }
    if (!result.nearest_rule.empty()) {
      out +=
          Concat("; nearest allow rule ", result.nearest_rule, " fails at ", result.nearest_field);
    }
    return out;
  }

  NaiveAuthorizer naive_;
  std::shared_ptr<const CompiledPolicy> compiled_;
  DecisionScratch scratch_;
  WallTime now_;
};

}  // namespace

size_t TestReport::failed() const {
  return static_cast<size_t>(std::ranges::count(cases, false, &TestCaseResult::passed));
}

TestReport RunPolicyTests(const std::vector<std::shared_ptr<const PolicySet>>& sets, WallTime now) {
  TestReport report;
  StatusOr<NaiveAuthorizer> naive = NaiveAuthorizer::Create(sets);
  StatusOr<std::shared_ptr<const CompiledPolicy>> compiled = CompiledPolicy::Compile(sets);
  for (const Status& status : {naive.status(), compiled.status()}) {
    if (!status.ok()) {
      report.diagnostics.push_back(ErrorAt({}, std::string(Message(status))));
      return report;
    }
  }
  Runner runner(*std::move(naive), *std::move(compiled), now);
  for (const auto& set : sets) {
    for (const PolicyTestCase& test : set->tests) {
      runner.Run(*set, test, report);
    }
  }
  return report;
}

}  // namespace countersign::authz
