#include "audit/query/verify.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>
#include <limits>
#include <map>
#include <thread>

#include "audit/log/log_entry.h"
#include "audit/log/signing_state.h"
#include "audit/log/tile_files.h"
#include "audit/query/log_reader.h"
#include "base/crypto/hash.h"
#include "base/file.h"

namespace countersign::audit {
namespace {

constexpr size_t kFindingsMax = 20;  // The first ones tell; the rest follows from them.
constexpr auto kPublishWithin = std::chrono::seconds(3);  // A running log signs, then publishes.

// The id of a decision or completion, whatever became of the rest.
std::string ReadableId(std::string_view entry) {
  std::optional<PeekedId> peeked = PeekId(entry.substr(std::min(entry.size(), kEntryHeaderBytes)));
  return peeked.has_value() ? DecisionIdText(peeked->id) : "";
}

uint64_t SaturatingSum(uint64_t a, uint64_t b) {
  return a > std::numeric_limits<uint64_t>::max() - b ? std::numeric_limits<uint64_t>::max()
                                                      : a + b;
}

// GapLedger keeps whose rings the gap records stood in. The owner of a ring is the agent's word,
// in a record that comes before all of the ring's own.
class GapLedger {
 public:
  void AddEvent(const EntrySource& source, const EventRecord& event) {
    size_t at = event.text.rfind(kRingIdIn);
    if (source.ring != RingId{} || event.kind != EventKind::kRingOpened ||
        at == std::string_view::npos) {
      return;
    }
    std::string id(event.text.substr(at + kRingIdIn.size()));
    if (owners_.insert_or_assign(id, std::string(event.text.substr(0, at))).second) {
      order_.push_back(std::move(id));
    }
    if (order_.size() > VerifyLimits::kRingsMax) {
      owners_.erase(order_.front());
      order_.pop_front();
    }
  }
  void AddGap(const EntrySource& source, const GapRecord& gap) {
    std::string id = HexLower(source.ring);
    if (!gaps_.contains(id) && gaps_.size() >= VerifyLimits::kRingsMax) {
      id.clear();
    }
    RingGaps& ring = gaps_[id];
    ring.ring = id;
    if (auto owner = owners_.find(id); owner != owners_.end()) {
      ring.owner = owner->second;
    }
    ++ring.records;
    ring.missing = SaturatingSum(ring.missing, gap.count);
  }
  std::vector<RingGaps> Take() {
    std::vector<RingGaps> all;
    for (auto& [id, gaps] : gaps_) {
      all.push_back(std::move(gaps));
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const RingGaps& a, const RingGaps& b) { return a.missing > b.missing; });
    return all;
  }

 private:
  std::map<std::string, std::string> owners_;  // By ring.
  std::deque<std::string> order_;              // Of owners_, the oldest first.
  std::map<std::string, RingGaps> gaps_;
};

class Verifier {
 public:
  Verifier(const VerifyOptions& options, std::optional<Checkpoint> known, VerifyReport& report)
      : folder_(options.folder), report_(report), known_(std::move(known)) {}

  void Run() {
    uint64_t size = report_.checkpoint.size;
    // A hole ends the walk: what was signed cannot be reached over it, and a checkpoint that claims
    // any number of records must not keep us busy.
    bool whole = true;
    for (uint64_t begin = 0; whole && begin < size; begin += kTileWidth) {
      whole = CheckBundle(begin, std::min(kTileWidth, size - begin));
    }
    Conclude();
  }

 private:
  void Find(std::string finding) {
    if (report_.findings.size() < kFindingsMax) {
      report_.findings.push_back(std::move(finding));
    }
  }

  struct Mismatch {
    uint64_t index = 0;
    std::string id;
    std::string what;
  };

