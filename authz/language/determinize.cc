// Subset construction. A state of the Dfa is the set of Nfa states that wait for a byte, for an
// assertion to be judged, or accept; and, if an assertion waits, what was before this place. What
// comes after is known with the next byte or at the end of the text, so nothing is delayed.
#include <algorithm>
#include <span>
#include <unordered_map>

#include "authz/language/byte_classes.h"
#include "authz/language/dfa.h"

namespace countersign::authz::language {
namespace {

using Kind = Nfa::State::Kind;

// Neighbour is what stands before or after a place in the text.
enum class Neighbour : uint8_t { kTextEnd, kNewline, kWordByte, kOtherByte };

Neighbour NeighbourOf(uint8_t byte) {
  if (byte == '\n') {
    return Neighbour::kNewline;
  }
  return WordBytes().Contains(byte) ? Neighbour::kWordByte : Neighbour::kOtherByte;
}

struct Place {
  Neighbour before = Neighbour::kTextEnd;
  Neighbour after = Neighbour::kTextEnd;
};

bool Holds(Assertion assertion, Place place) {
  bool boundary = (place.before == Neighbour::kWordByte) != (place.after == Neighbour::kWordByte);
  switch (assertion) {
    case Assertion::kBeginText:
      return place.before == Neighbour::kTextEnd;
    case Assertion::kEndText:
      return place.after == Neighbour::kTextEnd;
    case Assertion::kBeginLine:
      return place.before == Neighbour::kTextEnd || place.before == Neighbour::kNewline;
    case Assertion::kEndLine:
      return place.after == Neighbour::kTextEnd || place.after == Neighbour::kNewline;
    case Assertion::kWordBoundary:
      return boundary;
    case Assertion::kNotWordBoundary:
      return !boundary;
  }
  return false;
}

// Determinizer is for one run.
class Determinizer {
 public:
  Determinizer(const Nfa& nfa, const LanguageLimits& limits) : nfa_(nfa), limits_(limits) {
    marks_.resize(nfa.states.size(), 0);
  }

  StatusOr<Dfa> Run() {
    for (const ByteSet& set : nfa_.sets) {
      dfa_.classes.Split(set);
    }
    if (nfa_.has_assertions) {
      dfa_.classes.Split(WordBytes());
      dfa_.classes.Split(ByteSet::Of('\n'));
    }
    first_bytes_ = dfa_.classes.First();
    NewSet();
    Close(nfa_.start);
    Intern(Neighbour::kTextEnd);
    for (uint32_t state = 0; state < subsets_.size() && !Over(); ++state) {
      dfa_.accepts.push_back(AcceptsAtEnd(subsets_[state]) ? 1 : 0);
      for (uint8_t byte : first_bytes_) {
        dfa_.next.push_back(Step(state, byte));
      }
    }
    if (Over()) {
      return ResourceExhausted("its automaton needs more than ", OverWhat());
    }
    return std::move(dfa_);
  }

 private:
  struct Subset {
    uint32_t begin = 0;  // In pool_.
    uint32_t size = 0;
    Neighbour before = Neighbour::kOtherByte;
    bool has_assertion = false;
  };

  bool Over() const {
    return subsets_.size() > limits_.dfa_states_max || steps_ > limits_.determinize_steps_max ||
           dfa_.next.size() > limits_.table_entries_max;
  }
  std::string OverWhat() const {
    if (subsets_.size() > limits_.dfa_states_max) {
      return Concat("dfa_states_max = ", limits_.dfa_states_max, " states");
    }
    return steps_ > limits_.determinize_steps_max
               ? Concat("determinize_steps_max = ", limits_.determinize_steps_max, " steps")
               : Concat("table_entries_max = ", limits_.table_entries_max, " transitions");
  }

  void NewSet() {
    current_.clear();
    ++mark_;
  }

