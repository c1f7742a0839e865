#include "authz/language/language.h"

#include <array>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "authz/language/nfa.h"
#include "authz/language/parse_pattern.h"

namespace countersign::authz::language {
namespace {

Dfa OneState(uint8_t accepts) {
  Dfa dfa;
  dfa.next.assign(1, 0);
  dfa.accepts.assign(1, accepts);
  return dfa;
}

// Classes of bytes that neither automaton tells apart.
ByteClasses JointClasses(const Dfa& a, const Dfa& b) {
  std::array<uint32_t, 256> labels = {};
  for (size_t byte = 0; byte < labels.size(); ++byte) {
    auto value = static_cast<uint8_t>(byte);
    labels[byte] = a.classes[value] * 256U + b.classes[value];
  }
  return ByteClasses::FromLabels(labels);
}

bool IsSink(const Dfa& dfa, uint32_t state) {
  size_t width = dfa.classes.size();
  for (size_t i = 0; i < width; ++i) {
    if (dfa.next[state * width + i] != state) {
      return false;
    }
  }
  return true;
}

// A sink of each verdict, or UINT32_MAX; a minimal automaton has at most one of each.
std::array<uint32_t, 2> Sinks(const Dfa& dfa) {
  std::array<uint32_t, 2> sinks = {UINT32_MAX, UINT32_MAX};
  for (uint32_t state = 0; state < dfa.states(); ++state) {
    if (IsSink(dfa, state)) {
      sinks[dfa.accepts[state]] = state;
    }
  }
  return sinks;
}

// Bit 2 * (in a) + (in b) of `truth` says whether such a text is in the result.
bool Verdict(uint8_t truth, bool in_a, bool in_b) {
  return (truth >> (2 * (in_a ? 1 : 0) + (in_b ? 1 : 0)) & 1) != 0;
}

// Product pairs up the states of two automata.
class Product {
 public:
  Product(const Dfa& a, const Dfa& b, uint8_t truth, const LanguageLimits& limits)
      : a_(a), b_(b), truth_(truth), limits_(limits), a_sinks_(Sinks(a)), b_sinks_(Sinks(b)) {}

  StatusOr<Dfa> Run() {
    dfa_.classes = JointClasses(a_, b_);
    std::vector<uint8_t> first = dfa_.classes.First();
    Number({0, 0});
    for (size_t at = 0; at < pairs_.size(); ++at) {
      if (pairs_.size() > limits_.dfa_states_max || dfa_.next.size() > limits_.table_entries_max) {
        return ResourceExhausted(
            "automata of ", a_.states(), " and ", b_.states(),
            " states need together more than dfa_states_max = ", limits_.dfa_states_max,
            " states or table_entries_max = ", limits_.table_entries_max, " transitions");
      }
      Pair pair = pairs_[at];
      std::optional<bool> fixed = FixedVerdict(pair);
      dfa_.accepts.push_back(fixed.value_or(VerdictAt(pair)) ? 1 : 0);
      for (uint8_t byte : first) {
        uint32_t to = fixed ? static_cast<uint32_t>(at)
                            : Number({a_.Step(pair.in_a, byte), b_.Step(pair.in_b, byte)});
        dfa_.next.push_back(to);
      }
    }
    return std::move(dfa_);
  }

 private:
  struct Pair {
    uint32_t in_a = 0;
    uint32_t in_b = 0;
  };

  bool VerdictAt(Pair pair) const {
    return Verdict(truth_, a_.accepts[pair.in_a] != 0, b_.accepts[pair.in_b] != 0);
  }

  // The verdict of every text from here on, where one side alone settles it.
  std::optional<bool> FixedVerdict(Pair pair) const {
    for (size_t verdict = 0; verdict < 2; ++verdict) {
      bool in = verdict == 1;
      if (pair.in_a == a_sinks_[verdict] &&
          Verdict(truth_, in, false) == Verdict(truth_, in, true)) {
        return Verdict(truth_, in, false);
      }
      if (pair.in_b == b_sinks_[verdict] &&
          Verdict(truth_, false, in) == Verdict(truth_, true, in)) {
        return Verdict(truth_, false, in);
      }
    }
    return std::nullopt;
  }

  uint32_t Number(Pair pair) {
    // All pairs with the same settled verdict are one state.
    std::optional<bool> fixed = FixedVerdict(pair);
    uint64_t key = fixed ? UINT64_MAX - (*fixed ? 1 : 0) : uint64_t{pair.in_a} << 32 | pair.in_b;
    auto [found, inserted] = numbers_.try_emplace(key, static_cast<uint32_t>(pairs_.size()));
    if (inserted) {
      pairs_.push_back(pair);
    }
    return found->second;
  }

