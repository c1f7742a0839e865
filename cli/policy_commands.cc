#include "cli/policy_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>

#include "authz/check/assertions.h"
#include "authz/check/evaluate.h"
#include "authz/check/lint.h"
#include "authz/check/references.h"
#include "authz/kinds/explain_kind.h"
#include "authz/kinds/loader.h"
#include "cli/policy_authoring.h"
#include "cli/policy_bench_command.h"
#include "cli/policy_diff_command.h"
#include "cli/policy_output.h"
#include "cli/policy_plan.h"
#include "cli/policy_sarif.h"
#include "cli/policy_who_can_command.h"

namespace countersign::cli {
namespace {

using authz::Diagnostic;

// PolicyOptions are what the verbs of `policy` were given.
struct PolicyOptions {
  std::vector<std::string> paths;
  std::string request;
  std::string output = "table";
  bool strict = false;
  bool plan = false;
  bool json() const { return output == "json"; }
};

// Loads and, if that went well, compiles and lints: the findings of `policy check`.
void Check(Context& context, const PolicyOptions& options) {
  StatusOr<std::vector<authz::SourceFile>> files = ReadPaths(options.paths);
  if (!files.ok()) {
    context.Fail(files.status());
    return;
  }
  authz::LoadResult loaded = authz::Load(*files);
  std::vector<Diagnostic> findings = std::move(loaded.diagnostics);
  std::optional<authz::MatcherPlan> plan;
  authz::AssertionFindings proofs;
  if (CountErrors(findings) == 0) {
    WallTime now = Clock::System().Now();
    if (auto compiled = authz::CompiledPolicy::Compile(loaded.sets); !compiled.ok()) {
      findings.push_back(
          {Diagnostic::Severity::kError, {}, std::string(Message(compiled.status())), "compile"});
    } else if (options.plan) {
      plan = (*compiled)->Plan();
    }
    auto lint = authz::LintPolicies(loaded.sets, loaded.services, now);
    std::move(lint.begin(), lint.end(), std::back_inserter(findings));
    authz::KnownNames known;
    known.Add(loaded);
    std::ranges::move(authz::CheckReferences(loaded, known), std::back_inserter(findings));
    proofs = authz::CheckAssertions(loaded.sets, loaded.services, now);
    std::ranges::move(proofs.diagnostics, std::back_inserter(findings));
    auto proved = authz::ProvedLint(loaded.sets, loaded.services, now);
    std::ranges::move(proved, std::back_inserter(findings));
  }
  size_t errors = CountErrors(findings);
  size_t warnings = findings.size() - errors;
  bool good = errors == 0 && (warnings == 0 || !options.strict);
  context.exit_code = good ? kGood : proofs.gave_up ? kGaveUp : kFindings;
  if (options.output == "sarif") {
    context.out << ToSarif(findings, *files);
    return;
  }
  if (options.json()) {
    Json json = {{"ok", good},
                 {"policySets", loaded.sets.size()},
                 {"registrations", loaded.registrations.size()},
                 {"services", loaded.services.size()},
                 {"routes", loaded.routes.size()},
                 {"errors", errors},
                 {"warnings", warnings},
                 {"provedAssertions", proofs.proved},
                 {"diagnostics", ToJson(findings)}};
    if (plan) {
      json["plan"] = PlanAsJson(*plan);
    }
    context.out << Print(json);
    return;
  }
  PrintDiagnostics(findings, context.out);
  context.out << Count(loaded.sets.size(), "policy set") << ", "
              << Count(loaded.registrations.size(), "registration") << ", "
              << Count(loaded.services.size(), "service") << ", "
              << Count(loaded.routes.size(), "route") << "; " << Count(errors, "error") << ", "
              << Count(warnings, "warning") << "\n";
  if (proofs.proved != 0) {
    context.out << Count(proofs.proved, "assertion") << " proved\n";
  }
  for (const auto& set : loaded.sets) {
    context.out << set->name << "  sha256:" << set->digest << "\n";
  }
  if (plan) {
    context.out << PlanAsText(*plan);
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
      context.out << Print({{"effect", "deny"},
                            {"reason", "bad_request"},
                            {"error", error},
                            {"deciding", nullptr},
                            {"matched", Json::array()},
                            {"nearestMiss", nullptr}});
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

  CLI::App* check =
      policy->add_subcommand("check", "load policy files, compile, lint and prove them");
  check->add_option("paths", options->paths, "files or folders; - is standard input")->required();
  check->add_flag("--strict", options->strict, "warnings count as findings");
  check->add_flag("--plan", options->plan, "also say how the policy finds its rules");
  check->add_option("-o,--output", options->output, "table, json or sarif (2.1.0)")
      ->check(CLI::IsMember({"table", "json", "sarif"}));
  check->footer(
      "Examples:\n  countersign policy check policies\n"
      "  countersign policy check --strict -o json examples/shop\n"
      "  countersign policy check policies -o sarif > policies.sarif\n"
      "  countersign policy check --plan policies\n"
      "Ends with 0 if all is well, with 1 on findings, with 2 if files cannot be read, with 3 if\n"
      "a proof met a stated limit.");
  check->callback([&context, options] { Check(context, *options); });

  AddPolicyTest(*policy, context);
  AddPolicyBenchCommand(*policy, context);
  AddPolicyDiff(*policy, context);
  AddPolicyWhoCan(*policy, context);

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

  AddPolicyFmt(*policy, context);
  AddSchema(app, context);

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
