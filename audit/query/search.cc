#include "audit/query/search.h"

#include <algorithm>
#include <deque>
#include <map>

namespace countersign::audit {
namespace {

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

// Sieve keeps the newest decisions that match, with their completions, which come later.
class Sieve {
 public:
  explicit Sieve(const SearchQuery& query) : query_(query) {}

  Status Take(uint64_t index, std::string_view entry) {
    // Most records are not what is looked for, and show it without being parsed.
    if (!MayMatter(entry.substr(std::min(entry.size(), kEntryHeaderBytes)))) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(LocatedRecord located, LocateRecord(index, entry));
    if (const DecisionRecord* decision = located.record.decision()) {
      if (Matches(query_, *decision) && query_.limit > 0) {
        Keep(decision->id, std::move(located));
      }
    } else if (const auto* done = std::get_if<CompletionRecord>(&located.record.value())) {
      AddCompletion(done->id, std::move(located));
    }
    return absl::OkStatus();
  }

  uint64_t matched() const { return dropped_ + kept_.size(); }
  std::vector<FoundDecision> Found() {
    return {std::make_move_iterator(kept_.begin()), std::make_move_iterator(kept_.end())};
  }

 private:
  // False for records that certainly are not wanted; a text stands in its record byte for byte.
  bool MayMatter(std::string_view record) const {
    std::optional<PeekedId> peeked = PeekId(record);
    if (!peeked.has_value()) {
      return true;  // The parser says what it is.
    }
    if (peeked->type == PeekedId::Type::kCompletion) {
      return place_of_.contains(peeked->id);
    }
    auto holds = [record](const std::optional<std::string>& text) {
      return !text.has_value() || record.find(*text) != std::string_view::npos;
    };
    return (!query_.id.has_value() || *query_.id == peeked->id) && holds(query_.caller) &&
           holds(query_.callee) && holds(query_.rule) && holds(query_.path_prefix);
  }

  void Keep(const DecisionId& id, LocatedRecord decision) {
    if (kept_.size() == query_.limit) {
      auto oldest = place_of_.find(kept_.front().decision.record.decision()->id);
      if (oldest != place_of_.end() && oldest->second == dropped_) {
        place_of_.erase(oldest);
      }
      kept_.pop_front();
      ++dropped_;
    }
    // Should two claim one id, the later one has its place here; Find tells.
    place_of_[id] = dropped_ + kept_.size();
    kept_.push_back({std::move(decision), std::nullopt});
  }

  // A worker writes both into one ring: another's word about this decision is not believed.
  void AddCompletion(const DecisionId& id, LocatedRecord completion) {
    auto place = place_of_.find(id);
    if (place == place_of_.end()) {
      return;
    }
    FoundDecision& hit = kept_[place->second - dropped_];
    if (hit.decision.source.ring == completion.source.ring) {
      hit.completion_record = std::move(completion);
    }
  }

  const SearchQuery& query_;
  std::deque<FoundDecision> kept_;
  size_t dropped_ = 0;                     // Matches that the limit pushed out.
  std::map<DecisionId, size_t> place_of_;  // Of a kept one, among all matches so far.
};

}  // namespace

StatusOr<LogSearcher> LogSearcher::Open(const std::string& folder,
                                        const std::optional<std::string>& vkey) {
  ASSIGN_OR_RETURN(LogReader reader, LogReader::Open(folder, vkey));
  return LogSearcher(std::move(reader));
}

StatusOr<std::vector<FoundDecision>> LogSearcher::Search(const SearchQuery& query) {
  if (query.limit > SearchLimits::kFoundMax) {
    return InvalidArgument("a search gives at most ", SearchLimits::kFoundMax, " decisions, not ",
                           query.limit, "; narrow it with --since and --until");
  }
  Sieve sieve(query);
  RETURN_IF_ERROR(reader_.ReadAllProven(
      [&sieve](uint64_t index, std::string_view entry) { return sieve.Take(index, entry); }));
  matched_ = sieve.matched();
  return sieve.Found();
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
