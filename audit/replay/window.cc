#include "audit/replay/window.h"

#include <algorithm>

#include "audit/replay/limits.h"
#include "audit/replay/recorded_request.h"

namespace countersign::audit {

StatusOr<WindowLogs> WindowLogs::Open(const LogWindow& window) {
  std::vector<LogReader> logs;
  for (const std::string& folder : window.folders) {
    ASSIGN_OR_RETURN(LogReader log, LogReader::Open(folder, window.vkey));
    logs.push_back(std::move(log));
  }
  return WindowLogs(window, std::move(logs));
}

bool WindowLogs::IsIn(int64_t time_ns) const {
  WallTime time{std::chrono::nanoseconds(time_ns)};
  return (!window_.since.has_value() || time >= *window_.since) &&
         (!window_.until.has_value() || time < *window_.until);
}

Status WindowLogs::Take(std::string_view entry, uint64_t index, const TakeDecision& take,
                        WindowCounts& counts) const {
  std::optional<PeekedId> peeked = PeekId(entry.substr(std::min(entry.size(), kEntryHeaderBytes)));
  if (peeked.has_value() && peeked->type == PeekedId::Type::kCompletion) {
    return absl::OkStatus();
  }
  StatusOr<LocatedRecord> located = LocateRecord(index, entry);
  if (!located.ok()) {
    return DataLoss(Message(located.status()),
                    "; run `countersign audit verify`, which says what was altered");
  }
  if (!IsIn(located->record.time_ns())) {
    return absl::OkStatus();
  }
  if (const auto* gap = std::get_if<GapRecord>(&located->record.value())) {
    counts.missing += gap->count;
  }
  const DecisionRecord* decision = located->record.decision();
  if (decision == nullptr) {
    return absl::OkStatus();
  }
  ++counts.decisions;
  if (!IsOfPolicy(decision->reason)) {
    ++counts.other;
    return absl::OkStatus();
  }
  return take(*decision);
}

StatusOr<WindowCounts> WindowLogs::ForEachDecision(const TakeDecision& take) {
  constexpr uint64_t kProgressEvery = ReplayLimits().progress_every;
  uint64_t size = 0;
  for (const LogReader& log : logs_) {
    size += log.size();
  }
  WindowCounts counts;
  for (LogReader& log : logs_) {
    RETURN_IF_ERROR(log.ReadAllProven([&](uint64_t index, std::string_view entry) {
      if (++counts.entries % kProgressEvery == 0 && window_.progress) {
        window_.progress(counts.entries, size);
      }
      return Take(entry, index, take, counts);
    }));
  }
  return counts;
}

}  // namespace countersign::audit