  // False if there is neither a record nor a hash of it.
  bool CheckBundle(uint64_t begin, uint64_t width) {
    uint64_t n = begin / kTileWidth;
    StatusOr<std::string> bundle = ReadTile(folder_, {kEntriesLevel, n});
    StatusOr<std::string> tile = ReadTile(folder_, {0, n});
    std::vector<std::string_view> entries;
    size_t taken = 0;
    if (bundle.ok()) {
      entries = SplitBundle(*bundle, width, &taken);
      if (width == kTileWidth && entries.size() == width && taken != bundle->size()) {
        Note({begin + width - 1, "",
              Concat(TileStem(kEntriesLevel, n), " has bytes after its last record")});
      }
    }
    for (uint64_t i = 0; i < width; ++i) {
      std::optional<TreeHash> kept;
      if (tile.ok() && tile->size() >= (i + 1) * sizeof(TreeHash)) {
        kept.emplace();
        std::memcpy(kept->data(), tile->data() + i * sizeof(TreeHash), sizeof(TreeHash));
      }
      if (i >= entries.size()) {
        Note({begin + i, "",
              bundle.ok() ? Concat("is missing: ", TileStem(kEntriesLevel, n), " is cut short")
                          : Concat("is missing: ", Message(bundle.status()))});
      } else if (!kept.has_value()) {
        Note({begin + i, ReadableId(entries[i]), Concat("has no hash in ", TileStem(0, n))});
      }
      TreeHash leaf = i < entries.size() ? LeafHash(entries[i]) : TreeHash{};
      if (kept.has_value() && i < entries.size() && leaf != *kept) {
        Note({begin + i, ReadableId(entries[i]), "does not fit its hash"});
      }
      AddLeaf(leaf, kept.value_or(TreeHash{}));
      if (i < entries.size()) {
        Count(entries[i]);
      }
    }
    return bundle.ok() || tile.ok();
  }

  void Note(Mismatch mismatch) {
    if (!first_.has_value()) {
      first_ = std::move(mismatch);
    }
  }

  void AddLeaf(const TreeHash& leaf, const TreeHash& kept) {
    by_entries_.Append(leaf, [](int, const TreeHash&) {});
    by_tiles_.Append(kept, [this](int level, const TreeHash& hash) {
      if (level > 0) {
        CheckTileHash(level, hash);
      }
    });
    if (known_.has_value() && by_entries_.size() == known_->size) {
      known_root_ = by_entries_.Root();
    }
  }

  // Compares a hash that follows from the level below with the one that its tile keeps.
  void CheckTileHash(int level, const TreeHash& expected) {
    uint64_t index = by_level_[level]++;
    StatusOr<TreeHash> kept = hashes_.Get(level, index);
    if ((!kept.ok() || *kept != expected) && !upper_.has_value()) {
      uint64_t covered = uint64_t{1} << (8 * level);
      upper_ = Concat("tile ", TileStem(level, index / kTileWidth), " hash ", index % kTileWidth,
                      kept.ok() ? " does not fit" : " is missing over", " records ",
                      index * covered, " to ", (index + 1) * covered - 1);
      upper_first_ = index * covered;
    }
  }

  void Count(std::string_view entry) {
    StatusOr<LogEntry> parsed = ParseEntry(entry);
    if (!parsed.ok()) {
      return;
    }
    StatusOr<ParsedRecord> record = ParsedRecord::Parse(parsed->record);
    if (!record.ok()) {
      return;
    }
    const AnyRecord& value = record->value();
    report_.decisions += std::holds_alternative<DecisionRecord>(value) ? 1 : 0;
    report_.completions += std::holds_alternative<CompletionRecord>(value) ? 1 : 0;
    if (const auto* event = std::get_if<EventRecord>(&value)) {
      ++report_.events;
      gaps_.AddEvent(parsed->source, *event);
    } else if (const auto* gap = std::get_if<GapRecord>(&value)) {
      report_.missing = SaturatingSum(report_.missing, gap->count);
      gaps_.AddGap(parsed->source, *gap);
    }
  }

  // Says what was altered: of a record and its hash that differ, the one whose tree is not the
  // signed.
  void Conclude() {
    report_.gaps = gaps_.Take();
    bool entries_good = by_entries_.Root() == report_.checkpoint.root;
    bool tiles_good = by_tiles_.Root() == report_.checkpoint.root;
    if (first_.has_value()) {
      std::string name = Concat("record ", first_->index);
      if (!first_->id.empty()) {
        name += Concat(" (decision ", first_->id, ")");
      }
      if (entries_good) {
        Find(Concat("tile ", TileStem(0, first_->index / kTileWidth), " is altered or missing: ",
                    name, " ", first_->what, "; the records themselves give the signed root"));
      } else {
        Find(Concat(name, " ", first_->what,
                    tiles_good ? ": the record was altered or removed" : ": the log was altered"));
      }
      report_.first_bad_record = first_->index;
      report_.first_bad_decision = first_->id;
    }
    if (upper_.has_value()) {
      Find(*upper_);
      if (!first_.has_value() && !entries_good) {
        report_.first_bad_record = upper_first_;
      }
    }
    if (!entries_good && !first_.has_value()) {
      Find(Concat(
          "the ", report_.checkpoint.size,
          " records and their hashes fit each other, but not the signed root: some record was "
          "replaced together with its hash"));
    }
    if (known_.has_value()) {
      ConcludeKnown();
    }
  }

