#include "cli/policy_commands.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "authz/check/assertions.h"
#include "authz/check/evaluate.h"
#include "authz/check/lint.h"
#include "authz/check/policy_test_runner.h"
#include "authz/kinds/explain_kind.h"
#include "authz/kinds/loader.h"

namespace countersign::cli {
namespace {

using authz::Diagnostic;
using Json = nlohmann::ordered_json;

// PolicyOptions are what the verbs of `policy` were given.
struct PolicyOptions {
  std::vector<std::string> paths;
  std::string request;
  std::string output = "table";
  bool strict = false;
  bool json() const { return output == "json"; }
};

// File names are any bytes: those that are no UTF-8 are replaced.
std::string Print(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json ToJson(const std::vector<Diagnostic>& diagnostics) {
  Json list = Json::array();
  for (const Diagnostic& each : diagnostics) {
    bool is_error = each.severity == Diagnostic::Severity::kError;
    list.push_back({{"severity", is_error ? "error" : "warning"},
                    {"file", each.where.file},
                    {"line", each.where.line},
                    {"column", each.where.column},
                    {"message", each.message}});
  }
  return list;
}

size_t CountErrors(const std::vector<Diagnostic>& diagnostics) {
  size_t count = 0;
  for (const Diagnostic& each : diagnostics) {
    count += each.severity == Diagnostic::Severity::kError ? 1 : 0;
  }
  return count;
}

void PrintDiagnostics(const std::vector<Diagnostic>& diagnostics, std::ostream& out) {
  for (const Diagnostic& each : diagnostics) {
    out << EscapeForTerminal(authz::FormatDiagnostic(each)) << "\n";
  }
}

std::string Count(size_t number, std::string_view noun) {
  return Concat(number, " ", noun, number == 1 ? "" : "s");
}

StatusOr<authz::LoadResult> LoadPaths(const std::vector<std::string>& paths) {
  std::vector<authz::SourceFile> files;
  std::set<std::string> seen;  // A file that two paths lead to, perhaps by a link, is read once.
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(std::vector<authz::SourceFile> found, authz::ReadSources(path));
    for (authz::SourceFile& file : found) {
      std::error_code ignored;
      if (seen.insert(std::filesystem::weakly_canonical(file.path, ignored).string()).second) {
        files.push_back(std::move(file));
      }
    }
  }
  return authz::Load(files);
}

// Loads and, if that went well, compiles and lints: the findings of `policy check`.
void Check(Context& context, const PolicyOptions& options) {
  StatusOr<authz::LoadResult> loaded = LoadPaths(options.paths);
  if (!loaded.ok()) {
    context.Fail(loaded.status());
    return;
  }
  std::vector<Diagnostic> findings = std::move(loaded->diagnostics);
  if (CountErrors(findings) == 0) {
    WallTime now = Clock::System().Now();
    if (auto compiled = authz::CompiledPolicy::Compile(loaded->sets); !compiled.ok()) {
      findings.push_back(
          {Diagnostic::Severity::kError, {}, std::string(Message(compiled.status()))});
    }
    auto lint = authz::LintPolicies(loaded->sets, loaded->services, now);
    std::move(lint.begin(), lint.end(), std::back_inserter(findings));
    auto unproved = authz::CheckAssertions(loaded->sets);
    std::move(unproved.begin(), unproved.end(), std::back_inserter(findings));
  }
  size_t errors = CountErrors(findings);
  size_t warnings = findings.size() - errors;
  bool good = errors == 0 && (warnings == 0 || !options.strict);
  context.exit_code = good ? kGood : kFindings;
  if (options.json()) {
    context.out << Print({{"ok", good}, {"diagnostics", ToJson(findings)}});
    return;
  }
  PrintDiagnostics(findings, context.out);
  context.out << Count(loaded->sets.size(), "policy set") << ", "
              << Count(loaded->registrations.size(), "registration") << ", "
              << Count(loaded->services.size(), "service") << ", "
              << Count(loaded->routes.size(), "route") << "; " << Count(errors, "error") << ", "
              << Count(warnings, "warning") << "\n";
  for (const auto& set : loaded->sets) {
    context.out << set->name << "  sha256:" << set->digest << "\n";
  }
}

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

void Test(Context& context, const PolicyOptions& options) {
  StatusOr<authz::LoadResult> loaded = LoadPaths(options.paths);
  if (!loaded.ok()) {
    context.Fail(loaded.status());
    return;
  }
  std::vector<Diagnostic> findings = std::move(loaded->diagnostics);
  authz::TestReport report;
  if (CountErrors(findings) == 0) {
    report = authz::RunPolicyTests(loaded->sets, Clock::System().Now());
    findings.insert(findings.end(), report.diagnostics.begin(), report.diagnostics.end());
  }
  bool good = CountErrors(findings) == 0;
  context.exit_code = good ? kGood : kFindings;
  if (options.json()) {
    Json cases = Json::array();
    for (const authz::TestCaseResult& result : report.cases) {
      cases.push_back(ToJson(result));
    }
    context.out << Print({{"ok", good}, {"cases", cases}, {"diagnostics", ToJson(findings)}});
    return;
  }
  PrintDiagnostics(findings, context.out);
  context.out << Count(report.cases.size(), "case") << ", " << report.failed() << " failed\n";
  if (good && report.cases.empty()) {
    context.out << "no PolicyTest was found: nothing was tried\n";
  }
}

void Evaluate(Context& context, const PolicyOptions& options) {
  StatusOr<authz::LoadResult> loaded = LoadPaths(options.paths);
  StatusOr<std::vector<authz::SourceFile>> source = authz::ReadSources(options.request);
  for (const Status& status : {loaded.status(), source.status()}) {
    if (!status.ok()) {
      context.Fail(status);
      return;
    }
  }
  if (!loaded->ok() || source->size() != 1) {
    PrintDiagnostics(loaded->diagnostics, context.err);
    context.Fail(InvalidArgument(loaded->ok() ? "-f must name one file"
                                              : "the policies have errors: nothing was judged"));
    return;
  }
  auto request = authz::LoadTestRequest(source->front());
  auto evaluation = request.ok()
                        ? authz::EvaluateRequest(loaded->sets, *request, Clock::System().Now())
                        : StatusOr<authz::Evaluation>(request.status());
  if (!evaluation.ok()) {
    context.Fail(evaluation.status());
    return;
  }
  context.exit_code = evaluation->allowed() ? kGood : kFindings;
  if (evaluation->refused != authz::CanonicalError::kNone) {
    std::string_view error = authz::CanonicalErrorName(evaluation->refused);
    if (options.json()) {
      context.out << Print({{"effect", "deny"}, {"reason", "bad_request"}, {"error", error}});
    } else {
      context.out << "refused with 400 before any rule: " << error << "\n";
    }
    return;
  }
  context.out << (options.json() ? evaluation->explanation.Json()
                                 : EscapeForTerminal(evaluation->explanation.Text()))
              << "\n";
}

void ExplainKind(Context& context, const std::string& name, const PolicyOptions& options) {
  if (name.empty()) {
    context.out << authz::ListKinds();
    return;
  }
  StatusOr<std::string> text =
      options.json() ? authz::ExplainFieldJson(name) : authz::ExplainField(name);
  if (!text.ok()) {
    context.Fail(text.status());
    return;
  }
  context.out << *text;
}

void AddOutput(CLI::App& verb, PolicyOptions& options) {
  verb.add_option("-o,--output", options.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
}

}  // namespace

void AddPolicyCommands(CLI::App& app, Context& context) {
  CLI::App* policy = app.add_subcommand("policy", "check, test and try policy files");
  policy->require_subcommand(1);
  auto options = std::make_shared<PolicyOptions>();

  CLI::App* check = policy->add_subcommand("check", "load policy files, compile and lint them");
  check->add_option("paths", options->paths, "files or folders; - is standard input")->required();
  check->add_flag("--strict", options->strict, "warnings count as findings");
  AddOutput(*check, *options);
  check->footer(
      "Examples:\n  countersign policy check policies\n"
      "  countersign policy check --strict -o json examples/shop");
  check->callback([&context, options] { Check(context, *options); });

  CLI::App* test = policy->add_subcommand("test", "run the PolicyTests of policy files");
  test->add_option("paths", options->paths, "files or folders; - is standard input")->required();
  AddOutput(*test, *options);
  test->footer("Examples:\n  countersign policy test policies");
  test->callback([&context, options] { Test(context, *options); });

  CLI::App* eval = policy->add_subcommand("eval", "judge one request and explain the verdict");
  eval->add_option("paths", options->paths, "files or folders with policies")->required();
  eval->add_option("-f,--file", options->request,
                   "the request, as PolicyTest cases write it; - is standard input")
      ->required();
  AddOutput(*eval, *options);
  eval->footer(
      "Examples:\n  countersign policy eval policies -f request.yaml\n"
      "Ends with 0 if the request is allowed, with 1 if it is denied.");
  eval->callback([&context, options] { Evaluate(context, *options); });

  CLI::App* explain = app.add_subcommand("explain", "explain a kind of document or one field");
  auto name = std::make_shared<std::string>();
  explain->add_option("name", *name, "KIND or KIND.FIELD; none: list the kinds");
  AddOutput(*explain, *options);
  explain->footer(
      "Examples:\n  countersign explain accesspolicy\n"
      "  countersign explain accesspolicy.spec.rules.from");
  explain->callback([&context, name, options] { ExplainKind(context, *name, *options); });
}

}  // namespace countersign::cli
