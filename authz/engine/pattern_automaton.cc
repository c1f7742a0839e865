#include "authz/engine/pattern_automaton.h"

#include "authz/language/language.h"

namespace countersign::authz::engine {
namespace {

bool IsSink(const language::Dfa& dfa, uint32_t state) {
  size_t width = dfa.classes.size();
  for (size_t i = 0; i < width; ++i) {
    if (dfa.next[state * width + i] != state) {
      return false;
    }
  }
  return true;
}

}  // namespace

StatusOr<PatternAutomaton> PatternAutomaton::Create(std::string_view pattern,
                                                    const EngineLimits& limits) {
  language::LanguageLimits budget;
  budget.pattern_bytes_max = limits.pattern_bytes_max;
  budget.dfa_states_max = limits.automaton_states_max;
  budget.nfa_states_max = limits.automaton_states_max * 4;
  budget.determinize_steps_max = limits.automaton_steps_max;
  budget.table_entries_max = limits.automaton_entries_max * 4;
  ASSIGN_OR_RETURN(language::Language language, language::Language::FromPattern(pattern, budget));
  const language::Dfa& dfa = language.dfa();
  size_t width = dfa.classes.size();
  if (dfa.next.size() > limits.automaton_entries_max) {
    return ResourceExhausted(
        "its automaton has ", dfa.next.size(),
        " transitions, more than automaton_entries_max = ", limits.automaton_entries_max);
  }
  // States in their order, sinks last; the start stays first unless it is a sink, and then it is
  // the only state.
  std::vector<uint32_t> order;
  for (bool sinks : {false, true}) {
    for (uint32_t state = 0; state < dfa.states(); ++state) {
      if (IsSink(dfa, state) == sinks) {
        order.push_back(state);
      }
    }
  }
  PatternAutomaton automaton;
  automaton.width_ = static_cast<uint32_t>(width);
  for (size_t byte = 0; byte < 256; ++byte) {
    automaton.class_of_[byte] = dfa.classes[static_cast<uint8_t>(byte)];
  }
  std::vector<uint32_t> row_of(dfa.states());
  uint32_t sinks = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    row_of[order[i]] = static_cast<uint32_t>(i * width);
    sinks += IsSink(dfa, order[i]) ? 1 : 0;
    automaton.accepts_.push_back(dfa.accepts[order[i]] != 0);
  }
  automaton.sinks_from_ = static_cast<uint32_t>((dfa.states() - sinks) * width);
  for (uint32_t state : order) {
    for (size_t i = 0; i < width; ++i) {
      automaton.next_.push_back(static_cast<uint16_t>(row_of[dfa.next[state * width + i]]));
    }
  }
  return automaton;
}

}  // namespace countersign::authz::engine
