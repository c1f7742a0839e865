// `countersign policy suggest`: the tightest policy that admits the observed traffic of a service.
#include "cli/policy_suggest_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "audit/replay/suggest.h"
#include "authz/check/assertions.h"
#include "authz/kinds/printer.h"
#include "authz/prove/diff.h"
#include "cli/log_window.h"
#include "cli/policy_changes.h"
#include "cli/policy_output.h"
#include "cli/policy_proofs.h"
#include "cli/text_diff.h"

namespace countersign::cli {
namespace {

using audit::SuggestedPolicy;
using audit::Suggestion;
using authz::prove::DiffReport;

struct SuggestOptions {
  LogWindowOptions window;
  std::string service;
  std::vector<std::string> present;
  std::string output = "table";
};

// What was asked, with the present policies as they were loaded.
struct Asked {
  audit::SuggestQuestion question;
  authz::prove::ProveOptions prove;
};

StatusOr<Asked> ToQuestion(const SuggestOptions& options, Context& context) {
  Asked asked;
  ASSIGN_OR_RETURN(asked.question.window, ToLogWindow(options.window, context));
  asked.question.service = options.service;
  if (!options.present.empty()) {
    ASSIGN_OR_RETURN(authz::LoadResult present, LoadFaultless(options.present, context));
    asked.question.present = present.sets;
    asked.prove = authz::ProveOptionsFor(present.services, Clock::System().Now());
  }
  return asked;
}

// What a person should know beside the policy; as comments it may stand in the same file.
void PrintNotes(const Suggestion& suggestion, std::string_view mark, std::ostream& out) {
  out << mark << "admits " << suggestion.admitted << " of " << suggestion.observed
      << " observed requests\n";
  for (const auto& [rule, count] : suggestion.denied_by) {
    out << mark << Count(count, "observed request") << " would be denied by "
        << EscapeForTerminal(rule) << ", which stays\n";
  }
  if (suggestion.unjudged != 0) {
    out << mark << Count(suggestion.unjudged, "observed request")
        << " cannot be judged: a deny that stays hangs on fields that records lack\n";
  }
  for (const std::string& policy : suggestion.staying) {
    out << mark << EscapeForTerminal(policy) << " guards it too and stays as it is\n";
  }
  if (suggestion.window.missing != 0) {
    out << mark << Count(suggestion.window.missing, "record")
        << " of the window were lost before the log\n";
  }
}

Status PrintDocuments(const Suggestion& suggestion, std::ostream& out) {
  PrintNotes(suggestion, "# ", out);
  for (size_t i = 0; i < suggestion.policies.size(); ++i) {
    ASSIGN_OR_RETURN(std::string yaml, authz::ToYaml(suggestion.policies[i].document));
    out << (i == 0 ? "" : "---\n") << yaml;
  }
  return absl::OkStatus();
}

Status PrintDiffs(const Suggestion& suggestion, std::ostream& out) {
  for (const SuggestedPolicy& policy : suggestion.policies) {
    std::string former;
    if (!policy.former.empty()) {
      ASSIGN_OR_RETURN(former, authz::ToYaml(policy.former));
    }
    ASSIGN_OR_RETURN(std::string next, authz::ToYaml(policy.document));
    out << "policy " << policy.set << "/" << policy.name << " for "
        << EscapeForTerminal(policy.workload) << "\n"
        << UnifiedDiff(former, next);
  }
  return absl::OkStatus();
}

Status AddPolicies(const Suggestion& suggestion, Json& policies) {
  for (const SuggestedPolicy& policy : suggestion.policies) {
    ASSIGN_OR_RETURN(std::string yaml, authz::ToYaml(policy.document));
    policies.push_back({{"workload", policy.workload},
                        {"set", policy.set},
                        {"name", policy.name},
                        {"document", Json::parse(policy.document)},
                        {"yaml", yaml}});
  }
  return absl::OkStatus();
}

Status PrintAsJson(const Suggestion& suggestion, const DiffReport* diff, std::ostream& out) {
  Json policies = Json::array();
  RETURN_IF_ERROR(AddPolicies(suggestion, policies));
  out << Print({{"observed", suggestion.observed},
                {"admitted", suggestion.admitted},
                {"deniedBy", suggestion.denied_by},
                {"cannotBeJudged", suggestion.unjudged},
                {"missing", suggestion.window.missing},
                {"staying", suggestion.staying},
                {"policies", policies},
                {"diff", diff == nullptr ? Json() : ChangesJson(*diff)}});
  return absl::OkStatus();
}

ExitCode CodeOf(const Suggestion& suggestion, const DiffReport* diff) {
  if (suggestion.unjudged != 0) {
    return kGaveUp;
  }
  bool argues = !suggestion.denied_by.empty();
  return argues || (diff != nullptr && !diff->same()) ? kFindings : kGood;
}

void Suggest(Context& context, const SuggestOptions& options) {
  StatusOr<Asked> asked = ToQuestion(options, context);
  StatusOr<Suggestion> suggestion =
      asked.ok() ? audit::Suggest(asked->question) : StatusOr<Suggestion>(asked.status());
  if (!suggestion.ok()) {
    context.Fail(suggestion.status());
    return;
  }
  std::optional<DiffReport> diff;
  if (asked->question.present.has_value()) {
    StatusOr<DiffReport> report =
        authz::prove::DiffPolicies(*asked->question.present, suggestion->after, asked->prove);
    if (!report.ok()) {
      FailProof(report.status(), context);
      return;
    }
    diff = *std::move(report);
  }
  const DiffReport* meaning = diff.has_value() ? &*diff : nullptr;
  Status printed;
  if (options.output == "json") {
    printed = PrintAsJson(*suggestion, meaning, context.out);
  } else if (meaning == nullptr) {
    printed = PrintDocuments(*suggestion, context.out);
  } else {
    printed = PrintDiffs(*suggestion, context.out);
    PrintChanges(*meaning, context.out);
    PrintNotes(*suggestion, "", context.out);
  }
  if (!printed.ok()) {
    context.Fail(printed);
    return;
  }
  context.exit_code = CodeOf(*suggestion, meaning);
}

}  // namespace

void AddPolicySuggest(CLI::App& policy, Context& context) {
  auto options = std::make_shared<SuggestOptions>();
  CLI::App* verb = policy.add_subcommand(
      "suggest", "write the tightest policy that admits a service's recorded traffic");
  verb->add_option("--service", options->service, "the service, as its records name it")
      ->required();
  verb->add_option("-f,--file", options->present,
                   "files or folders with the policies as they are: print the difference in text "
                   "and in meaning");
  AddLogWindow(*verb, options->window);
  verb->add_option("-o,--output", options->output, "table (YAML, or the difference) or json")
      ->check(CLI::IsMember({"table", "json"}));
  verb->footer(
      "Examples:\n  countersign policy suggest --service orders --since 7d > orders.yaml\n"
      "  countersign policy suggest --service orders --log audit -f policies\n"
      "Speaks of callers, methods and paths, and of ports for raw connections. A segment becomes\n"
      "{id} where three values that look like identifiers stood, or more than 20 others. Every\n"
      "recorded request is judged by the result before it is printed. Ends with 0, with -f with 1\n"
      "if the present policies mean something else, 2 on an error, 3 if a proof or a record could\n"
      "not be judged.");
  verb->callback([&context, options] { Suggest(context, *options); });
}

}  // namespace countersign::cli
