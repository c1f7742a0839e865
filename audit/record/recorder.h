// Recorder is how a proxy worker writes its audit records: into its own ring, before the first byte
// goes upstream. It never blocks and makes no file of its own.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "audit/record/decision_record.h"
#include "base/clock.h"
#include "base/ring.h"

namespace countersign::audit {

// Durability is a listener's choice (Service port, `audit:`).
enum class Durability : uint8_t {
  kBestEffort,  // A full ring drops the record, counts it, and a gap record follows.
  kStrict,      // A full ring refuses: the caller answers 503 and forwards nothing.
};

class Recorder;

// CompletionSlot is the right to record one completion; for a strict decision its room is reserved
// until it is used or goes. Move-only; must not outlive its Recorder.
class CompletionSlot {
 public:
  CompletionSlot() = default;
  CompletionSlot(CompletionSlot&& other) noexcept
      : recorder_(std::exchange(other.recorder_, nullptr)),
        reserved_(std::exchange(other.reserved_, 0)) {}
  CompletionSlot& operator=(CompletionSlot&& other) noexcept;
  ~CompletionSlot();
  // False if the decision was not recorded.
  explicit operator bool() const { return recorder_ != nullptr; }

 private:
  friend class Recorder;
  CompletionSlot(Recorder* recorder, size_t reserved) : recorder_(recorder), reserved_(reserved) {}
  Recorder* recorder_ = nullptr;
  size_t reserved_ = 0;
};

struct RecorderCounters {
  uint64_t recorded = 0;  // Records of every type.
  uint64_t dropped = 0;   // Best effort: decisions, completions and events that found no room.
  uint64_t refused = 0;   // Strict: decisions that found no room.
};

// Recorder belongs to one worker thread, from the call that made it to its end.
class Recorder {
 public:
  struct Options {
    std::string name = "worker";          // Shows in /proc/PID/fd and the ring-opened record.
    size_t ring_bytes = 4 * 1024 * 1024;  // About 10,000 records: a second of a busy worker.
  };
  // `clock` must outlive the recorder.
  static StatusOr<std::unique_ptr<Recorder>> Create(const Options& options, const Clock& clock);

  // NewId makes an unguessable decision id.
  DecisionId NewId();

  // RecordDecision records a decision. A false slot means that it is not in the ring: under kStrict
  // the caller must answer 503, under kBestEffort it goes on.
  [[nodiscard]] CompletionSlot RecordDecision(const DecisionRecord& record, Durability durability);
  // RecordCompletion does nothing with a false slot: the gap record counts its decision already.
  void RecordCompletion(CompletionSlot slot, const CompletionRecord& record);
  // RecordEvent records start, stop and policy changes; false if dropped (and counted).
  bool RecordEvent(const EventRecord& record);
  // FlushGap writes a pending gap record if there is room now; call it once an event batch when
  // idle.
  void FlushGap();

  const RecorderCounters& counters() const { return counters_; }
  const RingWriter& ring() const { return ring_; }
  const std::string& name() const { return name_; }

 private:
  friend class CompletionSlot;
  Recorder(RingWriter ring, std::string name, const Clock& clock)
      : ring_(std::move(ring)), name_(std::move(name)), clock_(clock) {}
  template <class Record>
  bool Write(const Record& record, size_t bytes_max, size_t extra);
  void CountDrop();
  bool CloseGap(size_t room_after);

  RingWriter ring_;
  std::string name_;
  const Clock& clock_;
  RecorderCounters counters_;
  size_t reserved_ = 0;  // Framed bytes promised to strict completions.
  GapRecord gap_;
  std::array<uint8_t, 256> random_ = {};
  size_t random_left_ = 0;
};

}  // namespace countersign::audit
