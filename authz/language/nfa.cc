#include "authz/language/nfa.h"

namespace countersign::authz::language {
namespace {

using Kind = Nfa::State::Kind;

// Builder makes each part in front of what follows it, from the end of the expression backwards.
class Builder {
 public:
  Builder(const Expression& expression, const LanguageLimits& limits, Nfa& out)
      : expression_(expression), limits_(limits), out_(out) {}

  Status Run() {
    uint32_t accept = Add({});
    out_.start = Emit(expression_.root(), accept);
    if (over_) {
      return ResourceExhausted("its repetitions, written out, need more than nfa_states_max = ",
                               limits_.nfa_states_max, " states");
    }
    return absl::OkStatus();
  }

 private:
  uint32_t Add(const Nfa::State& state) {
    if (out_.states.size() >= limits_.nfa_states_max) {
      over_ = true;
      return 0;
    }
    out_.states.push_back(state);
    return static_cast<uint32_t>(out_.states.size() - 1);
  }

  // The first state of `id` followed by the state `next`.
  uint32_t Emit(Expression::Id id, uint32_t next) {
    if (over_) {
      return 0;
    }
    const Expression::Node& node = expression_.node(id);
    switch (node.kind) {
      case Expression::Kind::kBytes:
        return Add({.kind = Kind::kBytes, .next = next, .other = node.first});
      case Expression::Kind::kAssertion:
        out_.has_assertions = true;
        return Add({.kind = Kind::kAssertion, .assertion = node.assertion, .next = next});
      case Expression::Kind::kConcat: {
        auto parts = expression_.children(node);
        for (size_t i = parts.size(); i-- > 0;) {
          next = Emit(parts[i], next);
        }
        return next;
      }
      case Expression::Kind::kAlternate: {
        auto choices = expression_.children(node);
        uint32_t first = Emit(choices.back(), next);
        for (size_t i = choices.size() - 1; i-- > 0;) {
          uint32_t choice = Emit(choices[i], next);
          first = Add({.kind = Kind::kSplit, .next = choice, .other = first});
        }
        return first;
      }
      case Expression::Kind::kRepeat:
        return EmitRepeat(node, next);
    }
    return 0;
  }

  uint32_t EmitRepeat(const Expression::Node& node, uint32_t next) {
    uint32_t entry = next;
    if (node.most == kUnbounded) {
      entry = Add({.kind = Kind::kSplit, .other = next});
      uint32_t body = Emit(node.first, entry);
      if (!over_) {
        out_.states[entry].next = body;
      }
    }
    uint32_t optional = node.most == kUnbounded ? 0 : node.most - node.least;
    for (uint32_t i = 0; i < optional && !over_; ++i) {
      entry = Add({.kind = Kind::kSplit, .next = Emit(node.first, entry), .other = next});
    }
    for (uint32_t i = 0; i < node.least && !over_; ++i) {
      entry = Emit(node.first, entry);
    }
    return entry;
  }

  const Expression& expression_;
  const LanguageLimits& limits_;
  Nfa& out_;
  bool over_ = false;
};

}  // namespace

StatusOr<Nfa> Nfa::Build(const Expression& expression, const LanguageLimits& limits) {
  Nfa nfa;
  nfa.sets = expression.sets();
  RETURN_IF_ERROR(Builder(expression, limits, nfa).Run());
  return nfa;
}

}  // namespace countersign::authz::language
