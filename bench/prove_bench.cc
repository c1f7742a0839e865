// Times the prover on the policy of policy_bench: a difference of two sets, a small change of a
// large one, an assertion, lint. CPU time of one thread, best of three; each in a space of its own.
//
//   prove_bench
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>
#include <string>

#include "authz/bench/policy_shape.h"
#include "authz/prove/assertion.h"
#include "authz/prove/diff.h"
#include "authz/prove/lint.h"

namespace countersign::bench {
namespace {

using authz::PolicySet;
using authz::PolicySets;

double CpuMilliseconds() {
  timespec now = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// Time prints the best of three runs; what a run returns says what it found.
void Time(const char* what, const std::function<std::string()>& run) {
  double best = 1e9;
  std::string found;
  for (int i = 0; i < 3; ++i) {
    double begin = CpuMilliseconds();
    found = run();
    best = std::min(best, CpuMilliseconds() - begin);
  }
  std::printf("%-44s %8.0f ms  %s\n", what, best, found.c_str());
}

// Every `step`th rule allows another method.
PolicySets Changed(const PolicySets& sets, size_t step) {
  auto changed = std::make_shared<PolicySet>(*sets[0]);
  size_t number = 0;
  for (authz::AccessPolicy& policy : changed->policies) {
    for (authz::Rule& rule : policy.rules) {
      if (number++ % step == 0) {
        rule.to[0].all_of[0].any_of[0].text = "PATCH";
      }
    }
  }
  return {changed};
}

std::string Diff(const PolicySets& before, const PolicySets& after) {
  auto report = authz::prove::DiffPolicies(before, after, {});
  return report.ok() ? Concat(report->changes.size(), report->complete ? "" : "+", " regions")
                     : std::string(Message(report.status()));
}

// Nobody outside the shop's own domain calls anything but by GET under /api/v4.
std::string Assert(const PolicySets& sets) {
  authz::PolicyAssertion assertion;
  assertion.all_except = true;
  authz::Matcher matcher;
  matcher.kind = authz::Matcher::Kind::kUnder;
  matcher.text = "spiffe://shop.example";
  authz::Condition from;
  from.any_of = {matcher};
  assertion.from.emplace_back().all_of = {from};
  auto checker = authz::prove::AssertionChecker::Create(sets, {});
  if (!checker.ok()) {
    return std::string(Message(checker.status()));
  }
  authz::prove::AssertionResult result = (*checker)->Check(*sets[0], assertion);
  return result.holds()     ? "holds"
         : result.violation ? "violated"
                            : std::string(Message(result.status));
}

std::string Lint(const PolicySets& sets) {
  auto findings = authz::prove::LintRules(sets, {});
  return findings.ok() ? Concat(findings->size(), " findings")
                       : std::string(Message(findings.status()));
}

void Run() {
  PolicySets thousand = Shape({.rules = 1000}).Sets();
  PolicySets ten_thousand = Shape({.rules = 10'000}).Sets();
  PolicySets one_workload = Shape({.rules = 1000, .workloads = 1}).Sets();
  Time("1,000 rules, 100 of them changed", [&] { return Diff(thousand, Changed(thousand, 10)); });
  Time("1,000 rules, all of them changed", [&] { return Diff(thousand, Changed(thousand, 1)); });
  Time("1,000 rules of one workload, 100 changed",
       [&] { return Diff(one_workload, Changed(one_workload, 10)); });
  Time("10,000 rules, none changed", [&] { return Diff(ten_thousand, ten_thousand); });
  Time("10,000 rules, 10 of them changed",
       [&] { return Diff(ten_thousand, Changed(ten_thousand, 1000)); });
  Time("an assertion over 10,000 rules", [&] { return Assert(ten_thousand); });
  Time("lint of 10,000 rules", [&] { return Lint(ten_thousand); });
}

}  // namespace
}  // namespace countersign::bench

int main() {
  countersign::bench::Run();
  return 0;
}
