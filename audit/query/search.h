// Searching a node's log. Each search reads the whole log and proves, against the signed root, that
// it read every record, so that what is not found is not there: an index beside the log could hide
// a record from everyone who trusts it, and nobody would see that.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "audit/query/log_reader.h"
#include "base/clock.h"

namespace countersign::audit {

struct SearchLimits {
  static constexpr size_t kFoundMax = 100'000;  // A kilobyte each, kept until all are read.
};

// SearchQuery: everything that is set must hold. Only decisions are found.
struct SearchQuery {
  std::optional<DecisionId> id;
  std::optional<std::string> caller;
  std::optional<std::string> callee;
  std::optional<std::string> rule;  // That decided.
  std::optional<authz::Effect> effect;
  std::optional<authz::Reason> reason;
  std::optional<std::string> path_prefix;
  std::optional<WallTime> since;
  std::optional<WallTime> until;
  size_t limit = 100;  // The newest ones; at most SearchLimits::kFoundMax.
};

// FoundDecision is a decision with the completion that belongs to it, if there is one.
struct FoundDecision {
  LocatedRecord decision;
  std::optional<LocatedRecord> completion_record;
  const CompletionRecord* completion() const {
    return completion_record.has_value()
               ? std::get_if<CompletionRecord>(&completion_record->record.value())
               : nullptr;
  }
};

// LogSearcher answers questions on one log, as of the checkpoint that it was opened with. One
// thread.
class LogSearcher {
 public:
  // `vkey` is the key to trust; without it the one beside the log is taken, which whoever copied
  // the log may have put there.
  static StatusOr<LogSearcher> Open(const std::string& folder,
                                    const std::optional<std::string>& vkey = std::nullopt);

  // Search gives the newest matches, oldest first. DataLoss if the records do not give the root
  // that was signed for them: then nothing is given.
  StatusOr<std::vector<FoundDecision>> Search(const SearchQuery& query);
  // matched is how many the last Search matched, also beyond its limit.
  uint64_t matched() const { return matched_; }
  // Find gives one decision; NotFound says what to look at.
  StatusOr<FoundDecision> Find(const DecisionId& id);
  LogReader& reader() { return reader_; }

 private:
  explicit LogSearcher(LogReader reader) : reader_(std::move(reader)) {}
  LogReader reader_;
  uint64_t matched_ = 0;
};

}  // namespace countersign::audit
