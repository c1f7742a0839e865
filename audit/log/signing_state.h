// SigningState is what the log must never sign against again: the last signed size and root, apart
// from the tiles. Two slots are written in turn into a file whose room is taken once, so that a
// crash leaves the older one and a full disk cannot stop a write.
#pragma once

#include <map>
#include <string>

#include "audit/log/merkle_tree.h"
#include "base/fd.h"
#include "base/ring.h"
#include "base/status.h"

namespace countersign::audit {

struct SignedState {
  uint64_t generation = 0;
  uint64_t size = 0;
  TreeHash root = {};
  std::map<RingId, uint64_t> last_sequence;  // Of each ring, up to `size`.
};

// SigningStateFile owns the file. One thread.
class SigningStateFile {
 public:
  static constexpr size_t kRingsMax = 1300;  // What a slot of 32 KiB holds.

  // Create takes the file's room on the disk; Open reads the newest whole slot.
  static StatusOr<SigningStateFile> Create(const std::string& path);
  static StatusOr<SigningStateFile> Open(const std::string& path);

  const SignedState& state() const { return state_; }
  // Write makes `next` durable, with the next generation. After an error it is unknown which of the
  // two states a restart will find.
  Status Write(SignedState next);

 private:
  SigningStateFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Fd fd_;
  std::string path_;
  SignedState state_;
};

// ReadSigningState is for verifiers that may read the file; it changes nothing.
StatusOr<SignedState> ReadSigningState(const std::string& path);

}  // namespace countersign::audit
