#include "authz/engine/predicate.h"

#include <algorithm>

namespace countersign::authz::engine {
namespace {

// From so many matchers on, an index is faster than trying each.
constexpr size_t kIndexedMatchersMin = 8;

std::array<uint8_t, 16> LastOf(const IpRange& range) {
  std::array<uint8_t, 16> last = range.address;
  for (unsigned bit = range.prefix_bits; bit < 128; ++bit) {
    last[bit / 8] = static_cast<uint8_t>(last[bit / 8] | (0x80U >> (bit % 8)));
  }
  return last;
}

}  // namespace

StatusOr<TextPredicate> TextPredicate::Create(const std::vector<Matcher>& any_of,
                                              const std::string& coordinate,
                                              PatternStore& patterns) {
  TextPredicate predicate;
  auto index = any_of.size() >= kIndexedMatchersMin ? std::make_unique<StringIndex>() : nullptr;
  for (const Matcher& matcher : any_of) {
    if (matcher.kind == Matcher::Kind::kPresent) {
      predicate.any_value_ = true;
    } else if (!StringIndex::Indexable(matcher)) {
      continue;  // kAbsent: never true of a value.
    } else if (index != nullptr) {
      RETURN_IF_ERROR(index->Add(matcher, coordinate, patterns, 0));
    } else {
      Item& item = predicate.items_.emplace_back();
      item.kind = matcher.kind;
      item.text = matcher.text;
      if (matcher.kind == Matcher::Kind::kRe2) {
        ASSIGN_OR_RETURN(item.pattern, patterns.Add(coordinate, matcher.text));
        item.text = patterns.kind(item.pattern) == PatternStore::Kind::kSimple
                        ? ""
                        : patterns.prefixes(item.pattern)[0];
      }
    }
  }
  if (index != nullptr) {
    RETURN_IF_ERROR(index->Build(patterns));
    predicate.index_ = std::move(index);
  }
  return predicate;
}

bool TextPredicate::Matches(std::string_view value, const PatternStore& patterns,
                            LookupScratch& scratch, bool remember) const {
  if (any_value_) {
    return true;
  }
  for (const Item& item : items_) {
    if (MatchesItem(item, value, patterns, scratch, remember)) {
      return true;
    }
  }
  bool found = false;
  if (index_ != nullptr) {
    if (!remember) {
      scratch.memo.Forget();  // Another value of the same request.
    }
    index_->ForEach(value, patterns, scratch, [&](uint32_t) {
      found = true;
      return false;
    });
    if (!remember) {
      scratch.memo.Forget();
    }
  }
  return found;
}

bool TextPredicate::MatchesItem(const Item& item, std::string_view value,
                                const PatternStore& patterns, LookupScratch& scratch,
                                bool remember) const {
  switch (item.kind) {
    case Matcher::Kind::kExact:
      return value == item.text;
    case Matcher::Kind::kUnder:
      return MatchesUnder(item.text, value);
    case Matcher::Kind::kPrefix:
      return value.starts_with(item.text);
    case Matcher::Kind::kSuffix:
      return value.ends_with(item.text);
    case Matcher::Kind::kTemplate:
      return MatchesTemplate(item.text, value);
    case Matcher::Kind::kRe2:
      if (!value.starts_with(item.text)) {  // The prefix that every match has.
        return false;
      }
      return remember ? patterns.Matches(item.pattern, value, scratch.memo)
                      : patterns.Matches(item.pattern, value);
    default:
      return false;
  }
}

IpPredicate::IpPredicate(const std::vector<Matcher>& any_of) {
  for (const Matcher& matcher : any_of) {
    any_value_ = any_value_ || matcher.kind == Matcher::Kind::kPresent;
    if (matcher.kind == Matcher::Kind::kIp) {
      IpRange range = matcher.range;
      for (unsigned bit = range.prefix_bits; bit < 128; ++bit) {
        range.address[bit / 8] =
            static_cast<uint8_t>(range.address[bit / 8] & ~(0x80U >> (bit % 8)));
      }
      ranges_.emplace_back(range.address, LastOf(range));
    }
  }
  std::sort(ranges_.begin(), ranges_.end());
  // Blocks nest or are disjoint: dropping the nested ones leaves disjoint ones.
  std::vector<std::pair<Bytes, Bytes>> kept;
  for (const auto& range : ranges_) {
    if (kept.empty() || range.second > kept.back().second) {
      if (!kept.empty() && range.first == kept.back().first) {
        kept.pop_back();
      }
      kept.push_back(range);
    }
  }
  ranges_ = std::move(kept);
}

bool IpPredicate::Matches(const IpAddress& address) const {
  if (any_value_) {
    return true;
  }
  auto after = std::upper_bound(
      ranges_.begin(), ranges_.end(), address.bytes,
      [](const Bytes& bytes, const std::pair<Bytes, Bytes>& range) { return bytes < range.first; });
  return after != ranges_.begin() && address.bytes <= std::prev(after)->second;
}

PortPredicate::PortPredicate(const std::vector<Matcher>& any_of) {
  for (const Matcher& matcher : any_of) {
    any_value_ = any_value_ || matcher.kind == Matcher::Kind::kPresent;
    if (matcher.kind == Matcher::Kind::kPort) {
      ports_.push_back(matcher.port);
    }
  }
  std::sort(ports_.begin(), ports_.end());
}

bool PortPredicate::Matches(uint16_t port) const {
  return any_value_ || std::binary_search(ports_.begin(), ports_.end(), port);
}

IpIndex::MaskedRange IpIndex::Key(const std::array<uint8_t, 16>& address, uint8_t length) {
  MaskedRange key{address, length};
  for (unsigned byte = 0; byte < 16; ++byte) {
    unsigned kept = length > byte * 8 ? std::min(8U, length - byte * 8) : 0;
    key.address[byte] = static_cast<uint8_t>(key.address[byte] & (0xFF00U >> kept));
  }
  return key;
}

void IpIndex::Add(const IpRange& range, uint32_t payload) {
  payloads_[Key(range.address, range.prefix_bits)].push_back(payload);
  auto place = std::lower_bound(lengths_.begin(), lengths_.end(), range.prefix_bits);
  if (place == lengths_.end() || *place != range.prefix_bits) {
    lengths_.insert(place, range.prefix_bits);
  }
}

}  // namespace countersign::authz::engine
