// LogReader reads one node's log from its files, without server or agent, while the log may grow.
//
// It opens with a verified checkpoint and sees exactly what that covers. It changes nothing.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "audit/log/log_entry.h"
#include "audit/log/merkle_tree.h"
#include "audit/log/signed_note.h"
#include "audit/log/tile_files.h"
#include "audit/record/decision_record.h"
#include "base/status.h"

namespace countersign::audit {

// LocatedRecord is a record with its place in the log.
struct LocatedRecord {
  uint64_t index = 0;
  EntrySource source;
  ParsedRecord record;
};

// LocateRecord parses entry `index`; the error names it.
StatusOr<LocatedRecord> LocateRecord(uint64_t index, std::string_view entry);

// ReadVerifierKey takes `given` if there is one, else the key that lies in the log's folder.
StatusOr<NoteVerifierKey> ReadVerifierKey(const std::string& folder,
                                          const std::optional<std::string>& given);

// LogReader belongs to one thread.
class LogReader {
 public:
  static StatusOr<LogReader> Open(const std::string& folder,
                                  const std::optional<std::string>& vkey = std::nullopt);

  const std::string& folder() const { return folder_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const std::string& note() const { return note_; }
  const NoteVerifierKey& verifier() const { return verifier_; }
  uint64_t size() const { return checkpoint_.size; }

  // ReadAllProven calls `take` with each entry, in order; an error of its own ends the reading. OK
  // only if what was read gives the signed root, hence is the whole log and nothing else.
  using TakeEntry = std::function<Status(uint64_t index, std::string_view entry)>;
  Status ReadAllProven(const TakeEntry& take);

  // Entry gives an entry's bytes; Record parses them. Neither checks a hash.
  StatusOr<std::string> Entry(uint64_t index);
  StatusOr<LocatedRecord> Record(uint64_t index);
  // Prove makes the record's inclusion proof and checks it, so that what it is given for stands in
  // the signed tree. The entry's bytes travel in the proof's extra line.
  StatusOr<TlogProof> Prove(uint64_t index);

 private:
  LogReader(std::string folder, NoteVerifierKey verifier)
      : folder_(std::move(folder)), verifier_(std::move(verifier)), hashes_(folder_) {}

  std::string folder_;
  NoteVerifierKey verifier_;
  std::string note_;
  Checkpoint checkpoint_;
  TileHashes hashes_;
  uint64_t bundle_n_ = 0;
  std::string bundle_;
  std::vector<std::string_view> entries_;  // Of bundle_.
};

// CheckTlogProof checks a proof that carries its entry, against a trusted key; gives the record.
StatusOr<LocatedRecord> CheckTlogProof(const TlogProof& proof, const NoteVerifierKey& key);

}  // namespace countersign::audit
