// StringIndex finds, for one value, everything that was filed under a matcher that matches it, at a
// cost that grows with the value and its matches, not with the number of matchers.
//
// One walk over the value's segments hashes its beginnings, one at each border. Literals, borders
// (`under`), templates, and the literals that prefixes and patterns begin with are all found in one
// table by such a hash, so that no look-up waits for another one's memory; what is found is then
// compared byte by byte.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "authz/engine/floating_index.h"
#include "authz/engine/hash.h"
#include "authz/engine/patterns.h"
#include "authz/engine/text_match.h"
#include "authz/model/field.h"
#include "base/status.h"

namespace countersign::authz::engine {

// StringIndex is built once (Add, then Build) and immutable afterwards.
class StringIndex {
 public:
  // Indexable says whether such a matcher can be filed: presence has no value to be found by.
  static bool Indexable(const Matcher& matcher);

  // Add files `payload` under `matcher`; `coordinate` names the values for PatternStore.
  Status Add(const Matcher& matcher, const std::string& coordinate, PatternStore& patterns,
             uint32_t payload);
  Status Build(const PatternStore& patterns);
  bool empty() const { return empty_; }

  // Plan says what Build made of the matchers.
  struct Plan {
    size_t literals = 0;
    size_t borders = 0;
    size_t templates = 0;
    size_t prefixes = 0;
    size_t suffixes = 0;
    size_t patterns_by_prefix = 0;
    FloatingIndex::Plan floating;
    void Add(const Plan& other);
  };
  const Plan& plan() const { return plan_; }

  // ForEach calls emit(payload) for each filed payload whose matcher matches; a payload may come
  // more than once. emit returns false to stop.
  template <class Emit>
  void ForEach(std::string_view value, const PatternStore& patterns, LookupScratch& scratch,
               Emit&& emit) const {
    if (empty_) {
      return;
    }
    if (value.starts_with(stem_)) {
      Place place{.hash = stem_hash_, .at = stem_.size(), .depth = stem_depth_};
      if (stem_entry_ != 0 && !GoOn(EntryAt(stem_entry_), place, value, patterns, scratch, emit)) {
        return;
      }
      if (!Walk(place, value, patterns, scratch, emit)) {
        return;
      }
    }
    Suffixes(value, emit);
  }

 private:
  enum class Kind : uint8_t { kNode, kPartial, kSuffix };

  // Entry is the head of a run of words_. Behind it: `exact` payloads, `below` payloads, then for a
  // node its `sizes`, for a partial its `sizes` candidates (pattern, count, payloads), then text:
  // what follows the stem, or a suffix.
  struct Entry {
    Kind kind = Kind::kNode;
    uint8_t has_wildcard = 0;      // A template goes on with any segment.
    uint8_t through_wildcard = 0;  // `text` is a template.
    uint8_t unused = 0;
    uint32_t exact = 0;     // The value ends here; of a partial or suffix: all its payloads.
    uint32_t below = 0;     // The value ends here or goes on after a border.
    uint32_t sizes = 0;     // Sizes of the remainders to look up, ascending; or candidates.
    uint32_t floating = 0;  // Of a partial: one more than a number in floating_.
    uint32_t text_at = 0;   // In words from the head.
    uint32_t text_size = 0;
  };
  static constexpr size_t kHeadWords = sizeof(Entry) / sizeof(uint32_t);
  struct Slot {
    uint64_t hash = 0;
    uint32_t entry = 0;  // In words_; 0: an empty place.
    uint32_t first = 0;  // The entry's first payload.
  };
  // Place is a border within the value.
  struct Place {
    uint64_t hash = 0;  // Of the segments before it.
    size_t at = 0;
    uint32_t depth = 0;
  };

  // What Add collects and Build freezes.
  struct StagedPartial {
    std::vector<uint32_t> prefixes;
    std::map<uint32_t, std::vector<uint32_t>> patterns;
  };
  struct StagedNode {
    std::map<std::string, uint32_t, std::less<>> children;
    uint32_t wildcard = 0;
    std::vector<uint32_t> exact;
    std::vector<uint32_t> below;
    std::map<std::string, StagedPartial> partials;
    bool HasContent() const {
      return wildcard != 0 || !exact.empty() || !below.empty() || !partials.empty();
    }
  };
  struct Staging {
    std::vector<StagedNode> nodes = std::vector<StagedNode>(1);
    std::map<std::string, std::vector<uint32_t>> suffixes;
  };
  struct FrozenPlace;
  class Freezer;

