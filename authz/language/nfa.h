// Nfa is Thompson's automaton of an expression: every state has at most two ways on, and the
// assertions are states of their own. Only the way to a Dfa.
#pragma once

#include <cstdint>
#include <vector>

#include "authz/language/expression.h"
#include "authz/language/limits.h"
#include "base/status.h"

namespace countersign::authz::language {

// Nfa is a plain value.
struct Nfa {
  struct State {
    enum class Kind : uint8_t { kBytes, kSplit, kAssertion, kAccept };
    Kind kind = Kind::kAccept;
    Assertion assertion = Assertion::kBeginText;
    uint32_t next = 0;
    uint32_t other = 0;  // kBytes: the number of its set; kSplit: the second way.
  };
  std::vector<State> states;
  std::vector<ByteSet> sets;
  uint32_t start = 0;
  bool has_assertions = false;

  // Build fails with kResourceExhausted if the repetitions written out need too many states.
  static StatusOr<Nfa> Build(const Expression& expression, const LanguageLimits& limits);
};

}  // namespace countersign::authz::language
