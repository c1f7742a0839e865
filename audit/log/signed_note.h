// C2SP signed notes and tlog checkpoints: parsing, signing, verifying. No I/O here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "audit/log/merkle_tree.h"
#include "base/crypto/ed25519.h"
#include "base/status.h"

namespace countersign::audit {

struct NoteLimits {
  static constexpr size_t kNoteBytesMax = 64 * 1024;
  static constexpr size_t kSignaturesMax = 64;  // C2SP signed-note: accept at least 16.
  static constexpr size_t kNameBytesMax = 255;
};

// CheckKeyName says whether `name` can be a key name and an origin: no space, no plus, no control.
Status CheckKeyName(std::string_view name);

// NoteVerifierKey is an Ed25519 key with its name, from a `NAME+HEXID+BASE64` text. Immutable.
class NoteVerifierKey {
 public:
  static StatusOr<NoteVerifierKey> Parse(std::string_view vkey);
  // Make is for the holder of the private key.
  struct Parts {
    std::string name;
    std::string public_key;  // 32 bytes.
  };
  static StatusOr<NoteVerifierKey> Make(Parts parts);

  const std::string& name() const { return name_; }
  uint32_t key_id() const { return key_id_; }
  std::string ToString() const;
  bool Verify(std::string_view text, std::string_view signature) const;

 private:
  NoteVerifierKey(std::string name, std::string public_key);
  std::string name_;
  std::string public_key_;
  uint32_t key_id_ = 0;
};

// SignNote gives the note: `text` (ends with a line feed), a blank line, one signature line.
StatusOr<std::string> SignNote(std::string_view text, const NoteVerifierKey& verifier,
                               const Ed25519PrivateKey& key);

// OpenNote checks a note's form and the signature of `key`, which must be there; other keys'
// signatures are not looked at. Gives the text.
StatusOr<std::string> OpenNote(std::string_view note, const NoteVerifierKey& key);

// Checkpoint is what the log signs.
struct Checkpoint {
  std::string origin;
  uint64_t size = 0;
  TreeHash root = {};
};
std::string PrintCheckpoint(const Checkpoint& checkpoint);
// ParseCheckpoint reads a note's text; extension lines are allowed and not kept.
StatusOr<Checkpoint> ParseCheckpoint(std::string_view text);
// OpenCheckpoint is OpenNote and ParseCheckpoint; the origin must be the key's name.
StatusOr<Checkpoint> OpenCheckpoint(std::string_view note, const NoteVerifierKey& key);

// A record's proof for an auditor: C2SP tlog-proof v1.
struct TlogProof {
  std::string extra;  // What the `extra` line carries; ours is the log entry itself.
  uint64_t index = 0;
  std::vector<TreeHash> hashes;
  std::string checkpoint;  // The whole note, verbatim.
};
std::string PrintTlogProof(const TlogProof& proof);
StatusOr<TlogProof> ParseTlogProof(std::string_view text);

}  // namespace countersign::audit
