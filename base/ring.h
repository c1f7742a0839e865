// A single-producer, single-consumer ring of byte records in a memfd that two processes share.
//
// It outlives either side's crash: a record becomes visible with one store after it is whole, and
// the reader moves the tail only when it says so. Neither side trusts what the other wrote: the
// reader checks seals, header, bounds, sequence and CRC and copies before anything is parsed; the
// writer treats an impossible tail as a full ring. This is one of the few files that may use
// atomics.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/status.h"

namespace countersign {

struct RingLimits {
  static constexpr size_t kCapacityBytesMin = 64 * 1024;
  static constexpr size_t kCapacityBytesMax = 256 * 1024 * 1024;  // What a peer can make us map.
  static constexpr size_t kRecordBytesMax =
      60 * 1024;  // An entry of the node log has 16-bit length.
};

// RingId names a ring for ever: 128 random bits.
using RingId = std::array<uint8_t, 16>;

namespace internal {
struct RingHeader;  // The shared page; its layout is in ring.cc.

// RingMapping is one process's view of a ring: the header and the data, mapped twice in a row so
// that every record is contiguous. Move-only.
class RingMapping {
 public:
  RingMapping() = default;
  RingMapping(RingMapping&& other) noexcept;
  RingMapping& operator=(RingMapping&& other) noexcept;
  RingMapping(const RingMapping&) = delete;
  RingMapping& operator=(const RingMapping&) = delete;
  ~RingMapping();
  enum class Access { kReadData, kWriteData };
  static StatusOr<RingMapping> Map(int memory_fd, size_t capacity, Access access);

  RingHeader* header() const { return header_; }
  char* data() const { return data_; }
  size_t capacity() const { return capacity_; }

 private:
  RingHeader* header_ = nullptr;
  char* data_ = nullptr;
  size_t capacity_ = 0;
};
}  // namespace internal

// RingWriter is the producer's side. Belongs to one thread; never blocks.
class RingWriter {
 public:
  struct Options {
    std::string name = "countersign-ring";    // Shows in /proc/PID/fd.
    size_t capacity_bytes = 4 * 1024 * 1024;  // A power of two within RingLimits.
  };
  static StatusOr<RingWriter> Create(const Options& options);

  // Reserve gives room for a record of at most `bytes`, or an empty span if the ring has less free
  // room or the record is over the limit. The next Reserve forgets an uncommitted one.
  std::span<char> Reserve(size_t bytes);
  // Commit makes the first `used` reserved bytes one record, and wakes the reader if it sleeps.
  void Commit(size_t used);

  // RoomFor says whether `bytes` more, already framed (FramedBytes), would fit now.
  bool RoomFor(size_t framed_bytes) const;
  // FramedBytes is what a record of `bytes` takes in the ring.
  static size_t FramedBytes(size_t bytes);

  const RingId& id() const { return id_; }
  uint64_t committed() const {
    return sequence_;
  }  // Records so far; the last one's sequence number.
  int memory_fd() const { return memory_.get(); }
  int wake_fd() const { return wake_.get(); }

 private:
  RingWriter() = default;
  size_t FreeBytes() const;

  Fd memory_;
  Fd wake_;
  internal::RingMapping mapping_;
  RingId id_ = {};
  uint64_t head_ = 0;
  uint64_t sequence_ = 0;
  size_t reserved_ = 0;
};

// RingReader is the consumer's side, over memory that another process may write at any time.
// Belongs to one thread.
class RingReader {
 public:
  // Attach checks a received ring: sealed against resizing, a valid header, a size that fits it.
  static StatusOr<RingReader> Attach(Fd memory, Fd wake);

  enum class Next { kRecord, kEmpty };
  // Read copies the next record. An error means that the producer broke the format: nothing after
  // it can be read, and what was read before stays good.
  StatusOr<Next> Read(std::string& record, uint64_t& sequence);
  // Release gives the room of everything read so far back to the writer; Rewind forgets what was
  // read since the last Release, so that it is read again.
  void Release();
  void Rewind();

  enum class Attention {
    kAwake,  // The writer makes no system call.
    kDozes,  // The writer writes to wake_fd when the ring is half full.
    kSleeps  // The writer writes to wake_fd after each record.
  };
  // SetAttention tells the writer. After kSleeps the caller looks at HasMore once before it waits.
  void SetAttention(Attention attention);
  bool HasMore() const;

  const RingId& id() const { return id_; }
  // wake_fd is for edge-triggered epoll. It is never read: a peer could make a read block.
  int wake_fd() const { return wake_.get(); }

 private:
  RingReader() = default;

  Fd memory_;
  Fd wake_;
  internal::RingMapping mapping_;
  RingId id_ = {};
  uint64_t tail_ = 0;           // Released.
  uint64_t tail_sequence_ = 0;  // Of the last released record; 0: none since Attach.
  uint64_t read_ = 0;           // Read so far; tail_ <= read_.
  uint64_t read_sequence_ = 0;
};

}  // namespace countersign
