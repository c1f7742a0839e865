#include "audit/log/signed_note.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/crypto/base64.h"

namespace countersign::audit {
namespace {

constexpr char kEd25519Type = '\1';
constexpr std::string_view kSignaturePrefix = "\xe2\x80\x94 ";  // U+2014 and a space.
constexpr std::string_view kProofHeader = "c2sp.org/tlog-proof@v1";

std::string_view View(const TreeHash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

std::string BigEndian(uint32_t value) {
  std::string bytes(4, '\0');
  for (size_t i = 0; i < 4; ++i) {
    bytes[i] = static_cast<char>(value >> (24 - 8 * i));
  }
  return bytes;
}

uint32_t FromBigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<uint8_t>(bytes[i]);
  }
  return value;
}

// Signed-note section "Format": the key ID is the first four bytes of SHA-256 over the name, a line
// feed, the signature type and the public key.
uint32_t KeyId(const std::string& name, const std::string& public_key) {
  Sha256Digest digest = Sha256(Concat(name, "\n", std::string(1, kEd25519Type), public_key));
  return FromBigEndian({reinterpret_cast<const char*>(digest.data()), 4});
}

// TakeLine removes the first line, without its end, from `rest`; nothing if it has no end.
std::optional<std::string_view> TakeLine(std::string_view& rest) {
  size_t end = rest.find('\n');
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

// Decimal, as checkpoints write it: no sign, no leading zero.
std::optional<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool canonical = !text.empty() && (text[0] != '0' || text == "0");
  return canonical && error == std::errc() && end == text.data() + text.size()
             ? std::optional<uint64_t>(value)
             : std::nullopt;
}

StatusOr<TreeHash> ParseHash(std::string_view line) {
  ASSIGN_OR_RETURN(std::string bytes, Base64Decode(line));
  TreeHash hash = {};
  if (bytes.size() != hash.size()) {
    return InvalidArgument("a hash of ", bytes.size(), " bytes instead of ", hash.size());
  }
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

}  // namespace

Status CheckKeyName(std::string_view name) {
  bool valid = !name.empty() && name.size() <= NoteLimits::kNameBytesMax &&
               std::all_of(name.begin(), name.end(),
                           [](char c) { return c > ' ' && c < '\x7f' && c != '+'; });
  return valid ? absl::OkStatus()
               : InvalidArgument("log name ", Quoted(name), " must be 1 to ",
                                 NoteLimits::kNameBytesMax,
                                 " bytes of printable ASCII without space and plus");
}

NoteVerifierKey::NoteVerifierKey(std::string name, std::string public_key)
    : name_(std::move(name)),
      public_key_(std::move(public_key)),
      key_id_(KeyId(name_, public_key_)) {}

StatusOr<NoteVerifierKey> NoteVerifierKey::Make(Parts parts) {
  RETURN_IF_ERROR(CheckKeyName(parts.name));
  if (parts.public_key.size() != 32) {
    return InvalidArgument("an Ed25519 public key has 32 bytes, not ", parts.public_key.size());
  }
  return NoteVerifierKey(std::move(parts.name), std::move(parts.public_key));
}

StatusOr<NoteVerifierKey> NoteVerifierKey::Parse(std::string_view vkey) {
  size_t first = vkey.find('+');
  if (first == std::string_view::npos || vkey.size() < first + 10 || vkey[first + 9] != '+') {
    return InvalidArgument("verifier key ", Quoted(vkey), " is not NAME+KEYID+KEY");
  }
  ASSIGN_OR_RETURN(std::string id, HexDecode(vkey.substr(first + 1, 8)));
  ASSIGN_OR_RETURN(std::string key, Base64Decode(vkey.substr(first + 10)));
  if (key.size() != 33 || key[0] != kEd25519Type) {
    return InvalidArgument("verifier key ", Quoted(vkey), " is not an Ed25519 key");
  }
  ASSIGN_OR_RETURN(NoteVerifierKey made, Make({std::string(vkey.substr(0, first)), key.substr(1)}));
  if (made.key_id() != FromBigEndian(id)) {
    return InvalidArgument("verifier key ", Quoted(vkey), " has a wrong key id");
  }
  return made;
}

std::string NoteVerifierKey::ToString() const {
  return Concat(name_, "+", HexLower(BigEndian(key_id_)), "+",
                Base64Encode(Concat(std::string(1, kEd25519Type), public_key_)));
}

bool NoteVerifierKey::Verify(std::string_view text, std::string_view signature) const {
  return Ed25519Verify(public_key_, text, signature);
}

StatusOr<std::string> SignNote(std::string_view text, const NoteVerifierKey& verifier,
                               const Ed25519PrivateKey& key) {
  CHECK(!text.empty() && text.back() == '\n');
  ASSIGN_OR_RETURN(std::string signature, key.Sign(text));
  return Concat(text, "\n", kSignaturePrefix, verifier.name(), " ",
                Base64Encode(Concat(BigEndian(verifier.key_id()), signature)), "\n");
}

StatusOr<std::string> OpenNote(std::string_view note, const NoteVerifierKey& key) {
  size_t split = note.rfind("\n\n");
  bool clean = std::all_of(note.begin(), note.end(), [](char c) {
    return c == '\n' || (static_cast<uint8_t>(c) >= 0x20 && c != '\x7f');
  });
  if (note.size() > NoteLimits::kNoteBytesMax) {
    return ResourceExhausted("a signed note of ", note.size(), " bytes; the limit is ",
                             NoteLimits::kNoteBytesMax);
  }
  if (split == std::string_view::npos || !clean) {
    return InvalidArgument("not a signed note");
  }
  std::string_view text = note.substr(0, split + 1);
  std::string_view rest = note.substr(split + 2);
  bool verified = false;
  size_t signatures = 0;
  while (!rest.empty()) {
    std::optional<std::string_view> line = TakeLine(rest);
    if (!line.has_value() || !line->starts_with(kSignaturePrefix)) {
      return InvalidArgument("signed note: not a signature line");
    }
    if (++signatures > NoteLimits::kSignaturesMax) {
      return ResourceExhausted("signed note: more than the limit of ", NoteLimits::kSignaturesMax,
                               " signatures");
    }
    line->remove_prefix(kSignaturePrefix.size());
    size_t space = line->find(' ');
    if (space == std::string_view::npos || space == 0) {
      return InvalidArgument("signed note: not a signature line");
    }
    ASSIGN_OR_RETURN(std::string blob, Base64Decode(line->substr(space + 1)));
    if (blob.size() < 5) {
      return InvalidArgument("signed note: a signature is too short");
    }
    if (line->substr(0, space) != key.name() || FromBigEndian(blob) != key.key_id()) {
      continue;  // "MUST ignore signatures from unknown keys".
    }
    // "If a signature from a known key fails verification, the note MUST be rejected".
    if (!key.Verify(text, std::string_view(blob).substr(4))) {
      return DataLoss("the signature of ", Quoted(key.name()), " does not fit the text");
    }
    verified = true;
  }
  if (!verified) {
    return DataLoss("no signature of ", Quoted(key.name()), " with this key");
  }
  return std::string(text);
}

std::string PrintCheckpoint(const Checkpoint& checkpoint) {
  return Concat(checkpoint.origin, "\n", checkpoint.size, "\n", Base64Encode(View(checkpoint.root)),
                "\n");
}

StatusOr<Checkpoint> ParseCheckpoint(std::string_view text) {
  Checkpoint checkpoint;
  std::string_view rest = text;
  std::optional<std::string_view> origin = TakeLine(rest);
  std::optional<std::string_view> size = TakeLine(rest);
  std::optional<std::string_view> root = TakeLine(rest);
  if (!origin.has_value() || !size.has_value() || !root.has_value()) {
    return InvalidArgument("checkpoint: fewer than three lines");
  }
  RETURN_IF_ERROR(CheckKeyName(*origin));
  checkpoint.origin = *origin;
  std::optional<uint64_t> number = ParseDecimal(*size);
  if (!number.has_value()) {
    return InvalidArgument("checkpoint: tree size ", Quoted(*size), " is not a decimal number");
  }
  checkpoint.size = *number;
  StatusOr<TreeHash> hash = ParseHash(*root);
  if (!hash.ok()) {
    return Annotate(hash.status(), "checkpoint: root hash: ");
  }
  checkpoint.root = *hash;
  if (!rest.empty() && rest.back() != '\n') {
    return InvalidArgument("checkpoint: the last line has no end");
  }
  return checkpoint;
}

StatusOr<Checkpoint> OpenCheckpoint(std::string_view note, const NoteVerifierKey& key) {
  ASSIGN_OR_RETURN(std::string text, OpenNote(note, key));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, ParseCheckpoint(text));
  if (checkpoint.origin != key.name()) {
    return DataLoss("the checkpoint is of log ", Quoted(checkpoint.origin), ", not of ",
                    Quoted(key.name()));
  }
  return checkpoint;
}

