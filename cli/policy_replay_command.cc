// `countersign policy replay`: what a candidate would have said of recorded requests.
#include "cli/policy_replay_command.h"

#include <CLI/CLI.hpp>
#include <array>
#include <memory>

#include "audit/query/record_json.h"
#include "audit/replay/replay.h"
#include "authz/check/assertions.h"
#include "authz/prove/witness.h"
#include "cli/log_window.h"
#include "cli/policy_output.h"
#include "cli/policy_proofs.h"
#include "cli/running_policies.h"

namespace countersign::cli {
namespace {

using audit::FlipGroup;
using audit::RecordSample;
using audit::ReplayReport;
using audit::UnjudgedGroup;
using authz::prove::Change;

struct ReplayOptions {
  LogWindowOptions window;
  std::vector<std::string> candidate;
  std::vector<std::string> old;
  bool running = false;
  size_t limit = 50;
  std::string output = "table";
};

std::string Place(const authz::SourcePosition& where) {
  return where.line == 0 ? "" : Concat(" (", where.file, ":", where.line, ")");
}

void PrintSamples(const std::vector<RecordSample>& samples, std::ostream& out) {
  for (const RecordSample& sample : samples) {
    out << "     " << audit::FormatTimeNs(sample.time_ns) << " " << audit::DecisionIdText(sample.id)
        << " "
        << EscapeForTerminal(sample.request.empty() ? "(not printable, or long)" : sample.request)
        << "\n";
  }
}

void PrintFlips(const ReplayReport& report, bool allowed, size_t limit, std::ostream& out) {
  uint64_t total = allowed ? report.newly_allowed : report.newly_denied;
  if (total == 0) {
    return;
  }
  out << (allowed ? "newly allowed: " : "newly denied: ") << Count(total, "request") << "\n";
  size_t number = 0;
  uint64_t shown = 0;
  for (const FlipGroup& group : report.flips) {
    if (group.newly_allowed != allowed || number == limit) {
      continue;
    }
    shown += group.count;
    out << "  " << ++number << ". " << group.count << " of " << EscapeForTerminal(group.request)
        << "\n     caller " << EscapeForTerminal(group.caller.empty() ? "none" : group.caller)
        << "\n     workload " << EscapeForTerminal(group.workload) << "\n     was "
        << (allowed ? "denied" : "allowed") << " by " << EscapeForTerminal(group.before)
        << ", would be " << (allowed ? "allowed" : "denied") << " by "
        << EscapeForTerminal(Concat(group.after, Place(group.where))) << "\n";
    PrintSamples(group.samples, out);
  }
  if (shown < total) {
    out << "  and " << total - shown << " more; --limit shows more groups\n";
  }
}

void PrintUnjudged(const ReplayReport& report, size_t limit, std::ostream& out) {
  if (report.unjudged == 0) {
    return;
  }
  out << "cannot be judged: " << Count(report.unjudged, "request") << "\n";
  size_t number = 0;
  for (const UnjudgedGroup& group : report.unjudged_groups) {
    if (number == limit) {
      break;
    }
    out << "  " << ++number << ". " << group.count << " (" << group.were_allowed
        << " were allowed) for lack of ";
    for (size_t i = 0; i < group.fields.size(); ++i) {
      out << (i == 0 ? "" : ", ") << EscapeForTerminal(group.fields[i]);
    }
    out << ": " << audit::WhyLackingText(group.why) << "\n";
    PrintSamples(group.samples, out);
  }
}

// The regions of the exact difference that no record was in.
void PrintRegions(const ReplayReport& report, size_t limit, std::ostream& out) {
  if (!report.proof.ok()) {
    out << "what traffic never exercised is not known: " << EscapeForTerminal(Message(report.proof))
        << "\n";
    return;
  }
  if (!report.regions.has_value()) {
    out << "give --old DIR or --running to see what the change does that no traffic exercised\n";
    return;
  }
  const auto& changes = report.regions->diff().changes;
  std::vector<const Change*> unseen;
  for (size_t i = 0; i < changes.size(); ++i) {
    if (!report.regions->exercised(i)) {
      unseen.push_back(&changes[i]);
    }
  }
  out << Count(changes.size(), "region") << " of requests change"
      << (report.regions->diff().complete ? "" : " (there are more)") << ", " << unseen.size()
      << (report.regions->complete() ? " never exercised" : " not found in the traffic looked at")
      << "\n";
  for (size_t i = 0; i < unseen.size() && i < limit; ++i) {
    out << "  " << i + 1 << ". " << (unseen[i]->newly_allowed ? "newly allowed" : "newly denied")
        << "\n";
    for (const std::string& condition : unseen[i]->conditions) {
      out << "     " << EscapeForTerminal(condition) << "\n";
    }
    out << "     request: " << EscapeForTerminal(authz::prove::RequestText(unseen[i]->request))
        << "\n";
  }
}

void PrintTable(const ReplayReport& report, size_t limit, std::ostream& out) {
  PrintFlips(report, true, limit, out);
  PrintFlips(report, false, limit, out);
  PrintUnjudged(report, limit, out);
  PrintRegions(report, limit, out);
  for (const auto& [field, count] : report.assumed_once) {
    out << Count(count, "verdict") << " hold if " << EscapeForTerminal(field)
        << ", which the records lack, came at most once\n";
  }
  if (report.window.missing != 0) {
    out << Count(report.window.missing, "record") << " of the window were lost before the log\n";
  }
  if (report.window.other != 0) {
    out << Count(report.window.other, "decision")
        << " were not the policies' (probes, the outbound "
        << "side, proxies not ready)\n";
  }
  out << Count(report.window.decisions - report.window.other, "request") << ": " << report.same
      << " the same, " << report.newly_allowed << " newly allowed, " << report.newly_denied
      << " newly denied, " << report.unjudged << " cannot be judged\n";
}

Json ToJson(const std::vector<RecordSample>& samples) {
  Json list = Json::array();
  for (const RecordSample& sample : samples) {
    list.push_back({{"decision", audit::DecisionIdText(sample.id)},
                    {"time", audit::FormatTimeNs(sample.time_ns)},
                    {"request", sample.request.empty() ? Json() : Json(sample.request)}});
  }
  return list;
}

Json FlipsJson(const ReplayReport& report, size_t limit) {
  Json flips = Json::array();
  std::array<size_t, 2> printed = {};
  for (const FlipGroup& group : report.flips) {
    if (printed[group.newly_allowed ? 1 : 0]++ < limit) {
      flips.push_back({{"change", group.newly_allowed ? "newly_allowed" : "newly_denied"},
                       {"count", group.count},
                       {"caller", group.caller.empty() ? Json() : Json(group.caller)},
                       {"workload", group.workload},
                       {"request", group.request},
                       {"before", group.before},
                       {"after", group.after},
                       {"file", group.where.file},
                       {"line", group.where.line},
                       {"samples", ToJson(group.samples)}});
    }
  }
  return flips;
}

Json RegionsJson(const ReplayReport& report) {
  if (!report.proof.ok()) {
    return {{"known", false}, {"error", Message(report.proof)}};
  }
  if (!report.regions.has_value()) {
    return nullptr;
  }
  Json unseen = Json::array();
  const auto& changes = report.regions->diff().changes;
  for (size_t i = 0; i < changes.size(); ++i) {
    if (!report.regions->exercised(i)) {
      unseen.push_back({{"change", changes[i].newly_allowed ? "newly_allowed" : "newly_denied"},
                        {"conditions", changes[i].conditions},
                        {"request", authz::prove::RequestText(changes[i].request)},
                        {"replayable", changes[i].replayable}});
    }
  }
  return {{"known", report.regions->complete()},
          {"complete", report.regions->diff().complete},
          {"changed", changes.size()},
          {"neverExercised", unseen}};
}

void PrintAsJson(const ReplayReport& report, size_t limit, std::ostream& out) {
  Json unjudged = Json::array();
  for (const UnjudgedGroup& group : report.unjudged_groups) {
    if (unjudged.size() < limit) {
      unjudged.push_back({{"fields", group.fields},
                          {"why", audit::WhyLackingText(group.why)},
                          {"count", group.count},
                          {"wereAllowed", group.were_allowed},
                          {"samples", ToJson(group.samples)}});
    }
  }
  out << Print({{"entries", report.window.entries},
                {"decisions", report.window.decisions},
                {"notOfPolicy", report.window.other},
                {"missing", report.window.missing},
                {"same", report.same},
                {"newlyAllowed", report.newly_allowed},
                {"newlyDenied", report.newly_denied},
                {"cannotBeJudged", report.unjudged},
                {"flips", FlipsJson(report, limit)},
                {"flipsInNoGroup", report.ungrouped_flips},
                {"unjudged", unjudged},
                {"assumedOnce", report.assumed_once},
                {"regions", RegionsJson(report)}});
}

// Nothing is called the same that was not tried.
ExitCode CodeOf(const ReplayReport& report) {
  if (report.newly_allowed + report.newly_denied != 0) {
    return kFindings;
  }
  bool tried = report.same != 0 && report.unjudged == 0;
  bool known = report.proof.ok() && (!report.regions.has_value() || report.regions->complete());
  return tried && known ? kGood : kGaveUp;
}

StatusOr<audit::ReplayQuestion> ToQuestion(const ReplayOptions& options, Context& context) {
  audit::ReplayQuestion question;
  ASSIGN_OR_RETURN(question.window, ToLogWindow(options.window, context));
  ASSIGN_OR_RETURN(authz::LoadResult candidate, LoadFaultless(options.candidate, context));
  std::vector<authz::Service> services = candidate.services;
  question.candidate = candidate.sets;
  if (options.running) {
    ASSIGN_OR_RETURN(authz::LoadResult running, RunningPolicies(context));
    services.insert(services.end(), running.services.begin(), running.services.end());
    question.old.push_back(running.sets);
    KeepOthers(running.sets, question.candidate);
  }
  for (const std::string& path : options.old) {
    ASSIGN_OR_RETURN(authz::LoadResult old, LoadFaultless({path}, context));
    services.insert(services.end(), old.services.begin(), old.services.end());
    question.old.push_back(old.sets);
  }
  question.prove = authz::ProveOptionsFor(services, Clock::System().Now());
  return question;
}

void Replay(Context& context, const ReplayOptions& options) {
  StatusOr<audit::ReplayQuestion> question = ToQuestion(options, context);
  StatusOr<ReplayReport> report =
      question.ok() ? audit::Replay(*question) : StatusOr<ReplayReport>(question.status());
  if (!report.ok()) {
    context.Fail(report.status());
    return;
  }
  if (report->judged() + report->unjudged == 0) {
    context.err << "no request in the window: nothing was tried\n";
  }
  context.exit_code = CodeOf(*report);
  if (options.output == "json") {
    PrintAsJson(*report, options.limit, context.out);
  } else {
    PrintTable(*report, options.limit, context.out);
  }
}

}  // namespace

void AddPolicyReplay(CLI::App& policy, Context& context) {
  auto options = std::make_shared<ReplayOptions>();
  CLI::App* verb =
      policy.add_subcommand("replay", "judge recorded requests by policies that do not run yet");
  verb->add_option("-f,--file", options->candidate, "files or folders with the candidate")
      ->required();
  verb->add_option("--old", options->old,
                   "folder with the policies as they are, may be repeated with earlier versions: "
                   "says which headers records hold; the first is diffed with the candidate");
  verb->add_flag("--running", options->running,
                 "take the policies that the server runs for the first of --old");
  AddLogWindow(*verb, options->window);
  verb->add_option("--limit", options->limit, "groups shown of each kind")->capture_default_str();
  verb->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  verb->footer(
      "Examples:\n  countersign policy replay --since 7d -f policies --log "
      "/var/lib/countersign-agent/audit\n"
      "  countersign policy replay --since 7d -f policies --old main/policies --log audit -o json\n"
      "Each log is read whole and held against its signed root. Requests are judged at the time "
      "of\n"
      "their record. Ends with 0 if no verdict changes, 1 if some do, 2 on an error (a damaged "
      "log\n"
      "is one), 3 if none changes but some could not be judged, or nothing was tried.");
  verb->callback([&context, options] { Replay(context, *options); });
}

}  // namespace countersign::cli
