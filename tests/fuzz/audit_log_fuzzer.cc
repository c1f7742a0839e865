// Any bytes as entry bundle, log entry, checkpoint, signed note, proof and verifier key: nothing is
// read beyond the end, and what parses prints as it was.
#include <cstdint>
#include <string_view>

#include "audit/log/log_entry.h"
#include "audit/log/signed_note.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign::audit;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  size_t taken = 0;
  std::string again;
  for (std::string_view entry : SplitBundle(bytes, kTileWidth, &taken)) {
    AppendFramed(entry, again);
    auto parsed = ParseEntry(entry);
    if (parsed.ok()) {
      std::string printed;
      AppendEntry(parsed->source, parsed->record, printed);
      CHECK(printed == entry);
    }
  }
  CHECK(taken <= bytes.size() && again == bytes.substr(0, taken));
  if (auto checkpoint = ParseCheckpoint(bytes); checkpoint.ok()) {
    CHECK(bytes.starts_with(PrintCheckpoint(*checkpoint)));
  }
  if (auto proof = ParseTlogProof(bytes); proof.ok() && !proof->extra.empty()) {
    CHECK(PrintTlogProof(*proof) == bytes);
  }
  if (auto key = NoteVerifierKey::Parse(bytes); key.ok()) {
    CHECK(NoteVerifierKey::Parse(key->ToString()).ok());
  }
  static const auto published = NoteVerifierKey::Parse(
      "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
  CHECK(!OpenCheckpoint(bytes, *published).ok());
  return 0;
}