std::string PrintTlogProof(const TlogProof& proof) {
  std::string text = Concat(kProofHeader, "\n");
  if (!proof.extra.empty()) {
    text += Concat("extra ", Base64Encode(proof.extra), "\n");
  }
  text += Concat("index ", proof.index, "\n");
  for (const TreeHash& hash : proof.hashes) {
    text += Concat(Base64Encode(View(hash)), "\n");
  }
  return Concat(text, "\n", proof.checkpoint);
}

StatusOr<TlogProof> ParseTlogProof(std::string_view text) {
  TlogProof proof;
  std::string_view rest = text;
  if (TakeLine(rest) != kProofHeader) {
    return InvalidArgument("not a tlog-proof of version 1");
  }
  std::optional<std::string_view> line = TakeLine(rest);
  if (line.has_value() && line->starts_with("extra ")) {
    ASSIGN_OR_RETURN(proof.extra, Base64Decode(line->substr(6)));
    line = TakeLine(rest);
  }
  std::optional<uint64_t> index;
  if (line.has_value() && line->starts_with("index ")) {
    index = ParseDecimal(line->substr(6));
  }
  if (!index.has_value()) {
    return InvalidArgument("tlog-proof: no index line");
  }
  proof.index = *index;
  for (line = TakeLine(rest); line.has_value() && !line->empty(); line = TakeLine(rest)) {
    ASSIGN_OR_RETURN(TreeHash hash, ParseHash(*line));
    proof.hashes.push_back(hash);
    if (proof.hashes.size() > 63) {
      return InvalidArgument("tlog-proof: more than 63 hashes");
    }
  }
  if (!line.has_value() || rest.empty()) {
    return InvalidArgument("tlog-proof: no checkpoint");
  }
  proof.checkpoint = rest;
  return proof;
}

}  // namespace countersign::audit
