#include "audit/log/node_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "audit/log/tile_files.h"

namespace countersign::audit {
namespace {

constexpr RingId kOwnRing = {};

// Replaces a file without waiting for the disk: after a power failure the next start writes it
// anew.
Status ReplaceFile(const std::string& path, std::string_view content) {
  std::string temporary = path + ".new";
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.valid() ||
      ::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoError(errno, Concat("replace ", path));
  }
  return absl::OkStatus();
}

}  // namespace

bool NodeLog::Append(const EntrySource& source, std::string_view record) {
  if (source.ring != kOwnRing) {
    auto [last, fresh] = last_sequence_.try_emplace(source.ring, 0);
    if (source.sequence <= last->second) {
      return false;
    }
    last->second = source.sequence;
  }
  scratch_.assign(1, kLeafPrefix);
  AppendEntry(source, record, scratch_);
  AddToTree(scratch_);
  framed_.clear();
  AppendFramed(std::string_view(scratch_).substr(1), framed_);
  store_.Append(kEntriesLevel, framed_);
  ++pending_entries_;
  pending_bytes_ += framed_.size();
  return true;
}

void NodeLog::AppendOwn(std::string_view record) { Append({}, record); }

void NodeLog::AddToTree(std::string_view leaf_input) {
  tree_.Append(Sha256(leaf_input), [this](int level, const TreeHash& hash) {
    store_.Append(level, {reinterpret_cast<const char*>(hash.data()), hash.size()});
  });
}

bool NodeLog::BatchIsFull() const {
  return pending_entries_ >= NodeLogLimits::kBatchEntriesMax ||
         pending_bytes_ >= NodeLogLimits::kBatchBytesMax;
}

// Keeps the map of sequence numbers within what a slot of the signing state holds.
void NodeLog::ForgetOldRings() {
  for (const auto& [ring, sequence] : last_sequence_) {
    auto before = state_.state().last_sequence.find(ring);
    if (before == state_.state().last_sequence.end() || before->second != sequence) {
      last_used_[ring] = state_.state().generation;
    }
  }
  while (last_sequence_.size() > NodeLogLimits::kRingsMax) {
    auto oldest = std::min_element(
        last_sequence_.begin(), last_sequence_.end(),
        [this](const auto& a, const auto& b) { return last_used_[a.first] < last_used_[b.first]; });
    last_used_.erase(oldest->first);
    last_sequence_.erase(oldest);
  }
}

Status NodeLog::Commit() {
  RETURN_IF_ERROR(broken_);
  if (pending_entries_ == 0) {
    return PublishPending();
  }
  // At most one commit is without its names at a time: recovery counts on that.
  Status flushed = PublishPending();
  if (flushed.ok()) {
    flushed = store_.Flush();
  }
  pending_entries_ = pending_bytes_ = 0;
  if (!flushed.ok()) {
    tree_ = committed_tree_;
    last_sequence_ = state_.state().last_sequence;
    broken_ = store_.Rollback();
    return flushed;
  }
  ForgetOldRings();
  SignedState next = {
      .generation = 0, .size = tree_.size(), .root = tree_.Root(), .last_sequence = last_sequence_};
  broken_ = state_.Write(std::move(next));
  RETURN_IF_ERROR(broken_);
  committed_tree_ = tree_;
  unpublished_ = true;
  // The entries are durable and signed for; a checkpoint that cannot be written now comes later.
  [[maybe_unused]] Status later = PublishPending();
  return absl::OkStatus();
}

Status NodeLog::PublishPending() {
  if (!unpublished_) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(store_.Publish());
  std::string text = PrintCheckpoint(
      {.origin = options_.origin, .size = state_.state().size, .root = state_.state().root});
  ASSIGN_OR_RETURN(std::string note, SignNote(text, verifier_, key_));
  RETURN_IF_ERROR(ReplaceFile(Concat(options_.folder, "/", kCheckpointFile), note));
  unpublished_ = false;
  return absl::OkStatus();
}

}  // namespace countersign::audit
