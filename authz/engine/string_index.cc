#include "authz/engine/string_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

namespace countersign::authz::engine {
namespace {

// Up to so many patterns behind one literal run one by one; more are told apart by what else they
// need to find in the value.
constexpr size_t kCandidatesMax = 16;
// Deeper templates are no paths, and the walk recurses once for each variable.
constexpr size_t kTemplateSegmentsMax = 128;

// Places for `count` entries, at most half full.
size_t TableSize(size_t count) { return std::bit_ceil(count * 2 + 2); }

}  // namespace

bool StringIndex::Indexable(const Matcher& matcher) {
  return matcher.kind <= Matcher::Kind::kTemplate;
}

uint32_t StringIndex::StagedChild(uint32_t node, std::string_view segment) {
  auto& children = staging_->nodes[node].children;
  if (auto found = children.find(segment); found != children.end()) {
    return found->second;
  }
  auto child = static_cast<uint32_t>(staging_->nodes.size());
  children.emplace(segment, child);
  staging_->nodes.emplace_back();
  return child;
}

uint32_t StringIndex::StagedPath(std::string_view text) {
  uint32_t node = 0;
  for (size_t at = 0; at != std::string_view::npos;) {
    size_t slash = text.find('/', at);
    node = StagedChild(node, text.substr(at, slash == std::string_view::npos ? slash : slash - at));
    at = slash == std::string_view::npos ? slash : slash + 1;
  }
  return node;
}

// A literal prefix is the border before it and the bytes after that border.
StringIndex::StagedPartial& StringIndex::StagedPrefix(std::string_view text) {
  size_t border = text.rfind('/');
  uint32_t node = border == std::string_view::npos ? 0 : StagedPath(text.substr(0, border));
  std::string_view remainder = border == std::string_view::npos ? text : text.substr(border + 1);
  return staging_->nodes[node].partials[std::string(remainder)];
}

void StringIndex::AddTemplate(std::string_view text, uint32_t payload) {
  bool and_below = text.ends_with("/**");
  if (and_below) {
    text.remove_suffix(3);
  }
  uint32_t node = 0;
  for (size_t at = 0; at != std::string_view::npos;) {
    size_t slash = text.find('/', at);
    std::string_view segment =
        text.substr(at, slash == std::string_view::npos ? slash : slash - at);
    if (segment.starts_with('{') && segment.ends_with('}')) {
      if (staging_->nodes[node].wildcard == 0) {
        staging_->nodes[node].wildcard = static_cast<uint32_t>(staging_->nodes.size());
        staging_->nodes.emplace_back();
      }
      node = staging_->nodes[node].wildcard;
    } else {
      node = StagedChild(node, segment);
    }
    at = slash == std::string_view::npos ? slash : slash + 1;
  }
  ++plan_.templates;
  auto& payloads = and_below ? staging_->nodes[node].below : staging_->nodes[node].exact;
  payloads.push_back(payload);
}

Status StringIndex::Add(const Matcher& matcher, const std::string& coordinate,
                        PatternStore& patterns, uint32_t payload) {
  empty_ = false;
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
      ++plan_.literals;
      staging_->nodes[StagedPath(matcher.text)].exact.push_back(payload);
      return absl::OkStatus();
    case Matcher::Kind::kUnder:
      if (matcher.text.ends_with('/')) {
        ++plan_.prefixes;
        StagedPrefix(matcher.text).prefixes.push_back(payload);
      } else {
        ++plan_.borders;
        staging_->nodes[StagedPath(matcher.text)].below.push_back(payload);
      }
      return absl::OkStatus();
    case Matcher::Kind::kPrefix:
      ++plan_.prefixes;
      StagedPrefix(matcher.text).prefixes.push_back(payload);
      return absl::OkStatus();
    case Matcher::Kind::kSuffix:
      ++plan_.suffixes;
      staging_->suffixes[matcher.text].push_back(payload);
      return absl::OkStatus();
    case Matcher::Kind::kRe2: {
      ASSIGN_OR_RETURN(uint32_t number, patterns.Add(coordinate, matcher.text));
      for (const std::string& prefix : patterns.prefixes(number)) {
        StagedPrefix(prefix).patterns[number].push_back(payload);
      }
      return absl::OkStatus();
    }
    case Matcher::Kind::kTemplate:
      if (std::count(matcher.text.begin(), matcher.text.end(), '/') >
          static_cast<std::ptrdiff_t>(kTemplateSegmentsMax)) {
        return ResourceExhausted("template ", Quoted(matcher.text), " has more than ",
                                 kTemplateSegmentsMax, " segments");
      }
      AddTemplate(matcher.text, payload);
      return absl::OkStatus();
    default:
      return Internal("a matcher that has no place in an index");
  }
}

