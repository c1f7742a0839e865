// StringIndex finds, for one value, everything that was filed under a matcher that matches it, at a
// cost that grows with the value and its matches, not with the number of matchers.
//
// One walk over the value's segments serves literals, borders (`under`) and templates; at each
// border, literal remainders lead to prefixes and to the few patterns that can match at all.
#pragma once

#include <re2/set.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "authz/engine/hash.h"
#include "authz/engine/patterns.h"
#include "authz/model/field.h"
#include "base/status.h"

namespace countersign::authz::engine {

// LookupScratch is one thread's memory for lookups.
struct LookupScratch {
  PatternMemo memo;
  std::vector<int> set_hits;
  std::vector<int> outer_set_hits;  // Of the look-up that this one runs within.
  bool fault = false;  // An automaton ran out of memory: nothing that was found can be trusted.
};

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

  // ForEach calls emit(payload) for each filed payload whose matcher matches; a payload may come
  // more than once. emit returns false to stop.
  template <class Emit>
  void ForEach(std::string_view value, const PatternStore& patterns, LookupScratch& scratch,
               Emit&& emit) const {
    if (empty_) {
      return;
    }
    if (value.starts_with(stem_) &&
        !Walk(stem_node_, value, stem_.size(), patterns, scratch, emit)) {
      return;
    }
    Suffixes(value, emit);
  }

 private:
  struct Range {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  struct Node {
    Range exact;            // The value ends here.
    Range below;            // The value ends here or goes on after a border.
    Range partial_sizes;    // Sizes of the remainders to look up, ascending.
    uint32_t wildcard = 0;  // The child for any non-empty segment; 0: none.
    bool has_children = false;
  };
  struct Edge {
    uint64_t hash = 0;
    uint32_t parent = 0;
    uint32_t child = 0;  // 0: an empty place.
    uint32_t text_at = 0;
    uint32_t text_size = 0;
  };
  struct Candidate {
    uint32_t pattern = 0;
    Range payloads;
  };
  struct Partial {
    uint64_t hash = 0;
    uint32_t node = 0;
    uint32_t text_at = 0;
    uint32_t text_size = 0;
    bool used = false;
    Range prefixes;
    Range candidates;
    Range sets;
  };
  struct PatternSet {
    std::unique_ptr<RE2::Set> set;
    std::vector<Range> payloads;  // By the set's own numbers.
  };
  struct Suffix {
    uint64_t hash = 0;
    uint32_t text_at = 0;
    uint32_t text_size = 0;
    bool used = false;
    Range payloads;
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
  };
  struct Staging {
    std::vector<StagedNode> nodes = std::vector<StagedNode>(1);
    std::map<std::string, std::vector<uint32_t>> suffixes;
  };

  uint32_t StagedChild(uint32_t node, std::string_view segment);
  uint32_t StagedPath(std::string_view text);
  StagedPartial& StagedPrefix(std::string_view text);
  void AddTemplate(std::string_view text, uint32_t payload);
  Range Freeze(const std::vector<uint32_t>& payloads);
  uint32_t FreezeText(std::string_view text);
  void FreezeEdges();
  Status FreezePartials(const PatternStore& patterns);
  Status FreezePatterns(const StagedPartial& staged, const PatternStore& patterns,
                        Partial& partial);
  void FreezeSuffixes();
  void FindStem();

  std::string_view Text(uint32_t at, uint32_t size) const { return {text_.data() + at, size}; }

  template <class Emit>
  bool EmitRange(Range range, Emit& emit) const {
    for (uint32_t i = range.begin; i < range.end; ++i) {
      if (!emit(payloads_[i])) {
        return false;
      }
    }
    return true;
  }

  // The node was reached at a border and the value goes on at `at`.
  template <class Emit>
  bool Walk(uint32_t node_number, std::string_view value, size_t at, const PatternStore& patterns,
            LookupScratch& scratch, Emit& emit) const {
    for (;;) {
      const Node& node = nodes_[node_number];
      std::string_view rest = value.substr(at);
      for (uint32_t i = node.partial_sizes.begin; i < node.partial_sizes.end; ++i) {
        uint32_t size = partial_sizes_[i];
        if (size > rest.size()) {
          break;
        }
        if (!Partials(node_number, value, rest.substr(0, size), patterns, scratch, emit)) {
          return false;
        }
      }
      if (!node.has_children && node.wildcard == 0) {
        return true;
      }
      size_t slash = rest.find('/');
      std::string_view segment = rest.substr(0, slash);
      bool last = slash == std::string_view::npos;
      size_t next = at + segment.size() + 1;
      uint32_t child = node.has_children ? FindChild(node_number, segment) : 0;
      if (node.wildcard != 0 && !segment.empty()) {
        if (!Enter(node.wildcard, last, emit) ||
            (!last && !Walk(node.wildcard, value, next, patterns, scratch, emit))) {
          return false;
        }
      }
      if (child == 0) {
        return true;
      }
      if (!Enter(child, last, emit)) {
        return false;
      }
      if (last) {
        return true;
      }
      node_number = child;
      at = next;
    }
  }