  const Dfa& a_;
  const Dfa& b_;
  const uint8_t truth_;
  const LanguageLimits& limits_;
  const std::array<uint32_t, 2> a_sinks_, b_sinks_;
  Dfa dfa_;
  std::vector<Pair> pairs_;
  std::unordered_map<uint64_t, uint32_t> numbers_;
};

// What can be reached, numbered as Minimize numbers: in the order in which a search finds it.
Dfa Reached(const Dfa& dfa) {
  size_t width = dfa.classes.size();
  std::vector<uint32_t> number(dfa.states(), UINT32_MAX);
  std::vector<uint32_t> order = {0};
  number[0] = 0;
  Dfa reached;
  reached.classes = dfa.classes;
  reached.next.reserve(dfa.next.size());
  for (size_t at = 0; at < order.size(); ++at) {
    reached.accepts.push_back(dfa.accepts[order[at]]);
    for (size_t i = 0; i < width; ++i) {
      uint32_t to = dfa.next[order[at] * width + i];
      if (number[to] == UINT32_MAX) {
        number[to] = static_cast<uint32_t>(order.size());
        order.push_back(to);
      }
      reached.next.push_back(number[to]);
    }
  }
  return reached;
}

constexpr uint8_t kInBoth = 0b1000;
constexpr uint8_t kInAOnly = 0b0100;
constexpr uint8_t kInBOnly = 0b0010;

}  // namespace

StatusOr<Language> Combine(const Language& a, const Language& b, uint8_t truth,
                           const LanguageLimits& limits) {
  ASSIGN_OR_RETURN(Dfa dfa, Product(a.dfa(), b.dfa(), truth, limits).Run());
  return Language(Minimize(dfa));
}

Language Language::Nothing() { return Language(OneState(0)); }
Language Language::Everything() { return Language(OneState(1)); }

Language Language::Literal(std::string_view text) { return Beginning(text, Rest::kNothing); }

// Its automaton by hand, minimal as it is: one state a byte and one at the end, one for everything
// else, and one for everything behind. Most matchers are of this kind, so it has to be quick.
Language Language::Beginning(std::string_view text, Rest rest) {
  std::array<uint32_t, 256> labels = {};
  for (char c : text) {
    labels[static_cast<uint8_t>(c)] = static_cast<uint32_t>(static_cast<uint8_t>(c)) + 1;
  }
  if (rest == Rest::kNothingOrSlash) {
    labels['/'] = '/' + 1;
  }
  Dfa dfa;
  dfa.classes = ByteClasses::FromLabels(labels);
  size_t width = dfa.classes.size();
  auto end = static_cast<uint32_t>(text.size());
  uint32_t dead = end + 1;
  uint32_t behind = end + 2;
  dfa.next.assign((end + 3) * width, dead);
  dfa.accepts.assign(end + 3, 0);
  for (uint32_t i = 0; i < end; ++i) {
    dfa.next[i * width + dfa.classes[static_cast<uint8_t>(text[i])]] = i + 1;
  }
  dfa.accepts[end] = dfa.accepts[behind] = 1;
  for (size_t i = 0; i < width; ++i) {
    dfa.next[behind * width + i] = behind;
    if (rest == Rest::kAnything) {
      dfa.next[end * width + i] = end;
    }
  }
  if (rest == Rest::kNothingOrSlash) {
    dfa.next[end * width + dfa.classes['/']] = behind;
  }
  return Language(Reached(dfa));
}

StatusOr<Language> Language::FromExpression(const Expression& expression,
                                            const LanguageLimits& limits) {
  ASSIGN_OR_RETURN(Nfa nfa, Nfa::Build(expression, limits));
  ASSIGN_OR_RETURN(Dfa dfa, Determinize(nfa, limits));
  return Language(Minimize(dfa));
}

StatusOr<Language> Language::FromPattern(std::string_view pattern, const LanguageLimits& limits) {
  ASSIGN_OR_RETURN(Expression expression, ParsePattern(pattern, limits));
  StatusOr<Language> language = FromExpression(expression, limits);
  if (!language.ok()) {
    return Annotate(language.status(), Concat("pattern ", Quoted(pattern)));
  }
  return language;
}

Language Language::FromDfa(const Dfa& dfa) { return Language(Minimize(Reached(dfa))); }

uint64_t Language::Hash() const {
  uint64_t hash = dfa_.states();
  auto mix = [&hash](uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 29;
  };
  for (uint32_t to : dfa_.next) {
    mix(to);
  }
  for (uint8_t accepts : dfa_.accepts) {
    mix(accepts);
  }
  return hash;
}

Language Language::Complement() const {
  Dfa dfa = dfa_;
  for (uint8_t& accepts : dfa.accepts) {
    accepts ^= 1;
  }
  return Language(std::move(dfa));
}

StatusOr<Language> Union(const Language& a, const Language& b, const LanguageLimits& limits) {
  return Combine(a, b, kInBoth | kInAOnly | kInBOnly, limits);
}

StatusOr<Language> Intersection(const Language& a, const Language& b,
                                const LanguageLimits& limits) {
  return Combine(a, b, kInBoth, limits);
}

StatusOr<Language> Difference(const Language& a, const Language& b, const LanguageLimits& limits) {
  return Combine(a, b, kInAOnly, limits);
}

}  // namespace countersign::authz::language
