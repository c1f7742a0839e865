// Opening a node log: its key, its signing state, and what the last process left half done.
#include <filesystem>

#include "audit/log/node_log.h"
#include "audit/log/tile_files.h"
#include "audit/record/decision_record.h"
#include "base/file.h"
#include "base/log.h"

namespace countersign::audit {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKeyBytesMax = 4096;

Status Alarm(const std::string& folder, std::string_view what) {
  return DataLoss(
      "tamper alarm: the audit log in ", folder, " ", what,
      "; it is not extended. Keep the folder as evidence, run `countersign audit verify` "
      "on it, and begin a new log by giving the agent another --audit-dir");
}

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

StatusOr<Ed25519PrivateKey> LoadOrMakeKey(const std::string& folder) {
  std::string path = Concat(folder, "/", kSigningKeyFile);
  if (Exists(path)) {
    ASSIGN_OR_RETURN(std::string pem, ReadSecretFile(path, kKeyBytesMax));
    StatusOr<Ed25519PrivateKey> key = Ed25519PrivateKey::FromPkcs8Pem(pem);
    return key.ok() ? std::move(key)
                    : StatusOr<Ed25519PrivateKey>(Annotate(key.status(), path + ": "));
  }
  if (Exists(folder + "/tile")) {
    return Alarm(folder, "has no signing key");
  }
  ASSIGN_OR_RETURN(Ed25519PrivateKey key, Ed25519PrivateKey::Generate());
  ASSIGN_OR_RETURN(std::string pem, key.ToPkcs8Pem());
  RETURN_IF_ERROR(WriteFileAtomically(path, pem, 0600));
  return key;
}

StatusOr<SigningStateFile> LoadOrMakeState(const std::string& folder) {
  std::string path = Concat(folder, "/", kSigningStateFile);
  if (!Exists(path)) {
    if (Exists(folder + "/tile")) {
      return Alarm(folder, "has no signing state");
    }
    return SigningStateFile::Create(path);
  }
  StatusOr<SigningStateFile> state = SigningStateFile::Open(path);
  if (state.status().code() == StatusCode::kDataLoss) {
    return Alarm(folder, Concat("has a damaged signing state (", Message(state.status()), ")"));
  }
  return state;
}

// The verifier key is written once; another name or key in its place is a mistake worth a sentence.
Status KeepVerifierKey(const std::string& folder, const NoteVerifierKey& key) {
  std::string path = Concat(folder, "/", kVerifierKeyFile);
  std::string line = key.ToString() + "\n";
  if (!Exists(path)) {
    return WriteFileAtomically(path, line, 0644);
  }
  ASSIGN_OR_RETURN(std::string kept, ReadFile(path, kKeyBytesMax));
  if (kept != line) {
    return FailedPrecondition(path, " holds ", Quoted(kept, 200), ", but this log is ",
                              Quoted(line, 200),
                              "; a log keeps its name and key for ever: give the "
                              "agent another --audit-dir");
  }
  return absl::OkStatus();
}

}  // namespace

// Tail is what lies in the bundles beyond the signed size.
struct NodeLog::Tail {
  std::vector<std::string> entries;   // Whole and valid ones.
  uint64_t bytes_of_last_bundle = 0;  // Up to the last of them.
  uint64_t torn_bytes = 0;
};

StatusOr<std::unique_ptr<NodeLog>> NodeLog::Open(const Options& options, const Clock& clock) {
  RETURN_IF_ERROR(CheckKeyName(options.origin));
  RETURN_IF_ERROR(MakeFolder(options.folder, 0700));
  RETURN_IF_ERROR(MakeFolder(options.folder + "/private", 0700));
  ASSIGN_OR_RETURN(Fd lock, LockFolder(options.folder + "/private"));
  ASSIGN_OR_RETURN(Ed25519PrivateKey key, LoadOrMakeKey(options.folder));
  ASSIGN_OR_RETURN(NoteVerifierKey verifier,
                   NoteVerifierKey::Make({options.origin, key.public_key()}));
  RETURN_IF_ERROR(KeepVerifierKey(options.folder, verifier));
  ASSIGN_OR_RETURN(SigningStateFile state, LoadOrMakeState(options.folder));
  std::unique_ptr<NodeLog> log(new NodeLog(options, clock, std::move(lock), std::move(key),
                                           std::move(verifier), std::move(state)));
  RETURN_IF_ERROR(log->CheckSignedPart());
  RETURN_IF_ERROR(log->Recover());
  return log;
}

