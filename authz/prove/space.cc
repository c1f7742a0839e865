#include "authz/prove/space.h"

#include <algorithm>
#include <utility>

#include "authz/engine/lower.h"
#include "authz/prove/describe.h"

namespace countersign::authz::prove {
namespace {

using language::Language;
using language::Partition;

// What every value of a pattern begins with: the bytes that its automaton leaves no choice in.
std::string ForcedBeginning(const Language& language) {
  const language::Dfa& dfa = language.dfa();
  size_t width = dfa.classes.size();
  std::vector<uint8_t> first = dfa.classes.First();
  std::vector<size_t> bytes_in(width, 0);
  for (size_t byte = 0; byte < 256; ++byte) {
    ++bytes_in[dfa.classes[static_cast<uint8_t>(byte)]];
  }
  auto is_dead = [&](uint32_t state) {
    for (size_t i = 0; i < width; ++i) {
      if (dfa.next[state * width + i] != state) {
        return false;
      }
    }
    return dfa.accepts[state] == 0;
  };
  std::string head;
  uint32_t state = 0;
  // A way without a choice visits no state twice.
  while (head.size() <= dfa.states() && dfa.accepts[state] == 0) {
    size_t ways = 0;
    size_t way = 0;
    for (size_t i = 0; i < width; ++i) {
      if (!is_dead(dfa.next[state * width + i])) {
        ways += bytes_in[i];
        way = i;
      }
    }
    if (ways != 1) {
      break;
    }
    head.push_back(static_cast<char>(first[way]));
    state = dfa.next[state * width + way];
  }
  return head;
}

std::string_view TemplateHead(std::string_view text) {
  text = text.substr(0, text.find('{'));
  if (text.ends_with("/**")) {
    text.remove_suffix(3);
  }
  return text;
}

}  // namespace

void Space::BeginQuestion() {
  partitions_.clear();
  spent_ = Spent();
}

uint32_t Space::CoordinateNumber(const Coordinate& coordinate) {
  auto [place, fresh] =
      coordinate_numbers_.try_emplace(coordinate, static_cast<uint32_t>(coordinates_.size()));
  if (fresh) {
    coordinates_.push_back(coordinate);
  }
  return place->second;
}

uint32_t Space::LanguageNumber(const Condition& condition) {
  // Addresses, ports and domains have meanings of their own; all other texts share theirs.
  std::string key(1, condition.field == Field::kTrustDomain ? 'd'
                     : condition.field == Field::kPeerIp    ? 'i'
                     : condition.field == Field::kPort      ? 'p'
                                                            : 't');
  key += engine::PredicateKey(condition.any_of);
  auto [place, fresh] =
      language_numbers_.try_emplace(std::move(key), static_cast<uint32_t>(languages_.size()));
  if (fresh) {
    Entry& entry = languages_.emplace_back();
    entry.condition = condition;
    entry.name = DescribeCondition(condition);
    FindHead(entry);
  }
  return place->second;
}

std::optional<uint32_t> Space::Joined(std::span<const uint32_t> languages) {
  Condition joined = languages_[languages[0]].condition;
  for (uint32_t number : languages.subspan(1)) {
    const Condition& other = languages_[number].condition;
    if ((other.field == Field::kTrustDomain) != (joined.field == Field::kTrustDomain)) {
      return std::nullopt;
    }
    joined.any_of.insert(joined.any_of.end(), other.any_of.begin(), other.any_of.end());
  }
  return LanguageNumber(joined);
}

std::optional<std::vector<std::string_view>> Space::Literals(uint32_t language) const {
  const Condition& condition = languages_[language].condition;
  std::vector<std::string_view> texts;
  for (const Matcher& matcher : condition.any_of) {
    if (matcher.kind != Matcher::Kind::kExact || condition.field == Field::kTrustDomain) {
      return std::nullopt;
    }
    texts.push_back(matcher.text);
  }
  return texts;
}

void Space::FindHead(Entry& entry) const {
  const Condition& condition = entry.condition;
  if (condition.field == Field::kTrustDomain) {
    entry.head = "spiffe://";
    return;
  }
  if (condition.any_of.size() != 1) {
    return;
  }
  const Matcher& matcher = condition.any_of[0];
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
      entry.literal = true;
      entry.head = matcher.text;
      break;
    case Matcher::Kind::kPort:
      entry.literal = true;
      entry.head = PortValue(matcher.port);
      break;
    case Matcher::Kind::kUnder:
    case Matcher::Kind::kPrefix:
      entry.head = matcher.text;
      break;
    case Matcher::Kind::kTemplate:
      entry.head = TemplateHead(matcher.text);
      break;
    case Matcher::Kind::kIp:
      entry.head.assign(reinterpret_cast<const char*>(matcher.range.address.data()),
                        matcher.range.prefix_bits / 8);
      break;
    default:
      break;
  }
}

