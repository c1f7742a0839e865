#include "authz/engine/matcher_plan.h"

#include "authz/engine/compiled_policy.h"
#include "authz/engine/program.h"

namespace countersign::authz {
namespace {

// "path:0:" is "path", "headers:8:x-tenant" is "headers x-tenant".
std::string NameOfCoordinate(const std::string& coordinate) {
  size_t first = coordinate.find(':');
  size_t second = coordinate.find(':', first + 1);
  std::string name = coordinate.substr(0, first);
  if (second != std::string::npos && second + 1 < coordinate.size()) {
    name.append(" ").append(coordinate, second + 1);
  }
  return name;
}

using ByName = std::map<std::string, FieldPlan>;

void AddIndex(const engine::StringIndex& index, FieldPlan& field) {
  const engine::StringIndex::Plan& plan = index.plan();
  field.literals += plan.literals;
  field.borders += plan.borders;
  field.templates += plan.templates;
  field.prefixes += plan.prefixes;
  field.suffixes += plan.suffixes;
  field.patterns_by_prefix += plan.patterns_by_prefix;
  field.patterns_by_literal += plan.floating.patterns - plan.floating.always_tried;
  field.patterns_always += plan.floating.always_tried;
  field.literal_states += plan.floating.states;
}

void AddGroups(const engine::Half& half, ByName& fields, MatcherPlan& plan) {
  auto key_name = [](const engine::KeySlots& keys, uint16_t slot) {
    for (const auto& [name, number] : keys.numbers) {
      if (number == slot) {
        return " " + name;
      }
    }
    return std::string();
  };
  for (const engine::Group& group : half.groups) {
    AddIndex(group.by_id, fields[std::string(FieldName(Field::kId))]);
    AddIndex(group.by_trust_domain, fields[std::string(FieldName(Field::kTrustDomain))]);
    AddIndex(group.by_sni, fields[std::string(FieldName(Field::kSni))]);
    for (const auto* indexes : {&group.kept_by_request, &group.free_by_request}) {
      for (const engine::RequestIndex& index : *indexes) {
        std::string name(FieldName(index.field));
        if (index.field == Field::kHeader || index.field == Field::kQuery) {
          name += key_name(index.field == Field::kHeader ? half.headers : half.queries, index.slot);
        }
        AddIndex(index.index, fields[name]);
      }
    }
    plan.boxes_always += group.free_plain.size();
  }
}

bool IsEmpty(const FieldPlan& plan) {
  return plan.literals + plan.borders + plan.templates + plan.prefixes + plan.suffixes +
             plan.patterns_by_prefix + plan.patterns_by_literal + plan.patterns_always +
             plan.patterns_as_code + plan.patterns_as_automata + plan.patterns_in_re2 ==
         0;
}

}  // namespace

MatcherPlan CompiledPolicy::Plan() const {
  MatcherPlan plan;
  plan.rules = rule_count();
  plan.boxes = box_count();
  plan.automata_bytes = program_->patterns.automata_bytes();
  ByName fields;
  AddIndex(program_->http.guards, fields["callee"]);
  AddGroups(program_->http, fields, plan);
  const engine::PatternStore& patterns = program_->patterns;
  for (uint32_t i = 0; i < patterns.size(); ++i) {
    std::string name = NameOfCoordinate(patterns.coordinate(i));
    FieldPlan& field = fields[name];
    switch (patterns.kind(i)) {
      case engine::PatternStore::Kind::kSimple:
        ++field.patterns_as_code;
        break;
      case engine::PatternStore::Kind::kAutomaton:
        ++field.patterns_as_automata;
        field.automaton_states += patterns.states(i);
        break;
      case engine::PatternStore::Kind::kRe2:
        ++field.patterns_in_re2;
        plan.re2.push_back(
            {.field = name, .pattern = patterns.text(i), .why = patterns.why_re2(i)});
        break;
    }
  }
  for (auto& [name, field] : fields) {
    if (!IsEmpty(field)) {
      field.field = name;
      plan.fields.push_back(std::move(field));
    }
  }
  return plan;
}

}  // namespace countersign::authz
