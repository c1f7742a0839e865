// The language from its outside: YAML in, a verdict out, judged by both evaluators.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "authz/check/policy_test_runner.h"
#include "authz/kinds/loader.h"

namespace countersign::authz::testing {

inline constexpr std::string_view kNow = "2030-06-01T00:00:00Z";

// Set is a policy set named `name` over spiffe://td/ns with one policy `p`.
inline std::string Set(std::string_view name, std::string_view policy) {
  return Concat(
      "---\napiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: ", name,
      " }\nspec: { owner: { id: spiffe://td/ana }, scope: { under: spiffe://td/ns } }\n",
      "---\napiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n",
      "spec:\n", policy);
}

// Rules is a set named s whose policy for all workloads has these rules, in flow form.
inline std::string Rules(const std::vector<std::string_view>& rules) {
  std::string policy = "  appliesTo: all\n  rules:\n";
  size_t number = 0;
  for (std::string_view rule : rules) {
    policy += Concat("    - { name: r", ++number, ", ", rule, " }\n");
  }
  return Set("s", policy);
}
inline std::string Allow(std::string_view rest) { return Rules({Concat("effect: allow, ", rest)}); }
inline std::string Deny(std::string_view rest) {
  return Rules({Concat("effect: deny, ", rest), "effect: allow, from: anyone"});
}

// Judge gives "allow by RULE", "deny by RULE" or "deny (REASON)". `request` is the inside of a flow
// map; what it leaves out is filled in: workload spiffe://td/ns/w, GET /.
inline std::string Judge(const std::string& policies, std::string_view request,
                         std::string_view now = kNow) {
  std::vector<SourceFile> files = {{"policies.yaml", policies}};
  LoadResult loaded = Load(files);
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic) << "\n" << policies;
  }
  std::string text(request);
  auto fill = [&text](std::string_view key, std::string_view value) {
    if (text.find(Concat(key, ":")) == std::string::npos) {
      text += Concat(text.empty() ? "" : ", ", key, ": ", value);
    }
  };
  fill("workload", "spiffe://td/ns/w");
  if (text.find("kind: tcp") == std::string::npos) {
    fill("method", "GET");
    fill("path", "/");
  }
  auto typed = LoadTestRequest({"request", Concat("{ ", text, " }")});
  EXPECT_TRUE(typed.ok()) << typed.status() << text;
  auto asking = std::make_shared<PolicySet>();
  asking->name = "zz-asking";
  asking->scope.kind = Matcher::Kind::kPresent;
  PolicyTestCase test;
  test.request = typed.ok() ? *typed : PolicyTestCase::Request();
  asking->tests.push_back(test);
  loaded.sets.push_back(std::move(asking));
  TestReport report = RunPolicyTests(loaded.sets, *ParseTime(now));
  if (report.cases.size() != 1) {
    return Concat("not judged: ", report.diagnostics.empty() ? "" : report.diagnostics[0].message);
  }
  const TestCaseResult& result = report.cases[0];
  for (const Diagnostic& diagnostic : report.diagnostics) {
    EXPECT_EQ(diagnostic.message.find("reference evaluator"), std::string::npos)
        << diagnostic.message;
  }
  std::string verdict = result.actual == Effect::kAllow ? "allow" : "deny";
  return result.deciding_rule.empty() ? Concat(verdict, " (", result.reason, ")")
                                      : Concat(verdict, " by ", result.deciding_rule);
}

struct Row {
  const char* name;
  std::string policies;
  std::string request;
  std::string verdict;
};

inline void ExpectVerdicts(const std::vector<Row>& table) {
  for (const Row& row : table) {
    EXPECT_EQ(Judge(row.policies, row.request), row.verdict) << row.name;
  }
}

inline constexpr std::string_view kAllowed = "allow by s/p/r1";
inline constexpr std::string_view kDenied = "deny by s/p/r1";
inline constexpr std::string_view kUnmatched = "deny (no_rule_matched)";
inline constexpr std::string_view kSpared = "allow by s/p/r2";  // Of Deny: the deny did not match.

// Of one policy: what it is about, the request that it admits, the one that it refuses.
struct Border {
  const char* name;
  std::string rule;
  std::string inside;
  std::string outside;
};

// An allow with these words admits what is inside and nothing of what is outside; a deny the other
// way round.
inline void ExpectBorders(const std::vector<Border>& table) {
  for (const Border& row : table) {
    EXPECT_EQ(Judge(Allow(row.rule), row.inside), kAllowed) << row.name;
    EXPECT_EQ(Judge(Allow(row.rule), row.outside), kUnmatched) << row.name;
    EXPECT_EQ(Judge(Deny(row.rule), row.inside), kDenied) << row.name;
    EXPECT_EQ(Judge(Deny(row.rule), row.outside), kSpared) << row.name;
  }
}

}  // namespace countersign::authz::testing
