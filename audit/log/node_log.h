// NodeLog is the append-only, signed log of one node: C2SP tlog-tiles below one folder.
//
// A commit makes entries durable, then the signing state, then publishes the checkpoint, in this
// order, so that whatever a crash leaves is either signed for and whole, or a tail that the next
// start adopts or cuts off. A log shorter than what was signed is never extended.
//
//   DIR/checkpoint  DIR/log.vkey  DIR/tile/...  DIR/private/{signing-key.pem,signing-state,lock}
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "audit/log/log_entry.h"
#include "audit/log/merkle_tree.h"
#include "audit/log/signed_note.h"
#include "audit/log/signing_state.h"
#include "audit/log/tile_store.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::audit {

struct NodeLogLimits {
  // One commit: bounds memory and open files (64 bundles and as many hash tiles).
  static constexpr size_t kBatchEntriesMax = 16 * 1024;
  static constexpr size_t kBatchBytesMax = 16 * 1024 * 1024;
  // Rings whose last sequence number is remembered; the longest unused ones are forgotten.
  static constexpr size_t kRingsMax = 1200;
};

// NodeLog belongs to one thread. One process a folder, by a lock.
class NodeLog {
 public:
  struct Options {
    std::string folder;  // Made with mode 0700 if it is not there.
    std::string origin;  // The log's name, for ever.
    std::string node;    // SPIFFE ID, for the log's own records.
  };
  // Open recovers what a crash left and publishes a checkpoint. DataLoss means signs of tampering;
  // the message says what to do. `clock` must outlive the log.
  static StatusOr<std::unique_ptr<NodeLog>> Open(const Options& options, const Clock& clock);

  // Append keeps a record for the next commit; false if the log has this ring's record already.
  bool Append(const EntrySource& source, std::string_view record);
  // AppendOwn is for records that the node itself writes.
  void AppendOwn(std::string_view record);
  bool BatchIsFull() const;
  size_t pending() const { return pending_entries_; }

  // Commit makes everything appended durable and signed for. After an error nothing of it is in the
  // log and it must be appended again; the log stays right and may be tried again later.
  Status Commit();
  // PublishPending retries what a full disk kept from being published; OK if there is nothing.
  Status PublishPending();

  uint64_t size() const { return state_.state().size; }
  const NoteVerifierKey& verifier() const { return verifier_; }

 private:
  NodeLog(Options options, const Clock& clock, Fd lock, Ed25519PrivateKey key,
          NoteVerifierKey verifier, SigningStateFile state)
      : options_(std::move(options)),
        clock_(clock),
        lock_(std::move(lock)),
        key_(std::move(key)),
        verifier_(std::move(verifier)),
        state_(std::move(state)),
        store_(options_.folder) {}

  Status Recover();
  Status CheckSignedPart();
  struct Tail;
  StatusOr<Tail> ReadTail() const;
  void AddToTree(std::string_view leaf_input);
  void ForgetOldRings();

  const Options options_;
  const Clock& clock_;
  Fd lock_;
  Ed25519PrivateKey key_;
  NoteVerifierKey verifier_;
  SigningStateFile state_;
  TileStore store_;
  MerkleTree committed_tree_;
  MerkleTree tree_;
  std::map<RingId, uint64_t> last_sequence_;  // With what is pending.
  std::map<RingId, uint64_t> last_used_;      // Commit number, to forget the oldest.
  std::string scratch_;
  std::string framed_;
  size_t pending_entries_ = 0;
  size_t pending_bytes_ = 0;
  bool unpublished_ = false;
  Status broken_;  // Set when only a restart can tell what is on disk.
};

}  // namespace countersign::audit
