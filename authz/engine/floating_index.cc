#include "authz/engine/floating_index.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "authz/engine/required_literals.h"
#include "authz/language/parse_pattern.h"

namespace countersign::authz::engine {
namespace {

// Culprits that a refusal names.
constexpr size_t kNamedMax = 3;

}  // namespace

void FloatingIndex::Plan::Add(const Plan& other) {
  patterns += other.patterns;
  literals += other.literals;
  states += other.states;
  always_tried += other.always_tried;
}

// Builder is for one index.
class FloatingIndex::Builder {
 public:
  using Staged = std::map<uint32_t, std::vector<uint32_t>>;
  Builder(const Staged& staged, const PatternStore& store) : staged_(staged), store_(store) {}

  StatusOr<FloatingIndex> Run() {
    for (const auto& [number, payloads] : staged_) {
      RETURN_IF_ERROR(ReadChoices(number));
    }
    for (size_t i = 0; i < numbers_.size(); ++i) {
      if (choices_[i].empty()) {
        always_.push_back(numbers_[i]);
        PlacePattern(numbers_[i]);
      }
    }
    RETURN_IF_ERROR(CheckCount(always_, "no literal at all"));
    for (size_t i = 0; i < numbers_.size(); ++i) {
      if (!choices_[i].empty()) {
        ChooseLiterals(i);
        PlacePattern(numbers_[i]);
      }
    }
    RETURN_IF_ERROR(FreezeLiterals());
    RETURN_IF_ERROR(BuildStates());
    index_.literal_words_ = members_.size() / 64 + 1;
    index_.pattern_words_ = index_.patterns_.size() / 64 + 1;
    index_.plan_ = {.patterns = index_.patterns_.size(),
                    .literals = members_.size(),
                    .states = index_.literal_.size(),
                    .always_tried = always_.size()};
    return std::move(index_);
  }

 private:
  Status ReadChoices(uint32_t number) {
    language::LanguageLimits limits;
    limits.pattern_bytes_max = store_.limits().pattern_bytes_max;
    ASSIGN_OR_RETURN(language::Expression expression,
                     language::ParsePattern(store_.text(number), limits));
    numbers_.push_back(number);
    choices_.push_back(RequiredLiterals(expression));
    for (const LiteralChoice& choice : choices_.back()) {
      for (const std::string& literal : choice) {
        ++uses_[literal];
      }
    }
    return absl::OkStatus();
  }

  void PlacePattern(uint32_t number) {
    const std::vector<uint32_t>& payloads = staged_.at(number);
    Pattern& pattern = index_.patterns_.emplace_back();
    pattern.number = number;
    pattern.payloads.begin = static_cast<uint32_t>(index_.payloads_.size());
    index_.payloads_.insert(index_.payloads_.end(), payloads.begin(), payloads.end());
    pattern.payloads.end = static_cast<uint32_t>(index_.payloads_.size());
  }

  // The choice that fewest other patterns have, the longest among those.
  void ChooseLiterals(size_t i) {
    auto worth = [&](const LiteralChoice& choice) {
      size_t uses = 0;
      size_t shortest = SIZE_MAX;
      for (const std::string& literal : choice) {
        uses = std::max(uses, uses_[literal]);
        shortest = std::min(shortest, literal.size());
      }
      return std::pair(uses, SIZE_MAX - shortest);
    };
    const LiteralChoice& best = *std::min_element(
        choices_[i].begin(), choices_[i].end(),
        [&](const LiteralChoice& a, const LiteralChoice& b) { return worth(a) < worth(b); });
    auto place = static_cast<uint32_t>(index_.patterns_.size());
    for (const std::string& literal : best) {
      std::vector<uint32_t>& members = members_[literal];
      if (members.empty() || members.back() != place) {
        members.push_back(place);
      }
    }
  }

  Status CheckCount(const std::vector<uint32_t>& numbers, std::string_view what) const {
    size_t most = store_.limits().patterns_tried_max;
    if (numbers.size() <= most) {
      return absl::OkStatus();
    }
    std::string names;
    for (size_t i = 0; i < kNamedMax; ++i) {
      names += Concat(i == 0 ? "" : ", ", Quoted(store_.text(numbers[i])));
    }
    return ResourceExhausted(
        numbers.size(), " patterns have ", what, " that tells them apart, more than ",
        "patterns_tried_max = ", most, " would have to be tried on each value; among them ", names,
        ": give them different literals, or write them as literals, borders or templates");
  }

  Status FreezeLiterals() {
    for (const auto& [literal, places] : members_) {
      std::vector<uint32_t> numbers;
      for (uint32_t place : places) {
        numbers.push_back(index_.patterns_[place].number);
      }
      RETURN_IF_ERROR(CheckCount(numbers, Concat("only ", Quoted(literal))));
      auto begin = static_cast<uint32_t>(index_.members_.size());
      index_.members_.insert(index_.members_.end(), places.begin(), places.end());
      index_.of_literal_.push_back({begin, static_cast<uint32_t>(index_.members_.size())});
    }
    return absl::OkStatus();
  }

