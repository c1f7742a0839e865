// `countersign policy diff OLD NEW`: the exact difference in meaning.
#include "cli/policy_diff_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "authz/check/assertions.h"
#include "authz/prove/diff.h"
#include "authz/prove/witness.h"
#include "base/clock.h"
#include "cli/policy_output.h"
#include "cli/policy_proofs.h"

namespace countersign::cli {
namespace {

using authz::prove::Change;
using authz::prove::DiffReport;
using authz::prove::Judgement;

struct DiffOptions {
  std::string before;
  std::string after;
  std::string output = "table";
};

std::string Say(const Judgement& judgement) {
  std::string text = judgement.allowed() ? "allowed" : "denied";
  if (judgement.rule.empty()) {
    return Concat(text, " (", authz::ReasonName(judgement.reason), ")");
  }
  text += Concat(" by ", judgement.rule);
  if (judgement.where.line != 0) {
    text += Concat(" (", judgement.where.file, ":", judgement.where.line, ")");
  }
  return text;
}

Json ToJson(const Judgement& judgement) {
  return {{"effect", judgement.allowed() ? "allow" : "deny"},
          {"reason", authz::ReasonName(judgement.reason)},
          {"rule", judgement.rule},
          {"file", judgement.where.file},
          {"line", judgement.where.line}};
}

void PrintChanges(const DiffReport& report, bool allowed, std::ostream& out) {
  size_t number = 0;
  for (const Change& change : report.changes) {
    if (change.newly_allowed != allowed) {
      continue;
    }
    if (number++ == 0) {
      out << (allowed ? "newly allowed:\n" : "newly denied:\n");
    }
    out << "  " << number << ". ";
    for (size_t i = 0; i < change.conditions.size(); ++i) {
      out << (i == 0 ? "" : "\n     ") << EscapeForTerminal(change.conditions[i]);
    }
    out << (change.conditions.empty() ? "every request" : "")
        << "\n     request: " << EscapeForTerminal(authz::prove::RequestText(change.request))
        << (change.replayable ? "" : "  (has bytes that no file can hold)")
        << "\n     before: " << EscapeForTerminal(Say(change.before))
        << "\n     after: " << EscapeForTerminal(Say(change.after)) << "\n";
  }
}

void PrintTable(const DiffReport& report, std::ostream& out) {
  if (report.same()) {
    out << "no change in meaning\n";
    return;
  }
  PrintChanges(report, true, out);
  PrintChanges(report, false, out);
  auto allowed =
      static_cast<size_t>(std::ranges::count(report.changes, true, &Change::newly_allowed));
  out << Count(allowed, "region") << " newly allowed, "
      << Count(report.changes.size() - allowed, "region") << " newly denied\n";
  if (!report.complete) {
    out << "there are more regions than are listed\n";
  }
}

void PrintAsJson(const DiffReport& report, std::ostream& out) {
  Json changes = Json::array();
  for (const Change& change : report.changes) {
    changes.push_back({{"change", change.newly_allowed ? "newly_allowed" : "newly_denied"},
                       {"conditions", change.conditions},
                       {"request", authz::prove::RequestText(change.request)},
                       {"replayable", change.replayable},
                       {"before", ToJson(change.before)},
                       {"after", ToJson(change.after)}});
  }
  out << Print({{"same", report.same()}, {"complete", report.complete}, {"changes", changes}});
}

void Diff(Context& context, const DiffOptions& options) {
  StatusOr<authz::LoadResult> before = LoadFaultless({options.before}, context);
  StatusOr<authz::LoadResult> after = LoadFaultless({options.after}, context);
  for (const Status& status : {before.status(), after.status()}) {
    if (!status.ok()) {
      context.Fail(status);
      return;
    }
  }
  std::vector<authz::Service>& services = after->services;
  services.insert(services.end(), before->services.begin(), before->services.end());
  StatusOr<DiffReport> report = authz::prove::DiffPolicies(
      before->sets, after->sets, authz::ProveOptionsFor(after->services, Clock::System().Now()));
  if (!report.ok()) {
    FailProof(report.status(), context);
    return;
  }
  context.exit_code = report->same() ? kGood : kFindings;
  options.output == "json" ? PrintAsJson(*report, context.out) : PrintTable(*report, context.out);
}

}  // namespace

void AddPolicyDiff(CLI::App& policy, Context& context) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* diff = policy.add_subcommand("diff", "prove what a change of policies changes");
  diff->add_option("old", options->before, "file or folder with the policies as they are")
      ->required();
  diff->add_option("new", options->after, "file or folder with the policies as they would be")
      ->required();
  diff->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  diff->footer(
      "Examples:\n  countersign policy diff main/policies policies\n"
      "Every region of requests whose verdict changes, with one request of it that\n"
      "`countersign policy eval -f -` reads. Ends with 0 if nothing changes, 1 if something\n"
      "does, 2 on an error, 3 if a stated limit was reached first: then nothing is proved.");
  diff->callback([&context, options] { Diff(context, *options); });
}

}  // namespace countersign::cli
