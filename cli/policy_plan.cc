#include "cli/policy_plan.h"

#include "base/status.h"
#include "cli/command.h"

namespace countersign::cli {
namespace {

using Json = nlohmann::ordered_json;

// "17 literals, 3 borders": only what there is.
class List {
 public:
  void Add(size_t count, std::string_view what) {
    if (count != 0) {
      text_.append(Concat(text_.empty() ? "" : ", ", count, " ", what));
    }
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string FieldText(const authz::FieldPlan& field) {
  List found;
  found.Add(field.literals, "hashed literals");
  found.Add(field.borders, "borders");
  found.Add(field.templates, "templates");
  found.Add(field.prefixes, "prefixes");
  found.Add(field.suffixes, "suffixes");
  found.Add(field.patterns_by_prefix, "patterns by the literal they begin with");
  found.Add(field.patterns_by_literal, "patterns by a literal they need");
  found.Add(field.patterns_always, "patterns tried on every value");
  List run;
  run.Add(field.patterns_as_code, "as code");
  run.Add(field.patterns_as_automata, "as automata");
  run.Add(field.automaton_states, "states");
  run.Add(field.patterns_in_re2, "in RE2");
  std::string text = EscapeForTerminal(field.field);
  text.append(": ").append(found.text().empty() ? "finds no rule" : found.text());
  if (!run.text().empty()) {
    text.append("; patterns: ").append(run.text());
  }
  return text + "\n";
}

}  // namespace

Json PlanAsJson(const authz::MatcherPlan& plan) {
  Json fields = Json::array();
  for (const authz::FieldPlan& field : plan.fields) {
    fields.push_back({{"field", field.field},
                      {"literals", field.literals},
                      {"borders", field.borders},
                      {"templates", field.templates},
                      {"prefixes", field.prefixes},
                      {"suffixes", field.suffixes},
                      {"patternsByPrefix", field.patterns_by_prefix},
                      {"patternsByLiteral", field.patterns_by_literal},
                      {"patternsAlwaysTried", field.patterns_always},
                      {"literalStates", field.literal_states},
                      {"patternsAsCode", field.patterns_as_code},
                      {"patternsAsAutomata", field.patterns_as_automata},
                      {"automatonStates", field.automaton_states},
                      {"patternsInRe2", field.patterns_in_re2}});
  }
  Json re2 = Json::array();
  for (const authz::Re2Pattern& pattern : plan.re2) {
    re2.push_back({{"field", pattern.field}, {"pattern", pattern.pattern}, {"why", pattern.why}});
  }
  return {{"rules", plan.rules},
          {"boxes", plan.boxes},
          {"boxesAlwaysTried", plan.boxes_always},
          {"automataBytes", plan.automata_bytes},
          {"fields", std::move(fields)},
          {"re2", std::move(re2)}};
}

std::string PlanAsText(const authz::MatcherPlan& plan) {
  std::string text =
      Concat("plan: ", plan.rules, " rules in ", plan.boxes, " boxes, ", plan.boxes_always,
             " of them found by no field; automata of ", plan.automata_bytes, " bytes\n");
  for (const authz::FieldPlan& field : plan.fields) {
    text += FieldText(field);
  }
  for (const authz::Re2Pattern& pattern : plan.re2) {
    text += Concat("in RE2: ", EscapeForTerminal(pattern.field), " ", Quoted(pattern.pattern), ": ",
                   EscapeForTerminal(pattern.why), "\n");
  }
  return text;
}

}  // namespace countersign::cli