StatusOr<const Language*> Space::LanguageAt(uint32_t number) {
  Entry& entry = languages_[number];
  if (!entry.language) {
    if (number == kNothing) {
      entry.language = Language::Nothing();
    } else {
      StatusOr<Language> language = LanguageOf(entry.condition, limits_.language);
      if (!language.ok()) {
        return Annotate(language.status(), DescribeCondition(entry.condition));
      }
      entry.language = *std::move(language);
      if (entry.head.empty()) {
        entry.head = ForcedBeginning(*entry.language);
      }
    }
  }
  return &*entry.language;
}

uint32_t Space::PredicateNumber(const Predicate& predicate) {
  uint64_t key = uint64_t{predicate.coordinate} << 40 | uint64_t{predicate.language} << 8 |
                 uint64_t{predicate.on_absent ? 1U : 0U} << 4 |
                 static_cast<uint64_t>(predicate.repeated);
  auto [place, fresh] =
      predicate_numbers_.try_emplace(key, static_cast<uint32_t>(predicates_.size()));
  if (fresh) {
    predicates_.push_back(predicate);
  }
  return place->second;
}

bool Space::Disjoint(uint32_t a, uint32_t b) {
  if (a == b || a == kNothing || b == kNothing) {
    return a != b;
  }
  for (uint32_t number : {a, b}) {
    // A pattern's beginning is known with its automaton. What fails here fails where it counts.
    if (!languages_[number].language && languages_[number].head.empty()) {
      (void)LanguageAt(number).ok();
    }
  }
  const Entry& one = languages_[a];
  const Entry& two = languages_[b];
  size_t shared = std::min(one.head.size(), two.head.size());
  if (std::string_view(one.head).substr(0, shared) !=
      std::string_view(two.head).substr(0, shared)) {
    return true;
  }
  for (auto [literal, other] : {std::pair(a, b), std::pair(b, a)}) {
    if (languages_[literal].literal) {
      StatusOr<const Language*> language = LanguageAt(other);
      return language.ok() && !(*language)->Matches(languages_[literal].head);
    }
  }
  return false;
}

StatusOr<const language::CanonicalValues*> Space::Values(Axis axis) {
  auto known = values_.find(axis);
  if (known == values_.end()) {
    ASSIGN_OR_RETURN(language::CanonicalValues values, ValuesOf(axis, relaxations_));
    known = values_.emplace(axis, std::move(values)).first;
  }
  return &known->second;
}

StatusOr<Partition*> Space::PartitionOf(Axis axis, const std::vector<uint32_t>& languages) {
  std::unique_ptr<Partition>& place = partitions_[{axis, languages}];
  if (place != nullptr) {
    return place.get();
  }
  ASSIGN_OR_RETURN(const language::CanonicalValues* values, Values(axis));
  std::vector<const Language*> automata;
  for (uint32_t number : languages) {
    ASSIGN_OR_RETURN(const Language* language, LanguageAt(number));
    automata.push_back(language);
  }
  ASSIGN_OR_RETURN(Partition made, Partition::Create(*values, automata, limits_.partition));
  spent_.steps += made.steps();
  spent_.states += made.states();
  if (spent_.steps > limits_.partition_steps_max || spent_.states > limits_.partition_states_max) {
    return ResourceExhausted("the question's automata need more than partition_steps_max = ",
                             limits_.partition_steps_max,
                             " steps or partition_states_max = ", limits_.partition_states_max,
                             " states");
  }
  place = std::make_unique<Partition>(std::move(made));
  return place.get();
}

}  // namespace countersign::authz::prove
