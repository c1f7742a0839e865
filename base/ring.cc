#include "base/ring.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "base/crc32c.h"

namespace countersign {
namespace internal {

// RingHeader is the first page. The words that change sit on cache lines apart.
struct RingHeader {
  static constexpr std::array<char, 8> kMagic = {'C', 'S', 'R', 'I', 'N', 'G', '\r', '\n'};
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kBytes = 4096;

  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t header_bytes = kBytes;
  uint64_t capacity = 0;
  RingId id = {};
  alignas(64) std::atomic<uint64_t> head = 0;       // Bytes ever committed; the writer's.
  alignas(64) std::atomic<uint64_t> tail = 0;       // Bytes ever released; the reader's.
  alignas(64) std::atomic<uint32_t> attention = 2;  // RingReader::Attention; nobody there: sleeps.
};
static_assert(sizeof(RingHeader) <= RingHeader::kBytes);
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

namespace {

// Frame precedes each record. The CRC covers the length, the sequence and the record.
struct Frame {
  uint32_t length = 0;
  uint32_t crc = 0;
  uint64_t sequence = 0;
};
static_assert(sizeof(Frame) == 16);

uint32_t FrameCrc(const Frame& frame, std::string_view record) {
  std::array<char, sizeof(uint32_t) + sizeof(uint64_t)> covered;
  std::memcpy(covered.data(), &frame.length, sizeof(uint32_t));
  std::memcpy(covered.data() + sizeof(uint32_t), &frame.sequence, sizeof(uint64_t));
  return Crc32c(record, Crc32c({covered.data(), covered.size()}));
}

constexpr size_t Padded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

bool IsValidCapacity(uint64_t capacity) {
  return std::has_single_bit(capacity) && capacity >= RingLimits::kCapacityBytesMin &&
         capacity <= RingLimits::kCapacityBytesMax;
}

}  // namespace

RingMapping::RingMapping(RingMapping&& other) noexcept
    : header_(std::exchange(other.header_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)) {}

RingMapping& RingMapping::operator=(RingMapping&& other) noexcept {
  std::swap(header_, other.header_);
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

RingMapping::~RingMapping() {
  if (header_ != nullptr) {
    ::munmap(header_, RingHeader::kBytes);
  }
  if (data_ != nullptr) {
    ::munmap(data_, capacity_ * 2);
  }
}

StatusOr<RingMapping> RingMapping::Map(int memory_fd, size_t capacity, Access access) {
  RingMapping mapping;
  void* header =
      ::mmap(nullptr, RingHeader::kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
  if (header == MAP_FAILED) {
    return ErrnoError(errno, "map a ring's header");
  }
  mapping.header_ = static_cast<RingHeader*>(header);
  void* data = ::mmap(nullptr, capacity * 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return ErrnoError(errno, "reserve a ring's addresses");
  }
  mapping.data_ = static_cast<char*>(data);
  mapping.capacity_ = capacity;
  int protection = access == Access::kWriteData ? PROT_READ | PROT_WRITE : PROT_READ;
  for (size_t half = 0; half < 2; ++half) {
    if (::mmap(mapping.data_ + half * capacity, capacity, protection, MAP_SHARED | MAP_FIXED,
               memory_fd, RingHeader::kBytes) == MAP_FAILED) {
      return ErrnoError(errno, "map a ring's data");
    }
  }
  return mapping;
}

}  // namespace internal

using internal::Frame;
using internal::FrameCrc;
using internal::Padded;
using internal::RingHeader;
using internal::RingMapping;

StatusOr<RingWriter> RingWriter::Create(const Options& options) {
  if (!internal::IsValidCapacity(options.capacity_bytes)) {
    return InvalidArgument("ring capacity ", options.capacity_bytes,
                           " must be a power of two from ", RingLimits::kCapacityBytesMin, " to ",
                           RingLimits::kCapacityBytesMax);
  }
  RingWriter ring;
  ring.memory_.Reset(::memfd_create(options.name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!ring.memory_.valid()) {
    return ErrnoError(errno, "memfd_create");
  }
  ring.wake_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ring.wake_.valid()) {
    return ErrnoError(errno, "eventfd");
  }
  auto bytes = static_cast<off_t>(RingHeader::kBytes + options.capacity_bytes);
  if (::ftruncate(ring.memory_.get(), bytes) != 0 ||
      ::fcntl(ring.memory_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoError(errno, "size and seal a ring");
  }
  if (::getrandom(ring.id_.data(), ring.id_.size(), 0) != static_cast<ssize_t>(ring.id_.size())) {
    return ErrnoError(errno, "getrandom");
  }
  ASSIGN_OR_RETURN(ring.mapping_, RingMapping::Map(ring.memory_.get(), options.capacity_bytes,
                                                   RingMapping::Access::kWriteData));
  auto* header = new (ring.mapping_.header()) RingHeader;
  header->capacity = options.capacity_bytes;
  header->id = ring.id_;
  return ring;
}

size_t RingWriter::FramedBytes(size_t bytes) { return sizeof(Frame) + Padded(bytes); }

size_t RingWriter::FreeBytes() const {
  // The tail is what the other process wrote: one that cannot be makes the ring full.
  uint64_t used = head_ - mapping_.header()->tail.load(std::memory_order_acquire);
  return used <= mapping_.capacity() ? mapping_.capacity() - used : 0;
}

bool RingWriter::RoomFor(size_t framed_bytes) const { return framed_bytes <= FreeBytes(); }

std::span<char> RingWriter::Reserve(size_t bytes) {
  reserved_ = 0;
  if (bytes == 0 || bytes > RingLimits::kRecordBytesMax || !RoomFor(FramedBytes(bytes))) {
    return {};
  }
  reserved_ = bytes;
  char* at = mapping_.data() + (head_ & (mapping_.capacity() - 1));
  return {at + sizeof(Frame), bytes};
}

void RingWriter::Commit(size_t used) {
  CHECK(used > 0 && used <= reserved_);
  reserved_ = 0;
  char* at = mapping_.data() + (head_ & (mapping_.capacity() - 1));
  Frame frame;
  frame.length = static_cast<uint32_t>(used);
  frame.sequence = ++sequence_;
  frame.crc = FrameCrc(frame, {at + sizeof(Frame), used});
  std::memcpy(at, &frame, sizeof(frame));
  head_ += FramedBytes(used);
  // Both sequentially consistent: either this side sees that the reader sleeps, or the reader,
  // which looks once more after it said so, sees the record.
  RingHeader* header = mapping_.header();
  header->head.store(head_, std::memory_order_seq_cst);
  uint32_t attention = header->attention.load(std::memory_order_seq_cst);
  bool wake = attention == static_cast<uint32_t>(RingReader::Attention::kSleeps) ||
              (attention == static_cast<uint32_t>(RingReader::Attention::kDozes) &&
               FreeBytes() < mapping_.capacity() / 2);
  if (wake) {
    uint64_t one = 1;
    // A full counter has woken the reader already; nothing else can fail here.
    [[maybe_unused]] ssize_t ignored = ::write(wake_.get(), &one, sizeof(one));
  }
}

namespace {

Status CheckReceived(int memory_fd, int wake_fd, uint64_t& capacity) {
  int seals = ::fcntl(memory_fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_GROW) == 0) {
    return InvalidArgument("not a ring: the memory is not sealed against resizing");
  }
  std::array<char, 64> link = {};
  ssize_t got = ::readlink(Concat("/proc/self/fd/", wake_fd).c_str(), link.data(), link.size());
  if (got < 0 ||
      std::string_view(link.data(), static_cast<size_t>(got)) != "anon_inode:[eventfd]") {
    return InvalidArgument("not a ring: the second descriptor is not an eventfd");
  }
  struct stat facts = {};
  if (::fstat(memory_fd, &facts) != 0) {
    return ErrnoError(errno, "fstat a ring");
  }
  auto size = static_cast<uint64_t>(facts.st_size);
  capacity = size - RingHeader::kBytes;
  if (size < RingHeader::kBytes || !internal::IsValidCapacity(capacity)) {
    return InvalidArgument("not a ring: ", size, " bytes of memory");
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<RingReader> RingReader::Attach(Fd memory, Fd wake) {
  uint64_t capacity = 0;
  RETURN_IF_ERROR(CheckReceived(memory.get(), wake.get(), capacity));
  RingReader ring;
  ASSIGN_OR_RETURN(ring.mapping_,
                   RingMapping::Map(memory.get(), capacity, RingMapping::Access::kReadData));
  ring.memory_ = std::move(memory);
  ring.wake_ = std::move(wake);
  const RingHeader* header = ring.mapping_.header();
  if (header->magic != RingHeader::kMagic || header->version != RingHeader::kVersion ||
      header->header_bytes != RingHeader::kBytes || header->capacity != capacity) {
    return InvalidArgument("not a ring of version ", RingHeader::kVersion);
  }
  ring.id_ = header->id;
  uint64_t tail = header->tail.load(std::memory_order_acquire);
  uint64_t head = header->head.load(std::memory_order_acquire);
  if (head - tail > capacity || tail % 8 != 0) {
    return InvalidArgument("not a ring: its tail is out of bounds");
  }
  ring.tail_ = ring.read_ = tail;
  return ring;
}

bool RingReader::HasMore() const {
  return mapping_.header()->head.load(std::memory_order_seq_cst) != read_;
}

StatusOr<RingReader::Next> RingReader::Read(std::string& record, uint64_t& sequence) {
  uint64_t available = mapping_.header()->head.load(std::memory_order_acquire) - read_;
  if (available == 0) {
    return Next::kEmpty;
  }
  if (available > mapping_.capacity() || available < sizeof(Frame) || available % 8 != 0) {
    return DataLoss("the ring's head is out of bounds");
  }
  const char* at = mapping_.data() + (read_ & (mapping_.capacity() - 1));
  Frame frame;
  std::memcpy(&frame, at, sizeof(frame));
  if (frame.length == 0 || frame.length > RingLimits::kRecordBytesMax ||
      RingWriter::FramedBytes(frame.length) > available) {
    return DataLoss("a ring record's length ", frame.length, " is out of bounds");
  }
  record.assign(at + sizeof(frame), frame.length);
  if (FrameCrc(frame, record) != frame.crc) {
    return DataLoss("a ring record's checksum does not match");
  }
  if (frame.sequence == 0 || (read_sequence_ != 0 && frame.sequence != read_sequence_ + 1)) {
    return DataLoss("ring record ", frame.sequence, " follows record ", read_sequence_);
  }
  read_ += RingWriter::FramedBytes(frame.length);
  read_sequence_ = sequence = frame.sequence;
  return Next::kRecord;
}

void RingReader::Release() {
  tail_ = read_;
  tail_sequence_ = read_sequence_;
  mapping_.header()->tail.store(tail_, std::memory_order_release);
}

void RingReader::Rewind() {
  read_ = tail_;
  read_sequence_ = tail_sequence_;
}

void RingReader::SetAttention(Attention attention) {
  mapping_.header()->attention.store(static_cast<uint32_t>(attention), std::memory_order_seq_cst);
}

}  // namespace countersign
