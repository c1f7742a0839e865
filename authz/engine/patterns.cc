#include "authz/engine/patterns.h"

namespace countersign::authz::engine {

StatusOr<uint32_t> PatternStore::Add(const std::string& coordinate, const std::string& pattern) {
  std::string key = Concat(coordinate.size(), ":", coordinate, pattern);
  if (auto found = numbers_.find(key); found != numbers_.end()) {
    return found->second;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<const RE2> compiled, CompilePattern(pattern, limits_));
  auto number = static_cast<uint32_t>(patterns_.size());
  Pattern& added = patterns_.emplace_back();
  added.text = pattern;
  added.simple = SimplePattern::Parse(pattern);
  if (added.simple) {
    added.prefixes = added.simple->Prefixes();
  } else {
    added.prefixes = {RequiredPrefix(*compiled)};
    added.compiled = std::move(compiled);
  }
  numbers_.emplace(std::move(key), number);
  return number;
}

}  // namespace countersign::authz::engine
