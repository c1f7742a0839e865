#include "authz/engine/patterns.h"

#include "authz/language/language.h"

namespace countersign::authz::engine {

StatusOr<uint32_t> PatternStore::Add(const std::string& coordinate, const std::string& pattern) {
  std::string key = Concat(coordinate.size(), ":", coordinate, pattern);
  if (auto found = numbers_.find(key); found != numbers_.end()) {
    forms_[found->second].shared = true;
    return found->second;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<const RE2> compiled, CompilePattern(pattern, limits_));
  Form form;
  Pattern added{.coordinate = coordinate, .text = pattern, .prefixes = {}, .why_re2 = {}};
  RETURN_IF_ERROR(Compile(form, added, std::move(compiled)));
  auto number = static_cast<uint32_t>(patterns_.size());
  forms_.push_back(form);
  patterns_.push_back(std::move(added));
  numbers_.emplace(std::move(key), number);
  return number;
}

Status PatternStore::Compile(Form& form, Pattern& added, std::unique_ptr<const RE2> compiled) {
  if (std::optional<SimplePattern> simple = SimplePattern::Parse(added.text)) {
    added.prefixes = simple->Prefixes();
    if (std::optional<uint32_t> at = simple_.Add(*simple)) {
      form.at = *at;
      return absl::OkStatus();
    }
  } else {
    added.prefixes = {RequiredPrefix(*compiled)};
  }
  StatusOr<PatternAutomaton> automaton = PatternAutomaton::Create(added.text, limits_);
  if (automaton.ok() && automata_bytes_ + automaton->bytes() <= limits_.automata_bytes_max) {
    form.kind = Kind::kAutomaton;
    form.at = static_cast<uint32_t>(automata_.size());
    automata_bytes_ += automaton->bytes();
    automata_.push_back(*std::move(automaton));
    return absl::OkStatus();
  }
  added.why_re2 = automaton.ok() ? Concat("automata_bytes_max = ", limits_.automata_bytes_max,
                                          " bytes are used up by those before it")
                                 : std::string(Message(automaton.status()));
  if (re2_.size() == limits_.re2_patterns_max) {
    return ResourceExhausted(
        "pattern ", Quoted(added.text), ": no automaton within its budget (", added.why_re2,
        "), and RE2 has re2_patterns_max = ", limits_.re2_patterns_max,
        " such patterns already: write them as literals, borders or templates");
  }
  form.kind = Kind::kRe2;
  form.at = static_cast<uint32_t>(re2_.size());
  re2_.push_back(std::move(compiled));
  return absl::OkStatus();
}

bool PatternStore::MatchesInRe2(uint32_t at, std::string_view value) const {
  return re2_[at]->Match(re2::StringPiece(value.data(), value.size()), 0, value.size(),
                         RE2::ANCHOR_BOTH, nullptr, 0);
}

}  // namespace countersign::authz::engine