  template <class Emit>
  bool Enter(uint32_t node_number, bool last, Emit& emit) const {
    const Node& node = nodes_[node_number];
    return EmitRange(node.below, emit) && (!last || EmitRange(node.exact, emit));
  }

  uint32_t FindChild(uint32_t parent, std::string_view segment) const {
    uint64_t hash = HashBytes(parent, segment);
    for (size_t at = hash & edge_mask_;; at = (at + 1) & edge_mask_) {
      const Edge& edge = edges_[at];
      if (edge.child == 0) {
        return 0;
      }
      if (edge.hash == hash && edge.parent == parent &&
          Text(edge.text_at, edge.text_size) == segment) {
        return edge.child;
      }
    }
  }

  template <class Emit>
  bool Partials(uint32_t node, std::string_view value, std::string_view literal,
                const PatternStore& patterns, LookupScratch& scratch, Emit& emit) const {
    uint64_t hash = HashBytes(node, literal);
    for (size_t at = hash & partial_mask_;; at = (at + 1) & partial_mask_) {
      const Partial& partial = partials_[at];
      if (!partial.used) {
        return true;
      }
      if (partial.hash != hash || partial.node != node ||
          Text(partial.text_at, partial.text_size) != literal) {
        continue;
      }
      if (!EmitRange(partial.prefixes, emit)) {
        return false;
      }
      for (uint32_t i = partial.candidates.begin; i < partial.candidates.end; ++i) {
        const Candidate& candidate = candidates_[i];
        if (patterns.Matches(candidate.pattern, value, scratch.memo) &&
            !EmitRange(candidate.payloads, emit)) {
          return false;
        }
      }
      for (uint32_t i = partial.sets.begin; i < partial.sets.end; ++i) {
        if (!EmitSet(sets_[i], value, scratch, emit)) {
          return false;
        }
      }
      return true;
    }
  }

  // RE2::Set::Match returns false also when its automaton runs out of memory; a deny must not
  // vanish with it.
  template <class Emit>
  bool EmitSet(const PatternSet& set, std::string_view value, LookupScratch& scratch,
               Emit& emit) const {
    RE2::Set::ErrorInfo error{};
    if (!set.set->Match(re2::StringPiece(value.data(), value.size()), &scratch.set_hits, &error)) {
      scratch.fault = scratch.fault || error.kind != RE2::Set::kNoError;
      return !scratch.fault;
    }
    for (int hit : scratch.set_hits) {
      if (!EmitRange(set.payloads[static_cast<size_t>(hit)], emit)) {
        return false;
      }
    }
    return true;
  }

  template <class Emit>
  void Suffixes(std::string_view value, Emit& emit) const {
    for (uint32_t size : suffix_sizes_) {
      if (size > value.size()) {
        return;
      }
      std::string_view literal = value.substr(value.size() - size);
      uint64_t hash = HashBytes(0, literal);
      for (size_t at = hash & suffix_mask_; suffixes_[at].used; at = (at + 1) & suffix_mask_) {
        const Suffix& suffix = suffixes_[at];
        if (suffix.hash == hash && Text(suffix.text_at, suffix.text_size) == literal) {
          if (!EmitRange(suffix.payloads, emit)) {
            return;
          }
          break;
        }
      }
    }
  }

  bool empty_ = true;
  std::string stem_;  // Segments with which everything but suffixes begins; ends in '/' or empty.
  uint32_t stem_node_ = 0;
  std::unique_ptr<Staging> staging_ = std::make_unique<Staging>();
  std::string text_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  size_t edge_mask_ = 0;
  std::vector<uint32_t> partial_sizes_;
  std::vector<Partial> partials_;
  size_t partial_mask_ = 0;
  std::vector<Candidate> candidates_;
  std::vector<PatternSet> sets_;
  std::vector<uint32_t> suffix_sizes_;
  std::vector<Suffix> suffixes_;
  size_t suffix_mask_ = 0;
  std::vector<uint32_t> payloads_;
};

}  // namespace countersign::authz::engine
