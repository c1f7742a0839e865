#include "audit/record/recorder.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>

namespace countersign::audit {
namespace {

constexpr size_t kGapBytesMax = 64;
constexpr size_t kIdleRoom = 4096;  // A few records more, or the next gap begins at once.

}  // namespace

CompletionSlot& CompletionSlot::operator=(CompletionSlot&& other) noexcept {
  std::swap(recorder_, other.recorder_);
  std::swap(reserved_, other.reserved_);
  return *this;
}

CompletionSlot::~CompletionSlot() {
  if (recorder_ != nullptr) {
    recorder_->reserved_ -= reserved_;
  }
}

StatusOr<std::unique_ptr<Recorder>> Recorder::Create(const Options& options, const Clock& clock) {
  ASSIGN_OR_RETURN(RingWriter ring,
                   RingWriter::Create({.name = Concat("countersign-audit-", options.name),
                                       .capacity_bytes = options.ring_bytes}));
  return std::unique_ptr<Recorder>(new Recorder(std::move(ring), options.name, clock));
}

DecisionId Recorder::NewId() {
  DecisionId id = {};
  if (random_left_ < id.size()) {
    // Requests of at most 256 bytes are never short once the kernel's generator is seeded.
    CHECK(::getrandom(random_.data(), random_.size(), 0) == static_cast<ssize_t>(random_.size()));
    random_left_ = random_.size();
  }
  random_left_ -= id.size();
  std::memcpy(id.data(), random_.data() + random_left_, id.size());
  return id;
}

// Writes one record if it leaves `extra` bytes and what strict completions were promised.
template <class Record>
bool Recorder::Write(const Record& record, size_t bytes_max, size_t extra) {
  bytes_max = std::min(bytes_max, RecordLimits::kRecordBytesMax);
  if (!ring_.RoomFor(RingWriter::FramedBytes(bytes_max) + extra + reserved_)) {
    return false;
  }
  size_t used = Encode(record, ring_.Reserve(bytes_max));
  if (used == 0) {
    return false;
  }
  ring_.Commit(used);
  ++counters_.recorded;
  return true;
}

void Recorder::CountDrop() {
  ++counters_.dropped;
  gap_.last_ns = clock_.Now().time_since_epoch().count();
  if (gap_.count++ == 0) {
    gap_.first_ns = gap_.last_ns;
  }
}

void Recorder::FlushGap() { CloseGap(kIdleRoom); }

// Writes a pending gap record if the record that follows it finds room too: a ring that stays
// nearly full must not fill up with gap records.
bool Recorder::CloseGap(size_t room_after) {
  if (gap_.count > 0 && Write(gap_, kGapBytesMax, room_after)) {
    gap_ = {};
  }
  return gap_.count == 0;
}

CompletionSlot Recorder::RecordDecision(const DecisionRecord& record, Durability durability) {
  static constexpr size_t kCompletionFramed =
      sizeof(uint64_t) * 2 + RecordLimits::kCompletionBytesMax;
  size_t promised = durability == Durability::kStrict ? kCompletionFramed : 0;
  size_t bytes_max = EncodedBytesMax(record);
  if (bytes_max > RecordLimits::kRecordBytesMax && !record.headers.empty()) {
    // A caller must not get out of the log by sending more than a record holds.
    DecisionRecord without = record;
    without.headers = {};
    return RecordDecision(without, durability);
  }
  // After a gap nothing may come before its record, or the log would put the gap in a wrong place.
  if (CloseGap(RingWriter::FramedBytes(bytes_max) + promised) &&
      Write(record, bytes_max, promised)) {
    reserved_ += promised;
    return {this, promised};
  }
  if (durability == Durability::kStrict) {
    ++counters_.refused;
  } else {
    CountDrop();
  }
  return {};
}

void Recorder::RecordCompletion(CompletionSlot slot, const CompletionRecord& record) {
  if (!slot) {
    return;
  }
  CHECK(slot.recorder_ == this);
  size_t promised = std::exchange(slot.reserved_, 0);
  reserved_ -= promised;
  slot.recorder_ = nullptr;
  // Promised room is there whatever else is missing.
  bool in_place = promised > 0 || CloseGap(RecordLimits::kCompletionBytesMax);
  if (!in_place || !Write(record, RecordLimits::kCompletionBytesMax, 0)) {
    CountDrop();
  }
}

bool Recorder::RecordEvent(const EventRecord& record) {
  size_t bytes_max = EncodedBytesMax(record);
  if (CloseGap(RingWriter::FramedBytes(bytes_max)) && Write(record, bytes_max, 0)) {
    return true;
  }
  CountDrop();
  return false;
}

}  // namespace countersign::audit