  static constexpr uint64_t kRootHash = 0x1B873593CC9E2D51;
  static constexpr uint64_t kWildcardHash = 0xA0761D6478BD642F;
  static constexpr uint64_t kPartialHash = 0xE7037ED1A0B428DB;
  static constexpr uint64_t kSuffixHash = 0x8EBC6AF09C88C6E3;
  static constexpr uint32_t kDepthBits = 64;

  uint32_t StagedChild(uint32_t node, std::string_view segment);
  uint32_t StagedPath(std::string_view text);
  StagedPartial& StagedPrefix(std::string_view text);
  void AddTemplate(std::string_view text, uint32_t payload);

  const Entry& EntryAt(uint32_t at) const {
    return *reinterpret_cast<const Entry*>(words_.data() + at);
  }
  static const uint32_t* Behind(const Entry& entry) {
    return reinterpret_cast<const uint32_t*>(&entry) + kHeadWords;
  }
  static std::string_view TextOf(const Entry& entry) {
    const auto* words = reinterpret_cast<const uint32_t*>(&entry) + entry.text_at;
    return {reinterpret_cast<const char*>(words), entry.text_size};
  }

  // The entry of this hash and kind that `is_it` knows by its text, or null.
  template <class IsIt, class Emit>
  const Entry* Find(uint64_t hash, Kind kind, Emit& emit, IsIt is_it) const {
    const Slot* slots = slots_.data();
    for (size_t at = hash & mask_; slots[at].entry != 0; at = (at + 1) & mask_) {
      if (slots[at].hash != hash) {
        continue;
      }
      if constexpr (requires { emit.Soon(uint32_t{}); }) {
        emit.Soon(slots[at].first);
      }
      const Entry& entry = EntryAt(slots[at].entry);
      if (entry.kind == kind && is_it(entry, TextOf(entry))) {
        return &entry;
      }
    }
    return nullptr;
  }

  template <class Emit>
  static bool EmitAll(const uint32_t* payloads, uint32_t count, Emit& emit) {
    for (uint32_t i = 0; i < count; ++i) {
      if (!emit(payloads[i])) {
        return false;
      }
    }
    return true;
  }

  // Every border from `place` on: what ends or begins there.
  template <class Emit>
  bool Walk(Place place, std::string_view value, const PatternStore& patterns,
            LookupScratch& scratch, Emit& emit) const {
    for (; place.depth <= depth_max_; ++place.depth) {
      size_t end = FindSlash(value, place.at);
      place.hash = HashBytes(place.hash, value.substr(place.at, end - place.at));
      if (!Enter(place, end, value, patterns, scratch, emit)) {
        return false;
      }
      if (end == value.size()) {
        break;
      }
      place.at = end + 1;
    }
    return true;
  }

  // `place.hash` is of the value up to `end`.
  template <class Emit>
  bool Enter(Place place, size_t end, std::string_view value, const PatternStore& patterns,
             LookupScratch& scratch, Emit& emit) const {
    if ((depths_ >> std::min(place.depth, kDepthBits - 1) & 1) == 0) {
      return true;
    }
    std::string_view done = value.substr(stem_.size(), end - stem_.size());
    const Entry* entry =
        Find(place.hash, Kind::kNode, emit, [done](const Entry& found, std::string_view text) {
          return found.through_wildcard != 0 ? MatchesTemplate(text, done) : text == done;
        });
    if (entry == nullptr) {
      return true;
    }
    const uint32_t* payloads = Behind(*entry);
    bool last = end == value.size();
    if (!EmitAll(payloads + entry->exact, entry->below, emit)) {
      return false;
    }
    if (last) {
      return EmitAll(payloads, entry->exact, emit);
    }
    place.at = end + 1;
    ++place.depth;
    return GoOn(*entry, place, value, patterns, scratch, emit);
  }