  void ConcludeKnown() {
    if (known_->size > report_.checkpoint.size) {
      Find(Concat("the log was rolled back: a checkpoint over ", known_->size,
                  " records is known, this one covers ", report_.checkpoint.size));
      return;
    }
    TreeHash root = known_->size == 0 ? EmptyTreeHash() : known_root_;
    if (root != known_->root) {
      Find(Concat("the first ", known_->size, " records are not those of the known checkpoint"));
    }
  }

  const std::string folder_;
  VerifyReport& report_;
  TileHashes hashes_{folder_};
  GapLedger gaps_;
  MerkleTree by_entries_;
  MerkleTree by_tiles_;
  std::map<int, uint64_t> by_level_;
  std::optional<Mismatch> first_;
  std::optional<std::string> upper_;
  uint64_t upper_first_ = 0;
  const std::optional<Checkpoint> known_;
  TreeHash known_root_ = {};
};

StatusOr<Checkpoint> ReadCheckpoint(const std::string& folder, const NoteVerifierKey& key) {
  ASSIGN_OR_RETURN(std::string note,
                   ReadFile(Concat(folder, "/", kCheckpointFile), NoteLimits::kNoteBytesMax));
  return OpenCheckpoint(note, key);
}

// A running log signs for records, keeps that in its state, then publishes: wait for the last step.
StatusOr<Checkpoint> CheckpointNotBefore(const std::string& folder, const NoteVerifierKey& key,
                                         uint64_t size) {
  auto until = std::chrono::steady_clock::now() + kPublishWithin;
  for (;;) {
    StatusOr<Checkpoint> checkpoint = ReadCheckpoint(folder, key);
    if (!checkpoint.ok() || checkpoint->size >= size || std::chrono::steady_clock::now() > until) {
      return checkpoint;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

StatusOr<VerifyReport> VerifyLog(const VerifyOptions& options) {
  VerifyReport report;
  std::error_code error;
  if (!std::filesystem::is_directory(options.folder, error)) {
    return NotFound("no audit log in ", options.folder);
  }
  StatusOr<NoteVerifierKey> key = ReadVerifierKey(options.folder, options.vkey);
  if (!key.ok()) {
    if (options.vkey.has_value()) {
      return key.status();
    }
    report.findings.push_back(Concat(kVerifierKeyFile, ": ", Message(key.status())));
    return report;
  }
  report.vkey = key->ToString();
  std::optional<Checkpoint> known;
  if (options.known.has_value()) {
    ASSIGN_OR_RETURN(known, OpenCheckpoint(*options.known, *key));
  }
  // Only those who may read the private folder have the state; it is a second witness, not needed.
  StatusOr<SignedState> state = ReadSigningState(Concat(options.folder, "/", kSigningStateFile));
  uint64_t signed_size = state.ok() ? state->size : 0;
  StatusOr<Checkpoint> checkpoint = CheckpointNotBefore(options.folder, *key, signed_size);
  if (!checkpoint.ok()) {
    report.findings.push_back(Concat(kCheckpointFile, ": ", Message(checkpoint.status())));
    return report;
  }
  report.checkpoint = *std::move(checkpoint);
  if (state.status().code() == StatusCode::kDataLoss) {
    report.findings.push_back(Concat("signing state: ", Message(state.status())));
  } else if (signed_size > report.checkpoint.size) {
    report.findings.push_back(Concat("the log was rolled back: ", signed_size,
                                     " records were signed for, the checkpoint covers ",
                                     report.checkpoint.size));
  } else if (state.ok() && signed_size == report.checkpoint.size &&
             state->root != report.checkpoint.root) {
    report.findings.push_back("the signing state holds another root than the checkpoint");
  }
  Verifier(options, std::move(known), report).Run();
  return report;
}

}  // namespace countersign::audit