  // Every byte of a literal has a class of its own; both cases of a letter share one.
  void NumberBytes() {
    for (const auto& [literal, places] : members_) {
      for (char c : literal) {
        auto byte = static_cast<uint8_t>(c);
        if (index_.class_of_[byte] == 0) {
          index_.class_of_[byte] = static_cast<uint8_t>(index_.width_++);
        }
      }
    }
    for (size_t upper = 'A'; upper <= 'Z'; ++upper) {
      index_.class_of_[upper] = index_.class_of_[upper - 'A' + 'a'];
    }
  }

  uint32_t NewState() {
    index_.next_.resize(index_.next_.size() + index_.width_, 0);
    index_.literal_.push_back(0);
    index_.shorter_.push_back(0);
    return static_cast<uint32_t>(index_.literal_.size() - 1);
  }

  Status BuildStates() {
    NumberBytes();
    NewState();
    uint32_t number = 0;
    for (const auto& [literal, places] : members_) {
      uint32_t state = 0;
      for (char c : literal) {
        size_t at = state * size_t{index_.width_} + index_.class_of_[static_cast<uint8_t>(c)];
        if (index_.next_[at] == 0) {
          uint32_t made = NewState();
          index_.next_[at] = made;
        }
        state = index_.next_[at];
      }
      index_.literal_[state] = ++number;
      if (index_.next_.size() > store_.limits().floating_entries_max) {
        return ResourceExhausted("the literals of ", staged_.size(), " patterns that begin alike ",
                                 "need more than floating_entries_max = ",
                                 store_.limits().floating_entries_max, " transitions");
      }
    }
    FillTransitions();
    return absl::OkStatus();
  }

  // Breadth first: what a state lacks, the longest state that is its end has.
  void FillTransitions() {
    size_t width = index_.width_;
    std::vector<uint32_t> end_of(index_.literal_.size(), 0);
    std::vector<uint32_t> queue = {0};
    for (size_t at = 0; at < queue.size(); ++at) {
      uint32_t state = queue[at];
      uint32_t end = end_of[state];
      index_.shorter_[state] = index_.literal_[end] != 0 ? end : index_.shorter_[end];
      for (size_t i = 0; i < width; ++i) {
        uint32_t& next = index_.next_[state * width + i];
        uint32_t otherwise = state == 0 ? 0 : index_.next_[end * width + i];
        if (next == 0) {
          next = otherwise;
        } else {
          end_of[next] = otherwise;
          queue.push_back(next);
        }
      }
    }
    for (uint32_t& next : index_.next_) {
      bool has = index_.literal_[next] != 0 || index_.shorter_[next] != 0;
      next = static_cast<uint32_t>(next * width) | (has ? kHasLiteral : 0);
    }
  }

  const Staged& staged_;
  const PatternStore& store_;
  FloatingIndex index_;
  std::vector<uint32_t> numbers_;
  std::vector<std::vector<LiteralChoice>> choices_;
  std::unordered_map<std::string, size_t> uses_;
  std::vector<uint32_t> always_;
  std::map<std::string, std::vector<uint32_t>> members_;  // A literal: places in patterns_.
};

StatusOr<FloatingIndex> FloatingIndex::Build(
    const std::map<uint32_t, std::vector<uint32_t>>& patterns, const PatternStore& store) {
  return Builder(patterns, store).Run();
}

void FloatingIndex::FindLiterals(std::string_view value, std::span<uint64_t> found) const {
  const uint32_t* next = next_.data();
  uint32_t row = 0;
  for (char c : value) {
    uint32_t step = next[row + class_of_[static_cast<uint8_t>(c)]];
    row = step & ~kHasLiteral;
    if ((step & kHasLiteral) == 0) {
      continue;
    }
    for (uint32_t state = row / width_; state != 0; state = shorter_[state]) {
      if (uint32_t literal = literal_[state]; literal != 0) {
        found[(literal - 1) / 64] |= uint64_t{1} << ((literal - 1) % 64);
      }
    }
  }
}

void FloatingIndex::MarkPatterns(std::span<const uint64_t> found,
                                 std::span<uint64_t> wanted) const {
  for (size_t place = 0; place < plan_.always_tried; ++place) {
    wanted[place / 64] |= uint64_t{1} << (place % 64);
  }
  for (size_t word = 0; word < found.size(); ++word) {
    for (uint64_t bits = found[word]; bits != 0; bits &= bits - 1) {
      Range range = of_literal_[word * 64 + static_cast<size_t>(std::countr_zero(bits))];
      for (uint32_t i = range.begin; i < range.end; ++i) {
        wanted[members_[i] / 64] |= uint64_t{1} << (members_[i] % 64);
      }
    }
  }
}

}  // namespace countersign::authz::engine
