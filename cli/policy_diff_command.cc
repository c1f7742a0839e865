// `countersign policy diff OLD NEW`: the exact difference in meaning.
#include "cli/policy_diff_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "authz/check/assertions.h"
#include "authz/prove/diff.h"
#include "authz/prove/witness.h"
#include "base/clock.h"
#include "cli/policy_output.h"
#include "cli/policy_proofs.h"
#include "cli/running_policies.h"

namespace countersign::cli {
namespace {

using authz::prove::Change;
using authz::prove::DiffReport;
using authz::prove::Judgement;

struct DiffOptions {
  std::vector<std::string> versions;  // Old and new; new alone with `running`.
  bool running = false;
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

// KeepOthers: an apply replaces the sets that it brings, and no other.
void KeepOthers(const authz::LoadResult& running, authz::LoadResult& applied) {
  const auto name = [](const auto& set) -> const std::string& { return set->name; };
  std::set<std::string> brought;
  for (const auto& set : applied.sets) {
    brought.insert(set->name);
  }
  std::ranges::copy_if(running.sets, std::back_inserter(applied.sets),
                       [&](const auto& set) { return !brought.contains(set->name); });
  std::ranges::sort(applied.sets, {}, name);
}

void Diff(Context& context, const DiffOptions& options) {
  if (options.versions.size() != (options.running ? 1 : 2)) {
    context.Fail(InvalidArgument(
        options.running ? "with --running, give only what would replace it"
                        : "give the old and the new policies, or --running and the new"));
    return;
  }
  StatusOr<authz::LoadResult> before = options.running
                                           ? RunningPolicies(context)
                                           : LoadFaultless({options.versions.front()}, context);
  StatusOr<authz::LoadResult> after = LoadFaultless({options.versions.back()}, context);
  for (const Status& status : {before.status(), after.status()}) {
    if (!status.ok()) {
      context.Fail(status);
      return;
    }
  }
  if (options.running) {
    KeepOthers(*before, *after);
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
  diff->add_option("versions", options->versions,
                   "files or folders: the policies as they are, and as they would be")
      ->required()
      ->expected(1, 2);
  diff->add_flag("--running", options->running, "compare with what the server runs now");
  diff->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  diff->footer(
      "Examples:\n  countersign policy diff main/policies policies\n"
      "  countersign policy diff --running policies\n"
      "Every region of requests whose verdict changes, with one request of it that\n"
      "`countersign policy eval -f -` reads. Ends with 0 if nothing changes, 1 if something\n"
      "does, 2 on an error, 3 if a stated limit was reached first: then nothing is proved.");
  diff->callback([&context, options] { Diff(context, *options); });
}

}  // namespace countersign::cli
