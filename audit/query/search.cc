#include "audit/query/search.h"

#include <algorithm>

#include "audit/query/search_index.h"

namespace countersign::audit {
namespace {

// The question again, of the record itself: the index is not believed.
bool Matches(const SearchQuery& query, const DecisionRecord& r) {
  auto is = [](const auto& wanted, const auto& actual) {
    return !wanted.has_value() || *wanted == actual;
  };
  WallTime time{std::chrono::nanoseconds(r.time_ns)};
  return is(query.id, r.id) && is(query.caller, r.caller) && is(query.callee, r.callee) &&
         is(query.rule, r.rule) && is(query.effect, r.effect) && is(query.reason, r.reason) &&
         (!query.path_prefix.has_value() || r.path.starts_with(*query.path_prefix)) &&
         (!query.since.has_value() || time >= *query.since) &&
         (!query.until.has_value() || time < *query.until);
}

Status NotWhatTheIndexSays(uint64_t record) {
  return DataLoss("record ", record,
                  " is not what the index says; run `countersign audit verify`, "
                  "then remove index.sqlite");
}

}  // namespace

LogSearcher::LogSearcher(LogReader reader, std::unique_ptr<SearchIndex> index)
    : reader_(std::move(reader)), index_(std::move(index)) {}
LogSearcher::LogSearcher(LogSearcher&&) noexcept = default;
LogSearcher& LogSearcher::operator=(LogSearcher&&) noexcept = default;
LogSearcher::~LogSearcher() = default;

StatusOr<LogSearcher> LogSearcher::Open(const std::string& folder) {
  ASSIGN_OR_RETURN(LogReader reader, LogReader::Open(folder));
  StatusOr<std::unique_ptr<SearchIndex>> index = SearchIndex::Open(folder);
  Status filled = index.ok() ? (*index)->CatchUp(reader) : index.status();
  if (!filled.ok()) {
    // A folder that cannot be written, a full disk: slower, but it answers.
    ASSIGN_OR_RETURN(index, SearchIndex::OpenInMemory());
    RETURN_IF_ERROR((*index)->CatchUp(reader));
  }
  return LogSearcher(std::move(reader), *std::move(index));
}

StatusOr<std::vector<FoundDecision>> LogSearcher::Search(const SearchQuery& query) {
  ASSIGN_OR_RETURN(std::vector<uint64_t> places, index_->Decisions(query));
  std::vector<FoundDecision> found;
  for (auto place = places.rbegin(); place != places.rend(); ++place) {
    ASSIGN_OR_RETURN(LocatedRecord located, reader_.Record(*place));
    const DecisionRecord* decision = located.record.decision();
    if (decision == nullptr || !Matches(query, *decision)) {
      return NotWhatTheIndexSays(*place);
    }
    ASSIGN_OR_RETURN(std::optional<uint64_t> end, index_->Completion(decision->id));
    FoundDecision hit = {std::move(located), std::nullopt};
    if (end.has_value() && *end < reader_.size()) {
      ASSIGN_OR_RETURN(LocatedRecord completion, reader_.Record(*end));
      const auto* done = std::get_if<CompletionRecord>(&completion.record.value());
      if (done == nullptr || done->id != decision->id) {
        return NotWhatTheIndexSays(*end);
      }
      // A worker writes both into one ring: another's word about this decision is not believed.
      if (completion.source.ring == hit.decision.source.ring) {
        hit.completion_record = std::move(completion);
      }
    }
    found.push_back(std::move(hit));
  }
  return found;
}

StatusOr<FoundDecision> LogSearcher::Find(const DecisionId& id) {
  SearchQuery query;
  query.id = id;
  query.limit = 2;
  ASSIGN_OR_RETURN(std::vector<FoundDecision> found, Search(query));
  if (found.empty()) {
    return NotFound("no decision ", DecisionIdText(id), " among the ", reader_.size(),
                    " records of ", reader_.checkpoint().origin,
                    "; it may be in the log of another node, or not yet written");
  }
  if (found.size() > 1) {
    // Whoever was denied knows the id; a proxy that is not ours may write it into a record.
    return DataLoss("records ", found[0].decision.index, " and ", found[1].decision.index,
                    " both claim to be decision ", DecisionIdText(id),
                    ": one is forged; `countersign audit export` shows both and their rings");
  }
  return std::move(found.front());
}

}  // namespace countersign::audit
