#include "audit/query/log_reader.h"

#include <algorithm>

#include "base/file.h"

namespace countersign::audit {
namespace {

constexpr size_t kKeyFileBytesMax = 4096;

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  return text;
}

}  // namespace

StatusOr<LocatedRecord> LocateRecord(uint64_t index, std::string_view bytes) {
  StatusOr<LogEntry> entry = ParseEntry(bytes);
  if (!entry.ok()) {
    return Annotate(entry.status(), Concat("record ", index, ": "));
  }
  StatusOr<ParsedRecord> record = ParsedRecord::Parse(entry->record);
  if (!record.ok()) {
    return Annotate(record.status(), Concat("record ", index, ": "));
  }
  return LocatedRecord{index, entry->source, *std::move(record)};
}

StatusOr<NoteVerifierKey> ReadVerifierKey(const std::string& folder,
                                          const std::optional<std::string>& given) {
  if (given.has_value()) {
    return NoteVerifierKey::Parse(Trimmed(*given));
  }
  ASSIGN_OR_RETURN(std::string text,
                   ReadFile(Concat(folder, "/", kVerifierKeyFile), kKeyFileBytesMax));
  return NoteVerifierKey::Parse(Trimmed(text));
}

StatusOr<LogReader> LogReader::Open(const std::string& folder,
                                    const std::optional<std::string>& vkey) {
  ASSIGN_OR_RETURN(NoteVerifierKey verifier, ReadVerifierKey(folder, vkey));
  LogReader reader(folder, std::move(verifier));
  ASSIGN_OR_RETURN(reader.note_,
                   ReadFile(Concat(folder, "/", kCheckpointFile), NoteLimits::kNoteBytesMax));
  StatusOr<Checkpoint> checkpoint = OpenCheckpoint(reader.note_, reader.verifier_);
  if (!checkpoint.ok()) {
    return Annotate(checkpoint.status(), Concat(folder, "/", kCheckpointFile, ": "));
  }
  reader.checkpoint_ = *std::move(checkpoint);
  return reader;
}

StatusOr<std::string> LogReader::Entry(uint64_t index) {
  if (index >= size()) {
    return NotFound("record ", index, " is not in a log of ", size());
  }
  uint64_t n = index / kTileWidth;
  if (entries_.size() <= index % kTileWidth || bundle_n_ != n) {
    entries_.clear();
    ASSIGN_OR_RETURN(bundle_, ReadTile(folder_, {kEntriesLevel, n}));
    entries_ = SplitBundle(bundle_, kTileWidth);
    bundle_n_ = n;
  }
  if (entries_.size() <= index % kTileWidth) {
    return DataLoss(TileStem(kEntriesLevel, n), " ends before record ", index);
  }
  return std::string(entries_[index % kTileWidth]);
}

StatusOr<LocatedRecord> LogReader::Record(uint64_t index) {
  ASSIGN_OR_RETURN(std::string bytes, Entry(index));
  return LocateRecord(index, bytes);
}

Status LogReader::ReadAllProven(const TakeEntry& take) {
  MerkleTree tree;
  for (uint64_t begin = 0; begin < size(); begin += kTileWidth) {
    uint64_t width = std::min(kTileWidth, size() - begin);
    ASSIGN_OR_RETURN(std::string bundle, ReadTile(folder_, {kEntriesLevel, begin / kTileWidth}));
    std::vector<std::string_view> entries = SplitBundle(bundle, width);
    if (entries.size() < width) {
      return DataLoss(TileStem(kEntriesLevel, begin / kTileWidth), " ends before record ",
                      begin + entries.size(),
                      "; run `countersign audit verify`, which says what is missing");
    }
    for (uint64_t i = 0; i < width; ++i) {
      tree.Append(LeafHash(entries[i]), [](int, const TreeHash&) {});
      RETURN_IF_ERROR(take(begin + i, entries[i]));
    }
  }
  if (tree.Root() != checkpoint_.root) {
    return DataLoss("the ", size(), " records in ", folder_,
                    " do not give the root that was signed for them: some were altered, so what is "
                    "missing from an answer cannot be known; run `countersign audit verify`, which "
                    "names the first one");
  }
  return absl::OkStatus();
}

StatusOr<TlogProof> LogReader::Prove(uint64_t index) {
  ASSIGN_OR_RETURN(std::string entry, Entry(index));
  Inclusion where = {index, size()};
  TlogProof proof;
  proof.index = index;
  ASSIGN_OR_RETURN(proof.hashes, InclusionProof(where, hashes_.AsSource()));
  proof.extra = entry;
  proof.checkpoint = note_;
  RETURN_IF_ERROR(CheckTlogProof(proof, verifier_).status());
  return proof;
}

StatusOr<LocatedRecord> CheckTlogProof(const TlogProof& proof, const NoteVerifierKey& key) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(proof.checkpoint, key));
  ASSIGN_OR_RETURN(TreeHash root, RootFromInclusion({proof.index, checkpoint.size},
                                                    LeafHash(proof.extra), proof.hashes));
  if (root != checkpoint.root) {
    return DataLoss("record ", proof.index, " is not what was signed at this place of the log");
  }
  return LocateRecord(proof.index, proof.extra);
}

}  // namespace countersign::audit
