#include "authz/engine/string_index.h"

#include <algorithm>
#include <bit>

namespace countersign::authz::engine {
namespace {

// Up to so many patterns behind one literal run one by one; more go into automata.
constexpr size_t kCandidatesMax = 4;
constexpr size_t kSimpleCandidatesMax = 16;
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
  auto& payloads = and_below ? staging_->nodes[node].below : staging_->nodes[node].exact;
  payloads.push_back(payload);
}

Status StringIndex::Add(const Matcher& matcher, const std::string& coordinate,
                        PatternStore& patterns, uint32_t payload) {
  empty_ = false;
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
      staging_->nodes[StagedPath(matcher.text)].exact.push_back(payload);
      return absl::OkStatus();
    case Matcher::Kind::kUnder:
      if (matcher.text.ends_with('/')) {
        StagedPrefix(matcher.text).prefixes.push_back(payload);
      } else {
        staging_->nodes[StagedPath(matcher.text)].below.push_back(payload);
      }
      return absl::OkStatus();
    case Matcher::Kind::kPrefix:
      StagedPrefix(matcher.text).prefixes.push_back(payload);
      return absl::OkStatus();
    case Matcher::Kind::kSuffix:
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

StringIndex::Range StringIndex::Freeze(const std::vector<uint32_t>& payloads) {
  Range range;
  range.begin = static_cast<uint32_t>(payloads_.size());
  payloads_.insert(payloads_.end(), payloads.begin(), payloads.end());
  range.end = static_cast<uint32_t>(payloads_.size());
  return range;
}

uint32_t StringIndex::FreezeText(std::string_view text) {
  auto at = static_cast<uint32_t>(text_.size());
  text_.append(text);
  return at;
}

void StringIndex::FreezeEdges() {
  const std::vector<StagedNode>& staged = staging_->nodes;
  edges_.resize(TableSize(staged.size()));
  edge_mask_ = edges_.size() - 1;
  nodes_.resize(staged.size());
  for (uint32_t parent = 0; parent < staged.size(); ++parent) {
    Node& node = nodes_[parent];
    node.exact = Freeze(staged[parent].exact);
    node.below = Freeze(staged[parent].below);
    node.wildcard = staged[parent].wildcard;
    node.has_children = !staged[parent].children.empty();
    for (const auto& [segment, child] : staged[parent].children) {
      uint64_t hash = HashBytes(parent, segment);
      size_t at = hash & edge_mask_;
      while (edges_[at].child != 0) {
        at = (at + 1) & edge_mask_;
      }
      edges_[at] = {.hash = hash,
                    .parent = parent,
                    .child = child,
                    .text_at = FreezeText(segment),
                    .text_size = static_cast<uint32_t>(segment.size())};
    }
  }
}

Status StringIndex::FreezePartials(const PatternStore& patterns) {
  size_t count = 0;
  for (const StagedNode& node : staging_->nodes) {
    count += node.partials.size();
  }
  partials_.resize(TableSize(count));
  partial_mask_ = partials_.size() - 1;
  for (uint32_t number = 0; number < staging_->nodes.size(); ++number) {
    std::set<uint32_t> sizes;
    for (const auto& [literal, staged] : staging_->nodes[number].partials) {
      uint64_t hash = HashBytes(number, literal);
      size_t at = hash & partial_mask_;
      while (partials_[at].used) {
        at = (at + 1) & partial_mask_;
      }
      Partial& partial = partials_[at];
      partial.hash = hash;
      partial.node = number;
      partial.text_at = FreezeText(literal);
      partial.text_size = static_cast<uint32_t>(literal.size());
      partial.used = true;
      partial.prefixes = Freeze(staged.prefixes);
      RETURN_IF_ERROR(FreezePatterns(staged, patterns, partial));
      sizes.insert(partial.text_size);
    }
    Node& node = nodes_[number];
    node.partial_sizes.begin = static_cast<uint32_t>(partial_sizes_.size());
    partial_sizes_.insert(partial_sizes_.end(), sizes.begin(), sizes.end());
    node.partial_sizes.end = static_cast<uint32_t>(partial_sizes_.size());
  }
  return absl::OkStatus();
}

Status StringIndex::FreezePatterns(const StagedPartial& staged, const PatternStore& patterns,
                                   Partial& partial) {
  partial.candidates.begin = static_cast<uint32_t>(candidates_.size());
  partial.sets.begin = static_cast<uint32_t>(sets_.size());
  const EngineLimits& limits = patterns.limits();
  bool simple = std::all_of(staged.patterns.begin(), staged.patterns.end(),
                            [&](const auto& entry) { return patterns.is_simple(entry.first); });
  bool few = staged.patterns.size() <= (simple ? kSimpleCandidatesMax : kCandidatesMax);
  for (const auto& [number, payloads] : staged.patterns) {
    if (few) {
      candidates_.push_back({.pattern = number, .payloads = Freeze(payloads)});
      continue;
    }
    if (sets_.size() == partial.sets.begin ||
        sets_.back().payloads.size() == limits.patterns_per_set_max) {
      sets_.emplace_back().set = std::make_unique<RE2::Set>(
          PatternOptions(limits.pattern_set_memory_bytes), RE2::ANCHOR_BOTH);
    }
    const std::string& text = patterns.text(number);
    std::string error;
    if (sets_.back().set->Add(re2::StringPiece(text.data(), text.size()), &error) < 0) {
      return InvalidArgument("pattern ", Quoted(text), ": ", error);
    }
    sets_.back().payloads.push_back(Freeze(payloads));
  }
  partial.candidates.end = static_cast<uint32_t>(candidates_.size());
  partial.sets.end = static_cast<uint32_t>(sets_.size());
  for (uint32_t i = partial.sets.begin; i < partial.sets.end; ++i) {
    if (!sets_[i].set->Compile()) {
      return ResourceExhausted("the automaton over ", sets_[i].payloads.size(),
                               " patterns that begin alike needs more than "
                               "pattern_set_memory_bytes = ",
                               limits.pattern_set_memory_bytes);
    }
  }
  return absl::OkStatus();
}

void StringIndex::FreezeSuffixes() {
  suffixes_.resize(TableSize(staging_->suffixes.size()));
  suffix_mask_ = suffixes_.size() - 1;
  std::set<uint32_t> sizes;
  for (const auto& [literal, payloads] : staging_->suffixes) {
    uint64_t hash = HashBytes(0, literal);
    size_t at = hash & suffix_mask_;
    while (suffixes_[at].used) {
      at = (at + 1) & suffix_mask_;
    }
    suffixes_[at] = {.hash = hash,
                     .text_at = FreezeText(literal),
                     .text_size = static_cast<uint32_t>(literal.size()),
                     .used = true,
                     .payloads = Freeze(payloads)};
    sizes.insert(static_cast<uint32_t>(literal.size()));
  }
  suffix_sizes_.assign(sizes.begin(), sizes.end());
}

// Values share long beginnings (a scheme, a trust domain): one comparison instead of a step each.
void StringIndex::FindStem() {
  for (;;) {
    const StagedNode& node = staging_->nodes[stem_node_];
    if (!node.partials.empty() || node.wildcard != 0 || node.children.size() != 1) {
      return;
    }
    const auto& [segment, child] = *node.children.begin();
    const StagedNode& next = staging_->nodes[child];
    if (!next.exact.empty() || !next.below.empty()) {
      return;
    }
    stem_.append(segment).append("/");
    stem_node_ = child;
  }
}

Status StringIndex::Build(const PatternStore& patterns) {
  if (!empty_) {
    FreezeEdges();
    RETURN_IF_ERROR(FreezePartials(patterns));
    FreezeSuffixes();
    FindStem();
  }
  staging_.reset();
  return absl::OkStatus();
}

}  // namespace countersign::authz::engine
