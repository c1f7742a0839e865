#include "audit/log/signing_state.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/crc32c.h"
#include "base/file.h"

namespace countersign::audit {
namespace {

constexpr size_t kSlotBytes = 32 * 1024;
constexpr std::string_view kMagic = "CSSIGN/1";
constexpr size_t kFixedBytes = 8 + 8 + 8 + 32 + 4;  // Magic to the number of rings.
constexpr size_t kRingBytes = 16 + 8;
static_assert(kFixedBytes + SigningStateFile::kRingsMax * kRingBytes + 4 <= kSlotBytes);

void AppendRaw(std::string& out, const void* bytes, size_t size) {
  out.append(static_cast<const char*>(bytes), size);
}

std::string PrintSlot(const SignedState& state) {
  std::string out(kMagic);
  AppendRaw(out, &state.generation, 8);
  AppendRaw(out, &state.size, 8);
  AppendRaw(out, state.root.data(), state.root.size());
  auto rings = static_cast<uint32_t>(state.last_sequence.size());
  AppendRaw(out, &rings, 4);
  for (const auto& [ring, sequence] : state.last_sequence) {
    AppendRaw(out, ring.data(), ring.size());
    AppendRaw(out, &sequence, 8);
  }
  uint32_t crc = Crc32c(out);
  AppendRaw(out, &crc, 4);
  return out;
}

std::optional<SignedState> ParseSlot(std::string_view slot) {
  if (!slot.starts_with(kMagic)) {
    return std::nullopt;
  }
  SignedState state;
  uint32_t rings = 0;
  std::memcpy(&state.generation, slot.data() + 8, 8);
  std::memcpy(&state.size, slot.data() + 16, 8);
  std::memcpy(state.root.data(), slot.data() + 24, state.root.size());
  std::memcpy(&rings, slot.data() + 56, 4);
  if (rings > SigningStateFile::kRingsMax) {
    return std::nullopt;
  }
  size_t end = kFixedBytes + rings * kRingBytes;
  uint32_t crc = 0;
  std::memcpy(&crc, slot.data() + end, 4);
  if (crc != Crc32c(slot.substr(0, end))) {
    return std::nullopt;
  }
  for (size_t at = kFixedBytes; at < end; at += kRingBytes) {
    RingId ring = {};
    uint64_t sequence = 0;
    std::memcpy(ring.data(), slot.data() + at, ring.size());
    std::memcpy(&sequence, slot.data() + at + ring.size(), 8);
    state.last_sequence[ring] = sequence;
  }
  return state;
}

}  // namespace

StatusOr<SignedState> ReadSigningState(const std::string& path) {
  ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, 2 * kSlotBytes));
  std::optional<SignedState> newest;
  for (size_t slot = 0; bytes.size() == 2 * kSlotBytes && slot < 2; ++slot) {
    auto state = ParseSlot(std::string_view(bytes).substr(slot * kSlotBytes, kSlotBytes));
    if (state.has_value() && (!newest.has_value() || state->generation > newest->generation)) {
      newest = std::move(state);
    }
  }
  if (!newest.has_value()) {
    return DataLoss(path, " holds no whole signing state");
  }
  return *std::move(newest);
}

StatusOr<SigningStateFile> SigningStateFile::Create(const std::string& path) {
  SignedState first = {.generation = 0, .size = 0, .root = EmptyTreeHash(), .last_sequence = {}};
  std::string content = PrintSlot(first);
  content.resize(2 * kSlotBytes);
  RETURN_IF_ERROR(WriteFileAtomically(path, content, 0600));
  return Open(path);
}

StatusOr<SigningStateFile> SigningStateFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(SignedState state, ReadSigningState(path));
  Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) {
    return ErrnoError(errno, Concat("open ", path));
  }
  SigningStateFile file(std::move(fd), path);
  file.state_ = std::move(state);
  return file;
}

Status SigningStateFile::Write(SignedState next) {
  CHECK(next.size >= state_.size && next.last_sequence.size() <= kRingsMax);
  next.generation = state_.generation + 1;
  std::string slot = PrintSlot(next);
  auto at = static_cast<off_t>(next.generation % 2 * kSlotBytes);
  ssize_t wrote = ::pwrite(fd_.get(), slot.data(), slot.size(), at);
  if (wrote != static_cast<ssize_t>(slot.size()) || ::fdatasync(fd_.get()) != 0) {
    return ErrnoError(wrote < 0 || errno != 0 ? errno : EIO, Concat("write ", path_));
  }
  state_ = std::move(next);
  return absl::OkStatus();
}

}  // namespace countersign::audit
