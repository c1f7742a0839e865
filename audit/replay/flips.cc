#include "audit/replay/flips.h"

#include <algorithm>
#include <tuple>

#include "audit/replay/recorded_request.h"

namespace countersign::audit {
namespace {

std::string RecordedRule(const DecisionRecord& record) {
  return record.rule.empty() ? Concat("(", authz::ReasonName(record.reason), ")")
                             : std::string(record.rule);
}

std::string ShapeOf(const DecisionRecord& record, const ReplayLimits& limits) {
  return record.kind == authz::RequestKind::kTcp
             ? Concat("tcp :", record.port)
             : Concat(record.method.substr(0, limits.shape_bytes_max), " ",
                      PathShape(record.path, limits.shape_bytes_max));
}

}  // namespace

RecordSample SampleOf(const DecisionRecord& record, const ReplayLimits& limits) {
  return {record.id, record.time_ns, RequestText(record, limits.sample_bytes_max)};
}

void FlipTable::Add(const DecisionRecord& record, const Verdict& verdict) {
  const bool allowed = verdict.effect == authz::Effect::kAllow;
  ++(allowed ? newly_allowed_ : newly_denied_);
  std::string request = ShapeOf(record, limits_);
  key_.clear();
  key_ += allowed ? 'a' : 'd';
  for (std::string_view part : {record.rule, authz::ReasonName(record.reason), record.caller,
                                record.callee, std::string_view(request)}) {
    key_.append(part);
    key_ += '\n';  // None of the parts holds one.
  }
  key_ += verdict.RuleName();
  auto found = groups_.find(key_);
  if (found == groups_.end()) {
    if (groups_.size() == limits_.groups_max) {
      ++ungrouped_;
      return;
    }
    found = groups_.emplace(key_, FlipGroup()).first;
    FlipGroup& group = found->second;
    group.newly_allowed = allowed;
    group.before = RecordedRule(record);
    group.after = verdict.RuleName();
    if (const authz::SourcePosition* where = verdict.RuleWhere()) {
      group.where = *where;
    }
    group.caller = record.caller;
    group.workload = record.callee;
    group.request = std::move(request);
  }
  FlipGroup& group = found->second;
  ++group.count;
  if (group.samples.size() < limits_.samples_max) {
    group.samples.push_back(SampleOf(record, limits_));
  }
}

std::vector<FlipGroup> FlipTable::Take() {
  std::vector<FlipGroup> groups;
  for (auto& [key, group] : groups_) {
    groups.push_back(std::move(group));
  }
  groups_.clear();
  std::ranges::sort(groups, [](const FlipGroup& a, const FlipGroup& b) {
    auto key = [](const FlipGroup& g) {
      return std::tuple(!g.newly_allowed, ~g.count, std::string_view(g.after),
                        std::string_view(g.before), std::string_view(g.workload),
                        std::string_view(g.caller), std::string_view(g.request));
    };
    return key(a) < key(b);
  });
  return groups;
}

}  // namespace countersign::audit
