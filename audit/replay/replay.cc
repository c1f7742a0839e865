#include "audit/replay/replay.h"

#include <algorithm>

namespace countersign::audit {
namespace {

// Replayer counts verdicts.
class Replayer {
 public:
  Replayer(Candidate candidate, const ReplayLimits& limits, ReplayReport& report)
      : candidate_(std::move(candidate)), limits_(limits), flips_(limits), report_(report) {}

  Status Take(const DecisionRecord& record) {
    ASSIGN_OR_RETURN(Verdict verdict, candidate_.Judge(record));
    if (!verdict.judged) {
      AddUnjudged(record, verdict);
      return absl::OkStatus();
    }
    if (verdict.fields != 0) {
      ++assumed_[{verdict.keys, verdict.fields}];
    }
    if (verdict.effect == record.effect) {
      ++report_.same;
    } else {
      flips_.Add(record, verdict);
    }
    if (report_.regions.has_value()) {
      report_.regions->See(record);
    }
    return absl::OkStatus();
  }

  void Finish() {
    for (const auto& [assumed, count] : assumed_) {
      for (const std::string& field : FieldTexts(*assumed.first, assumed.second)) {
        report_.assumed_once[field] += count;
      }
    }
    report_.newly_allowed = flips_.newly_allowed();
    report_.newly_denied = flips_.newly_denied();
    report_.ungrouped_flips = flips_.ungrouped();
    report_.flips = flips_.Take();
    for (auto& [key, group] : unjudged_) {
      report_.unjudged_groups.push_back(std::move(group));
    }
    std::ranges::stable_sort(report_.unjudged_groups, std::greater(), &UnjudgedGroup::count);
  }

 private:
  void AddUnjudged(const DecisionRecord& record, const Verdict& verdict) {
    ++report_.unjudged;
    std::vector<std::string> fields = verdict.FieldTexts();
    std::pair key(fields, verdict.why);
    if (unjudged_.size() >= limits_.groups_max && !unjudged_.contains(key)) {
      return;  // It is counted.
    }
    UnjudgedGroup& group = unjudged_[key];
    group.fields = std::move(fields);
    group.why = verdict.why;
    ++group.count;
    group.were_allowed += record.effect == authz::Effect::kAllow ? 1 : 0;
    if (group.samples.size() < limits_.samples_max) {
      group.samples.push_back(SampleOf(record, limits_));
    }
  }

  Candidate candidate_;
  const ReplayLimits limits_;
  FlipTable flips_;
  ReplayReport& report_;
  std::map<std::pair<const std::vector<FieldKey>*, KeySet>, uint64_t> assumed_;
  std::map<std::pair<std::vector<std::string>, WhyLacking>, UnjudgedGroup> unjudged_;
};

// A proof that gave up takes nothing from the rest of the report.
Status FindRegions(const ReplayQuestion& question, ReplayReport& report) {
  if (question.old.empty()) {
    return absl::OkStatus();
  }
  StatusOr<ExercisedRegions> regions = ExercisedRegions::Create(
      {question.old.front(), question.candidate, question.prove}, question.limits);
  if (!regions.ok() && regions.status().code() != StatusCode::kResourceExhausted) {
    return regions.status();
  }
  report.proof = regions.status();
  if (regions.ok()) {
    report.regions = *std::move(regions);
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<ReplayReport> Replay(const ReplayQuestion& question) {
  ASSIGN_OR_RETURN(Candidate candidate,
                   Candidate::Create(question.candidate, question.old, question.limits));
  ReplayReport report;
  RETURN_IF_ERROR(FindRegions(question, report));
  Replayer replayer(std::move(candidate), question.limits, report);
  ASSIGN_OR_RETURN(WindowLogs logs, WindowLogs::Open(question.window));
  ASSIGN_OR_RETURN(report.window, logs.ForEachDecision([&](const DecisionRecord& record) {
    return replayer.Take(record);
  }));
  replayer.Finish();
  return report;
}

}  // namespace countersign::audit
