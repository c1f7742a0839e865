// Searching a node's log. An SQLite index beside the log makes it quick; it is made from the log,
// brought up to date by each search, thrown away when it does not fit, and never believed: what a
// search gives is read from the log and compared with the question again.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/query/log_reader.h"
#include "base/clock.h"

namespace countersign::audit {

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
  size_t limit = 100;  // The newest ones.
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

class SearchIndex;

// LogSearcher answers questions on one log. One thread.
class LogSearcher {
 public:
  // Open brings the index up to the log's checkpoint. Where the folder cannot be written, the index
  // is made in memory.
  static StatusOr<LogSearcher> Open(const std::string& folder);
  LogSearcher(LogSearcher&&) noexcept;
  LogSearcher& operator=(LogSearcher&&) noexcept;
  ~LogSearcher();

  // Search gives the newest matches, oldest first.
  StatusOr<std::vector<FoundDecision>> Search(const SearchQuery& query);
  // Find gives one decision; NotFound says what to look at.
  StatusOr<FoundDecision> Find(const DecisionId& id);
  LogReader& reader() { return reader_; }

 private:
  LogSearcher(LogReader reader, std::unique_ptr<SearchIndex> index);
  LogReader reader_;
  std::unique_ptr<SearchIndex> index_;
};

}  // namespace countersign::audit
