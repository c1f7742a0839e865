// FlipTable groups the records of which a candidate says something else, within stated limits.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "audit/record/decision_record.h"
#include "audit/replay/candidate.h"
#include "audit/replay/limits.h"

namespace countersign::audit {

// RecordSample is one record of a group.
struct RecordSample {
  DecisionId id = {};
  int64_t time_ns = 0;
  std::string request;  // For `policy eval -f -`; empty if no file can hold it, or it is long.
};

// FlipGroup is flips of one direction, rule, caller and path (of one method and workload).
struct FlipGroup {
  bool newly_allowed = false;   // Else newly denied.
  std::string before;           // The rule that decided, or "(no_rule_matched)", as recorded.
  std::string after;            // The candidate's.
  authz::SourcePosition where;  // Of the candidate's rule; line 0: none.
  std::string caller;           // Empty: without identity.
  std::string workload;
  std::string request;  // "GET /orders/{id}" (PathShape), "tcp :5432".
  uint64_t count = 0;
  std::vector<RecordSample> samples;  // The first ones.
};

// UnjudgedGroup is records whose verdict hangs on fields that they lack.
struct UnjudgedGroup {
  std::vector<std::string> fields;  // "headers x-tenant".
  WhyLacking why = WhyLacking::kNotNamed;
  uint64_t count = 0;
  uint64_t were_allowed = 0;  // Of the count, as recorded.
  std::vector<RecordSample> samples;
};

// SampleOf makes a sample of the record.
RecordSample SampleOf(const DecisionRecord& record, const ReplayLimits& limits);

class FlipTable {
 public:
  explicit FlipTable(const ReplayLimits& limits) : limits_(limits) {}

  // Add takes a record whose recorded effect is not the verdict's.
  void Add(const DecisionRecord& record, const Verdict& verdict);
  uint64_t newly_allowed() const { return newly_allowed_; }
  uint64_t newly_denied() const { return newly_denied_; }
  // Flips that are in no group, because there are groups_max already.
  uint64_t ungrouped() const { return ungrouped_; }
  // Take gives the groups, newly allowed first, then by count.
  std::vector<FlipGroup> Take();

 private:
  ReplayLimits limits_;
  std::unordered_map<std::string, FlipGroup> groups_;
  std::string key_;  // Kept for its room.
  uint64_t newly_allowed_ = 0;
  uint64_t newly_denied_ = 0;
  uint64_t ungrouped_ = 0;
};

}  // namespace countersign::audit