  // Adds what `state` reaches without a byte; assertions are kept, to be judged later.
  void Close(uint32_t state) {
    stack_.push_back(state);
    while (!stack_.empty()) {
      uint32_t top = stack_.back();
      stack_.pop_back();
      if (marks_[top] == mark_) {
        continue;
      }
      marks_[top] = mark_;
      ++steps_;
      const Nfa::State& visited = nfa_.states[top];
      if (visited.kind == Kind::kSplit) {
        stack_.push_back(visited.other);
        stack_.push_back(visited.next);
      } else {
        current_.push_back(top);
      }
    }
  }

  // Copies a subset to resolved_, with its assertions replaced by what follows those that hold.
  void Resolve(const Subset& subset, Place place) {
    NewSet();
    for (uint32_t i = 0; i < subset.size; ++i) {
      Close(pool_[subset.begin + i]);
    }
    for (size_t i = 0; i < current_.size(); ++i) {
      const Nfa::State& state = nfa_.states[current_[i]];
      if (state.kind == Kind::kAssertion && Holds(state.assertion, place)) {
        Close(state.next);
      }
    }
    resolved_ = current_;
  }

  bool AcceptsAtEnd(const Subset& subset) {
    std::span<const uint32_t> states(pool_.data() + subset.begin, subset.size);
    if (subset.has_assertion) {
      Resolve(subset, {.before = subset.before, .after = Neighbour::kTextEnd});
      states = resolved_;
    }
    return std::ranges::any_of(
        states, [&](uint32_t state) { return nfa_.states[state].kind == Kind::kAccept; });
  }

  uint32_t Step(uint32_t from, uint8_t byte) {
    Subset subset = subsets_[from];
    std::span<const uint32_t> states(pool_.data() + subset.begin, subset.size);
    Neighbour neighbour = NeighbourOf(byte);
    if (subset.has_assertion) {
      Resolve(subset, {.before = subset.before, .after = neighbour});
      states = resolved_;
    }
    NewSet();
    steps_ += states.size();
    for (uint32_t number : states) {
      const Nfa::State& state = nfa_.states[number];
      if (state.kind == Kind::kBytes && nfa_.sets[state.other].Contains(byte)) {
        Close(state.next);
      }
    }
    return Intern(neighbour);
  }

  // The number of the subset in current_.
  uint32_t Intern(Neighbour before) {
    std::ranges::sort(current_);
    bool has_assertion = nfa_.has_assertions && std::ranges::any_of(current_, [&](uint32_t state) {
                           return nfa_.states[state].kind == Kind::kAssertion;
                         });
    if (!has_assertion) {
      before = Neighbour::kOtherByte;  // Nothing asks.
    }
    uint64_t hash = static_cast<uint64_t>(before);
    for (uint32_t state : current_) {
      hash = (hash ^ state) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    auto [begin, end] = numbers_.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
      const Subset& known = subsets_[it->second];
      if (known.before == before &&
          std::ranges::equal(current_, std::span(pool_.data() + known.begin, known.size))) {
        return it->second;
      }
    }
    auto number = static_cast<uint32_t>(subsets_.size());
    subsets_.push_back({.begin = static_cast<uint32_t>(pool_.size()),
                        .size = static_cast<uint32_t>(current_.size()),
                        .before = before,
                        .has_assertion = has_assertion});
    pool_.insert(pool_.end(), current_.begin(), current_.end());
    numbers_.emplace(hash, number);
    return number;
  }

  const Nfa& nfa_;
  const LanguageLimits& limits_;
  Dfa dfa_;
  std::vector<uint8_t> first_bytes_;
  std::vector<Subset> subsets_;
  std::vector<uint32_t> pool_;
  std::unordered_multimap<uint64_t, uint32_t> numbers_;
  std::vector<uint32_t> current_, resolved_, stack_;
  std::vector<uint32_t> marks_;  // A state: the last set that it was added to.
  uint32_t mark_ = 0;
  size_t steps_ = 0;
};

}  // namespace

StatusOr<Dfa> Determinize(const Nfa& nfa, const LanguageLimits& limits) {
  return Determinizer(nfa, limits).Run();
}

}  // namespace countersign::authz::language
