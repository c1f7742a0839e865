#include "cli/policy_changes.h"

#include <algorithm>

#include "authz/prove/witness.h"
#include "cli/command.h"

namespace countersign::cli {
namespace {

using authz::prove::Change;
using authz::prove::DiffReport;
using authz::prove::Judgement;

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

void PrintSide(const DiffReport& report, bool allowed, std::ostream& out) {
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

}  // namespace

void PrintChanges(const DiffReport& report, std::ostream& out) {
  if (report.same()) {
    out << "no change in meaning\n";
    return;
  }
  PrintSide(report, true, out);
  PrintSide(report, false, out);
  auto allowed =
      static_cast<size_t>(std::ranges::count(report.changes, true, &Change::newly_allowed));
  out << Count(allowed, "region") << " newly allowed, "
      << Count(report.changes.size() - allowed, "region") << " newly denied\n";
  if (!report.complete) {
    out << "there are more regions than are listed\n";
  }
}

Json ChangesJson(const DiffReport& report) {
  Json changes = Json::array();
  for (const Change& change : report.changes) {
    changes.push_back({{"change", change.newly_allowed ? "newly_allowed" : "newly_denied"},
                       {"conditions", change.conditions},
                       {"request", authz::prove::RequestText(change.request)},
                       {"replayable", change.replayable},
                       {"before", ToJson(change.before)},
                       {"after", ToJson(change.after)}});
  }
  return {{"same", report.same()}, {"complete", report.complete}, {"changes", changes}};
}

}  // namespace countersign::cli