// Checks the right edge: the tiles give the signed root, and the newest bundle gives the tiles.
Status NodeLog::CheckSignedPart() {
  const SignedState& signed_state = state_.state();
  const std::string& folder = options_.folder;
  TileHashes hashes(folder);
  StatusOr<MerkleTree> tree = TreeAt(signed_state.size, hashes.AsSource());
  if (tree.status().code() == StatusCode::kNotFound) {
    return Alarm(folder, Concat("is shorter than the ", signed_state.size,
                                " records that were signed for (", Message(tree.status()), ")"));
  }
  RETURN_IF_ERROR(tree.status());
  if (tree->Root() != signed_state.root) {
    return Alarm(folder,
                 Concat("does not give the root that was signed at size ", signed_state.size));
  }
  committed_tree_ = tree_ = *std::move(tree);
  if (signed_state.size == 0) {
    return absl::OkStatus();
  }
  uint64_t n = (signed_state.size - 1) / kTileWidth;
  uint64_t width = signed_state.size - n * kTileWidth;
  StatusOr<std::string> bundle = ReadTile(folder, {kEntriesLevel, n});
  std::vector<std::string_view> entries;
  if (bundle.ok()) {
    entries = SplitBundle(*bundle, width);
  }
  if (entries.size() < width) {
    return Alarm(folder, Concat("is shorter than the ", signed_state.size,
                                " records that were signed for: it ends at record ",
                                n * kTileWidth + entries.size()));
  }
  for (uint64_t i = 0; i < width; ++i) {
    ASSIGN_OR_RETURN(TreeHash kept, hashes.Get(0, n * kTileWidth + i));
    if (LeafHash(entries[i]) != kept) {
      return Alarm(folder, Concat("has an altered record ", n * kTileWidth + i));
    }
  }
  return absl::OkStatus();
}

StatusOr<NodeLog::Tail> NodeLog::ReadTail() const {
  Tail tail;
  uint64_t skip = state_.state().size % kTileWidth;
  for (uint64_t n = state_.state().size / kTileWidth;; ++n, skip = 0) {
    StatusOr<std::string> bundle = ReadTile(options_.folder, {kEntriesLevel, n});
    if (bundle.status().code() == StatusCode::kNotFound) {
      return tail;
    }
    RETURN_IF_ERROR(bundle.status());
    uint64_t kept_bytes = 0;
    uint64_t index = 0;
    std::vector<std::string_view> entries = SplitBundle(*bundle, kTileWidth);
    for (; index < entries.size(); ++index) {
      if (index >= skip) {
        StatusOr<LogEntry> entry = ParseEntry(entries[index]);
        if (tail.torn_bytes > 0 || !entry.ok() || !CheckRecord(entry->record).ok()) {
          break;
        }
        tail.entries.emplace_back(entries[index]);
      }
      kept_bytes += 2 + entries[index].size();
    }
    if (index > 0) {
      tail.bytes_of_last_bundle = kept_bytes;
    }
    tail.torn_bytes += bundle->size() - kept_bytes;
    if (index < kTileWidth && tail.torn_bytes == 0) {
      return tail;
    }
  }
}

Status NodeLog::Recover() {
  uint64_t size = state_.state().size;
  last_sequence_ = state_.state().last_sequence;
  ASSIGN_OR_RETURN(Tail tail, ReadTail());
  RETURN_IF_ERROR(
      store_.CutTo(kEntriesLevel, {size + tail.entries.size(), tail.bytes_of_last_bundle}));
  for (int level = 0; level < kLevelsMax; ++level) {
    uint64_t count = level == 0 ? size : size >> (8 * level);
    RETURN_IF_ERROR(store_.CutTo(level, {count, count % kTileWidth * sizeof(TreeHash)}));
  }
  for (const std::string& entry : tail.entries) {
    AddToTree(Concat(std::string(1, kLeafPrefix), entry));
    EntrySource source = ParseEntry(entry)->source;
    uint64_t& last = last_sequence_[source.ring];
    last = std::max(last, source.sequence);
    ++pending_entries_;
  }
  last_sequence_.erase(RingId{});
  if (!tail.entries.empty() || tail.torn_bytes > 0) {
    std::string text =
        Concat("signed size ", size, "; adopted ", tail.entries.size(),
               " whole records that lay beyond it; cut off ", tail.torn_bytes, " torn bytes");
    LogWarning("audit log recovered", {{"folder", options_.folder}, {"what", text}});
    EventRecord event = {EventKind::kRecovery,
                         clock_.Now().time_since_epoch().count(),
                         "countersign-agent",
                         options_.node,
                         text,
                         {}};
    AppendOwn(EncodeToString(event));
  }
  unpublished_ = pending_entries_ == 0;
  RETURN_IF_ERROR(Commit());
  return PublishPending();
}

}  // namespace countersign::audit