void StringIndex::Plan::Add(const Plan& other) {
  literals += other.literals;
  borders += other.borders;
  templates += other.templates;
  prefixes += other.prefixes;
  suffixes += other.suffixes;
  patterns_by_prefix += other.patterns_by_prefix;
  floating.Add(other.floating);
}

// FrozenPlace is a staged node with what leads to it.
struct StringIndex::FrozenPlace {
  uint32_t node = 0;
  uint64_t hash = kRootHash;
  uint32_t depth = 0;  // Segments before the border; the root has none.
  std::string text = {};
  bool through_wildcard = false;
};

// Freezer writes what Add has collected into the index.
class StringIndex::Freezer {
 public:
  Freezer(StringIndex& index, const PatternStore& patterns) : index_(index), patterns_(patterns) {
    index_.words_.push_back(0);  // No entry is at 0.
  }

  Status Run() {
    std::vector<FrozenPlace> stack(1);
    while (!stack.empty()) {
      FrozenPlace place = std::move(stack.back());
      stack.pop_back();
      const StagedNode& node = index_.staging_->nodes[place.node];
      uint32_t entry = 0;
      if (node.HasContent()) {
        ASSIGN_OR_RETURN(entry, FreezeNode(node, place));
      }
      if (place.node == stem_node_) {
        index_.stem_hash_ = place.hash;
        index_.stem_depth_ = place.depth;
        index_.stem_entry_ = entry;
      }
      PushChildren(node, place, stack);
    }
    FreezeSuffixes();
    FillSlots();
    return absl::OkStatus();
  }

  // Values share long beginnings (a scheme, a trust domain): one comparison instead of a step each.
  void FindStem() {
    const std::vector<StagedNode>& nodes = index_.staging_->nodes;
    for (;;) {
      const StagedNode& node = nodes[stem_node_];
      if (!node.partials.empty() || node.wildcard != 0 || node.children.size() != 1) {
        return;
      }
      const auto& [segment, child] = *node.children.begin();
      if (!nodes[child].exact.empty() || !nodes[child].below.empty()) {
        return;
      }
      index_.stem_.append(segment).append("/");
      stem_node_ = child;
    }
  }

 private:
  static void PushChildren(const StagedNode& node, const FrozenPlace& place,
                           std::vector<FrozenPlace>& stack) {
    std::string before = place.node == 0 ? "" : place.text + "/";
    for (const auto& [segment, child] : node.children) {
      stack.push_back({.node = child,
                       .hash = HashBytes(place.hash, segment),
                       .depth = place.depth + 1,
                       .text = before + segment,
                       .through_wildcard = place.through_wildcard});
    }
    if (node.wildcard != 0) {
      stack.push_back({.node = node.wildcard,
                       .hash = Mix(place.hash ^ kWildcardHash, kWildcardHash),
                       .depth = place.depth + 1,
                       .text = before + "{}",
                       .through_wildcard = true});
    }
  }

  // The stem's own border is never looked up: it needs no text.
  std::string_view BehindStem(std::string_view text) const {
    return text.substr(std::min(text.size(), index_.stem_.size()));
  }

  // Room for an entry and its payloads.
  uint32_t NewEntry(const Entry& entry, std::string_view text,
                    const std::vector<uint32_t>& behind) {
    std::vector<uint32_t>& words = index_.words_;
    auto at = static_cast<uint32_t>(words.size());
    Entry head = entry;
    head.text_at = static_cast<uint32_t>(kHeadWords + behind.size());
    head.text_size = static_cast<uint32_t>(text.size());
    words.resize(words.size() + head.text_at + (text.size() + 3) / 4);
    std::memcpy(words.data() + at, &head, sizeof(head));
    std::copy(behind.begin(), behind.end(), words.begin() + at + kHeadWords);
    std::memcpy(words.data() + at + head.text_at, text.data(), text.size());
    return at;
  }