  // The value goes on behind a border that `entry` is of.
  template <class Emit>
  bool GoOn(const Entry& entry, const Place& place, std::string_view value,
            const PatternStore& patterns, LookupScratch& scratch, Emit& emit) const {
    const uint32_t* sizes = Behind(entry) + entry.exact + entry.below;
    for (uint32_t i = 0; i < entry.sizes; ++i) {
      if (sizes[i] > value.size() - place.at) {
        break;
      }
      if (!Partials(place, sizes[i], value, patterns, scratch, emit)) {
        return false;
      }
    }
    if (entry.has_wildcard == 0) {
      return true;
    }
    size_t end = FindSlash(value, place.at);
    if (end == place.at) {
      return true;  // No segment at all.
    }
    Place through = place;
    through.hash = Mix(place.hash ^ kWildcardHash, kWildcardHash);
    if (!Enter(through, end, value, patterns, scratch, emit)) {
      return false;
    }
    through.at = end + 1;
    ++through.depth;
    return end == value.size() || Walk(through, value, patterns, scratch, emit);
  }

  template <class Emit>
  bool Partials(const Place& place, uint32_t size, std::string_view value,
                const PatternStore& patterns, LookupScratch& scratch, Emit& emit) const {
    uint64_t hash = HashBytes(place.hash ^ kPartialHash, value.substr(place.at, size));
    std::string_view done = value.substr(stem_.size(), place.at + size - stem_.size());
    const Entry* entry = Find(hash, Kind::kPartial, emit,
                              [done](const Entry&, std::string_view text) { return text == done; });
    if (entry == nullptr) {
      return true;
    }
    const uint32_t* at = Behind(*entry);
    if (!EmitAll(at, entry->exact, emit)) {
      return false;
    }
    at += entry->exact;
    for (uint32_t i = 0; i < entry->sizes; ++i) {
      uint32_t pattern = at[0];
      uint32_t count = at[1];
      if (patterns.Matches(pattern, value, scratch.memo) && !EmitAll(at + 2, count, emit)) {
        return false;
      }
      at += 2 + count;
    }
    return entry->floating == 0 ||
           floating_[entry->floating - 1].ForEach(value, patterns, scratch, emit);
  }

  template <class Emit>
  void Suffixes(std::string_view value, Emit& emit) const {
    for (uint32_t size : suffix_sizes_) {
      if (size > value.size()) {
        return;
      }
      std::string_view literal = value.substr(value.size() - size);
      const Entry* entry =
          Find(HashBytes(kSuffixHash, literal), Kind::kSuffix, emit,
               [literal](const Entry&, std::string_view text) { return text == literal; });
      if (entry != nullptr && !EmitAll(Behind(*entry), entry->exact, emit)) {
        return;
      }
    }
  }

  // Where the segment that begins at `at` ends: eight bytes a step, because segments are short.
  static size_t FindSlash(std::string_view value, size_t at) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    const char* bytes = value.data();
    size_t size = value.size();
    for (; at + 8 <= size; at += 8) {
      uint64_t word;
      std::memcpy(&word, bytes + at, 8);
      word ^= kOnes * '/';
      if (uint64_t zero = (word - kOnes) & ~word & (kOnes << 7); zero != 0) {
        return at + static_cast<size_t>(std::countr_zero(zero)) / 8;
      }
    }
    while (at < size && bytes[at] != '/') {
      ++at;
    }
    return at;
  }

  bool empty_ = true;
  std::string stem_;  // Segments with which everything but suffixes begins; ends in '/' or empty.
  uint64_t stem_hash_ = kRootHash;
  uint32_t stem_depth_ = 0;
  uint32_t stem_entry_ = 0;  // Of the border that the stem ends with, or 0.
  uint32_t depth_max_ = 0;   // Of all entries; the first segment has depth 0.
  uint64_t depths_ = 0;      // A bit for each depth that has an entry.
  size_t mask_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint32_t> words_;
  std::vector<uint32_t> suffix_sizes_;
  std::vector<FloatingIndex> floating_;
  Plan plan_;
  std::unique_ptr<Staging> staging_ = std::make_unique<Staging>();
};

}  // namespace countersign::authz::engine
