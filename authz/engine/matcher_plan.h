// MatcherPlan says how a compiled policy finds its rules, field by field: what is hashed, what is
// tried by automaton, and which patterns are left to RE2 and why. For people; decisions never read
// it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace countersign::authz {

// FieldPlan is one field's, for header and query keys one key's.
struct FieldPlan {
  std::string field;  // "path", "headers x-tenant".
  // Matchers that rules are found by.
  size_t literals = 0;
  size_t borders = 0;
  size_t templates = 0;
  size_t prefixes = 0;
  size_t suffixes = 0;
  size_t patterns_by_prefix = 0;   // Tried on values that begin with their literal.
  size_t patterns_by_literal = 0;  // Tried on values that hold a literal they need.
  size_t patterns_always = 0;      // Of those: tried on every value.
  size_t literal_states = 0;       // Of the automata that look for such literals.
  // Patterns of the field, however they are asked.
  size_t patterns_as_code = 0;
  size_t patterns_as_automata = 0;
  size_t automaton_states = 0;
  size_t patterns_in_re2 = 0;
};

// Re2Pattern is a pattern whose automaton is over a budget.
struct Re2Pattern {
  std::string field;
  std::string pattern;
  std::string why;
};

struct MatcherPlan {
  size_t rules = 0;
  size_t boxes = 0;         // Of HTTP requests.
  size_t boxes_always = 0;  // That no field finds: tried on every request that they guard.
  size_t automata_bytes = 0;
  std::vector<FieldPlan> fields;  // By name.
  std::vector<Re2Pattern> re2;
};

}  // namespace countersign::authz