  void AddSlot(uint64_t hash, uint32_t entry, const std::vector<uint32_t>& behind) {
    staged_slots_.push_back(
        {.hash = hash, .entry = entry, .first = behind.empty() ? 0 : behind.front()});
  }

  StatusOr<uint32_t> FreezeNode(const StagedNode& node, const FrozenPlace& place) {
    std::vector<uint32_t> behind = node.exact;
    behind.insert(behind.end(), node.below.begin(), node.below.end());
    std::set<uint32_t> sizes;
    for (const auto& [literal, staged] : node.partials) {
      RETURN_IF_ERROR(FreezePartial(staged, literal, place));
      sizes.insert(static_cast<uint32_t>(literal.size()));
    }
    behind.insert(behind.end(), sizes.begin(), sizes.end());
    Entry entry;
    entry.exact = static_cast<uint32_t>(node.exact.size());
    entry.below = static_cast<uint32_t>(node.below.size());
    entry.sizes = static_cast<uint32_t>(sizes.size());
    entry.has_wildcard = node.wildcard != 0 ? 1 : 0;
    entry.through_wildcard = place.through_wildcard ? 1 : 0;
    uint32_t at = NewEntry(entry, BehindStem(place.text), behind);
    if (place.node != 0) {
      AddSlot(place.hash, at, behind);
      index_.depth_max_ = std::max(index_.depth_max_, place.depth - 1);
      index_.depths_ |= uint64_t{1} << std::min(place.depth - 1, kDepthBits - 1);
      // What is behind a wildcard is found by walking on, however deep.
    }
    return at;
  }

  Status FreezePartial(const StagedPartial& staged, std::string_view literal,
                       const FrozenPlace& place) {
    Entry entry;
    entry.kind = Kind::kPartial;
    entry.exact = static_cast<uint32_t>(staged.prefixes.size());
    std::vector<uint32_t> behind = staged.prefixes;
    if (staged.patterns.size() <= kCandidatesMax) {
      entry.sizes = static_cast<uint32_t>(staged.patterns.size());
      for (const auto& [number, payloads] : staged.patterns) {
        behind.push_back(number);
        behind.push_back(static_cast<uint32_t>(payloads.size()));
        behind.insert(behind.end(), payloads.begin(), payloads.end());
      }
      index_.plan_.patterns_by_prefix += staged.patterns.size();
    } else {
      ASSIGN_OR_RETURN(FloatingIndex floating, FloatingIndex::Build(staged.patterns, patterns_));
      index_.plan_.floating.Add(floating.plan());
      index_.floating_.push_back(std::move(floating));
      entry.floating = static_cast<uint32_t>(index_.floating_.size());
    }
    std::string text = place.node == 0 ? "" : place.text + "/";
    text.append(literal);
    uint32_t at = NewEntry(entry, BehindStem(text), behind);
    AddSlot(HashBytes(place.hash ^ kPartialHash, literal), at, staged.prefixes);
    return absl::OkStatus();
  }

  void FreezeSuffixes() {
    std::set<uint32_t> sizes;
    for (const auto& [literal, payloads] : index_.staging_->suffixes) {
      Entry entry;
      entry.kind = Kind::kSuffix;
      entry.exact = static_cast<uint32_t>(payloads.size());
      uint32_t at = NewEntry(entry, literal, payloads);
      AddSlot(HashBytes(kSuffixHash, literal), at, payloads);
      sizes.insert(static_cast<uint32_t>(literal.size()));
    }
    index_.suffix_sizes_.assign(sizes.begin(), sizes.end());
  }

  void FillSlots() {
    index_.slots_.resize(TableSize(staged_slots_.size()));
    index_.mask_ = index_.slots_.size() - 1;
    for (const Slot& slot : staged_slots_) {
      size_t at = slot.hash & index_.mask_;
      while (index_.slots_[at].entry != 0) {
        at = (at + 1) & index_.mask_;
      }
      index_.slots_[at] = slot;
    }
    index_.words_.shrink_to_fit();
  }

  StringIndex& index_;
  const PatternStore& patterns_;
  uint32_t stem_node_ = 0;
  std::vector<Slot> staged_slots_;
};

Status StringIndex::Build(const PatternStore& patterns) {
  if (!empty_) {
    Freezer freezer(*this, patterns);
    freezer.FindStem();
    RETURN_IF_ERROR(freezer.Run());
  }
  staging_.reset();
  return absl::OkStatus();
}

}  // namespace countersign::authz::engine
