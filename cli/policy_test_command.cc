// `policy test`: the PolicyTests of policy files, what they cover, and borders that they do not.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>

#include "authz/check/coverage.h"
#include "authz/check/generate.h"
#include "authz/check/policy_test_runner.h"
#include "cli/command.h"
#include "cli/policy_authoring.h"
#include "cli/policy_output.h"

namespace countersign::cli {
namespace {

using authz::CoverageReport;
using authz::Diagnostic;

struct TestOptions {
  std::vector<std::string> paths;
  std::string output = "table";
  bool coverage = false;
  bool generate = false;
  unsigned min_coverage = 0;
  bool json() const { return output == "json"; }
};

Json ToJson(const authz::TestCaseResult& result) {
  auto effect = [](authz::Effect e) { return e == authz::Effect::kAllow ? "allow" : "deny"; };
  return {{"set", result.set},
          {"name", result.name},
          {"file", result.where.file},
          {"line", result.where.line},
          {"passed", result.passed},
          {"expected", effect(result.expected)},
          {"expectedRule", result.expected_rule},
          {"actual", effect(result.actual)},
          {"reason", result.reason},
          {"rule", result.deciding_rule},
          {"matchedRules", result.matched_rules},
          {"nearestRule", result.nearest_rule},
          {"nearestField", result.nearest_field}};
}

Json ToJson(const CoverageReport& report) {
  Json rules = Json::array();
  for (const authz::RuleCoverage& rule : report.rules) {
    rules.push_back({{"rule", rule.rule},
                     {"file", rule.where.file},
                     {"line", rule.where.line},
                     {"matched", rule.matched},
                     {"decided", rule.decided},
                     {"onTrial", rule.on_trial}});
  }
  Json predicates = Json::array();
  for (const authz::PredicateCoverage& each : report.predicates) {
    predicates.push_back({{"rule", each.rule},
                          {"predicate", each.predicate},
                          {"file", each.where.file},
                          {"line", each.where.line},
                          {"column", each.where.column},
                          {"held", each.held},
                          {"failed", each.failed},
                          {"inside", each.inside},
                          {"outside", each.outside}});
  }
  return {{"rulePercent", report.RulePercent()},
          {"fieldPercent", report.FieldPercent()},
          {"boundaryPercent", report.BoundaryPercent()},
          {"rules", rules},
          {"predicates", predicates}};
}

std::string PlaceOf(const authz::SourcePosition& where) {
  return Concat(where.file, ":", where.line, ":", where.column, ": ");
}

// What no case saw of a predicate, or nothing.
std::string MissingOf(const authz::PredicateCoverage& each) {
  std::string missing;
  auto add = [&missing](bool seen, std::string_view words) {
    missing += seen ? "" : Concat(missing.empty() ? "" : ", ", words);
  };
  add(each.held, "never true");
  add(each.failed, "never false");
  if (each.held && each.failed) {
    add(each.inside, "no request just inside");
    add(each.outside, "no request just outside");
  }
  return missing;
}

void PrintCoverage(const CoverageReport& report, std::ostream& out) {
  for (const authz::RuleCoverage& rule : report.rules) {
    if (rule.matched == 0 || (rule.decided == 0 && !rule.on_trial)) {
      out << EscapeForTerminal(Concat(
                 PlaceOf(rule.where), "rule ", rule.rule,
                 rule.matched == 0 ? ": no case matches it" : ": matched, but decides no case"))
          << "\n";
    }
  }
  for (const authz::PredicateCoverage& each : report.predicates) {
    if (std::string missing = MissingOf(each); !missing.empty()) {
      out << EscapeForTerminal(
                 Concat(PlaceOf(each.where), each.rule, ", ", each.predicate, ": ", missing))
          << "\n";
    }
  }
  out << "coverage: rules " << report.RulePercent() << "%, fields " << report.FieldPercent()
      << "%, borders " << report.BoundaryPercent() << "%\n";
}

unsigned LeastOf(const CoverageReport& report) {
  return std::min({report.RulePercent(), report.FieldPercent(), report.BoundaryPercent()});
}

// Writes documents to put beside the policies.
void Generate(Context& context, const authz::LoadResult& loaded) {
  auto all = authz::GenerateTests(loaded.sets, Clock::System().Now());
  if (!all.ok()) {
    context.Fail(all.status());
    return;
  }
  std::string_view between;
  for (const authz::GeneratedTests& tests : *all) {
    if (tests.cases > 0) {
      context.out << between << "# Policy set " << tests.set << ", " << Count(tests.cases, "case")
                  << ": the verdicts of today. Review each before you keep it.\n"
                  << tests.yaml;
      between = "---\n";
    }
    for (const std::string& rule : tests.without_request) {
      context.err << "no request was found that matches " << rule << ": write one by hand\n";
    }
  }
}

struct Outcome {
  std::vector<Diagnostic> findings;
  authz::TestReport report;
  std::optional<CoverageReport> coverage;
};

StatusOr<Outcome> Run(authz::LoadResult& loaded, const TestOptions& options) {
  Outcome outcome;
  outcome.findings = std::move(loaded.diagnostics);
  if (CountErrors(outcome.findings) > 0) {
    return outcome;
  }
  WallTime now = Clock::System().Now();
  outcome.report = authz::RunPolicyTests(loaded.sets, now);
  outcome.findings.insert(outcome.findings.end(), outcome.report.diagnostics.begin(),
                          outcome.report.diagnostics.end());
  if (options.coverage || options.min_coverage > 0) {
    ASSIGN_OR_RETURN(outcome.coverage,
                     authz::MeasureCoverage(loaded.sets, outcome.report.cases, now));
  }
  return outcome;
}

void PrintJson(Context& context, const Outcome& outcome, bool good) {
  Json cases = Json::array();
  for (const authz::TestCaseResult& result : outcome.report.cases) {
    cases.push_back(ToJson(result));
  }
  Json out = {{"ok", good}, {"cases", cases}, {"diagnostics", cli::ToJson(outcome.findings)}};
  if (outcome.coverage.has_value()) {
    out["coverage"] = ToJson(*outcome.coverage);
  }
  context.out << Print(out);
}

void Test(Context& context, const TestOptions& options) {
  StatusOr<authz::LoadResult> loaded = LoadPaths(options.paths);
  if (loaded.ok() && loaded->ok() && options.generate) {
    Generate(context, *loaded);
    return;
  }
  StatusOr<Outcome> outcome =
      loaded.ok() ? Run(*loaded, options) : StatusOr<Outcome>(loaded.status());
  if (!outcome.ok()) {
    context.Fail(outcome.status());
    return;
  }
  bool passed = CountErrors(outcome->findings) == 0;
  bool untried = passed && outcome->report.cases.empty();
  bool covered = !outcome->coverage.has_value() || options.min_coverage == 0 ||
                 (!untried && LeastOf(*outcome->coverage) >= options.min_coverage);
  context.exit_code = passed && covered ? kGood : kFindings;
  if (untried) {
    context.err << "no PolicyTest was found: nothing was tried\n";
  }
  if (options.json()) {
    PrintJson(context, *outcome, passed && covered);
    return;
  }
  PrintDiagnostics(outcome->findings, context.out);
  context.out << Count(outcome->report.cases.size(), "case") << ", " << outcome->report.failed()
              << " failed\n";
  if (outcome->coverage.has_value()) {
    PrintCoverage(*outcome->coverage, context.out);
  }
  if (!covered) {
    context.out << "less than " << options.min_coverage << "% of rules, fields or borders\n";
  }
}

}  // namespace

void AddPolicyTest(CLI::App& policy, Context& context) {
  auto options = std::make_shared<TestOptions>();
  CLI::App* test = policy.add_subcommand("test", "run the PolicyTests of policy files");
  test->add_option("paths", options->paths, "files or folders; - is standard input")->required();
  test->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  test->add_flag("--coverage", options->coverage,
                 "say which rules, sides of predicates and borders no case tries");
  test->add_option("--min-coverage", options->min_coverage,
                   "the least percentage of rules, of fields and of borders")
      ->check(CLI::Range(0, 100));
  test->add_flag("--generate", options->generate,
                 "print a PolicyTest with a case on each side of every border, to be reviewed");
  test->footer(
      "Examples:\n  countersign policy test policies\n"
      "  countersign policy test --min-coverage 90 policies/shop\n"
      "  countersign policy test --generate policies/shop > policies/shop/borders.yaml\n"
      "Ends with 1 if a case fails or less is covered than asked for. Files without a case end\n"
      "with 0 and a word on stderr, with --min-coverage with 1.");
  test->callback([&context, options] { Test(context, *options); });
}

}  // namespace countersign::cli
