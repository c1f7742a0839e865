#include "authz/engine/lower.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "authz/engine/regex.h"

namespace countersign::authz::engine {
namespace {

enum class Constant { kFalse, kTrue, kDepends };

std::string MatcherKey(const Matcher& matcher) {
  std::string key(1, static_cast<char>('a' + static_cast<int>(matcher.kind)));
  key.append(Concat(matcher.text.size(), ":", matcher.text, "/", matcher.port, "/"));
  key.append(reinterpret_cast<const char*>(matcher.range.address.data()), 16);
  key.push_back(static_cast<char>(matcher.range.prefix_bits));
  return key;
}

std::string CoordinateKey(const Condition& condition) {
  return Concat(static_cast<unsigned>(condition.field), "/", condition.key.size(), ":",
                condition.key, condition.many ? "*" : ".");
}

StatusOr<bool> MatchesWord(const Matcher& matcher, std::string_view word) {
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
    case Matcher::Kind::kUnder:  // No word of the protocol has a border.
      return word == matcher.text;
    case Matcher::Kind::kPrefix:
      return word.starts_with(matcher.text);
    case Matcher::Kind::kSuffix:
      return word.ends_with(matcher.text);
    case Matcher::Kind::kRe2: {
      ASSIGN_OR_RETURN(auto pattern, CompilePattern(matcher.text, EngineLimits()));
      return RE2::FullMatch(re2::StringPiece(word.data(), word.size()), *pattern);
    }
    default:
      return matcher.kind == Matcher::Kind::kPresent;
  }
}

StatusOr<Constant> JudgeProtocol(const Condition& condition, RequestKind kind) {
  for (const Matcher& matcher : condition.any_of) {
    ASSIGN_OR_RETURN(bool matches,
                     MatchesWord(matcher, kind == RequestKind::kHttp ? "http" : "tcp"));
    if (matches) {
      return Constant::kTrue;
    }
  }
  return Constant::kFalse;
}

// Keeps of `conditions` what depends on the request; kFalse if they can never all hold.
StatusOr<Constant> LowerConditions(std::vector<Condition>& conditions, RequestKind kind,
                                   Effect effect) {
  std::vector<Condition> kept;
  for (Condition& condition : conditions) {
    if (condition.field == Field::kProtocol) {
      ASSIGN_OR_RETURN(Constant constant, JudgeProtocol(condition, kind));
      if (constant == Constant::kFalse) {
        return constant;
      }
    } else if (kind == RequestKind::kTcp && IsHttpOnly(condition.field)) {
      if (effect == Effect::kAllow) {
        return Constant::kFalse;
      }
    } else {
      kept.push_back(std::move(condition));
    }
  }
  std::stable_sort(kept.begin(), kept.end(), [](const Condition& a, const Condition& b) {
    return std::tie(a.field, a.key) < std::tie(b.field, b.key);
  });
  conditions = std::move(kept);
  return conditions.empty() ? Constant::kTrue : Constant::kDepends;
}

// What an exception comes to; kTrue: nothing of its entry is left.
StatusOr<Constant> LowerException(std::vector<Condition>& exception, RequestKind kind,
                                  Effect effect) {
  bool http_only = std::any_of(exception.begin(), exception.end(),
                               [](const Condition& c) { return IsHttpOnly(c.field); });
  if (kind == RequestKind::kTcp && http_only) {
    return effect == Effect::kAllow ? Constant::kTrue : Constant::kFalse;
  }
  return LowerConditions(exception, kind, effect);
}

// Nothing if the entry can never match.
StatusOr<std::optional<Entry>> LowerEntry(Entry entry, RequestKind kind, Effect effect) {
  ASSIGN_OR_RETURN(Constant constant, LowerConditions(entry.all_of, kind, effect));
  if (constant == Constant::kFalse) {
    return std::nullopt;
  }
  std::vector<std::vector<Condition>> kept;
  for (std::vector<Condition>& exception : entry.except) {
    ASSIGN_OR_RETURN(Constant excepted, LowerException(exception, kind, effect));
    if (excepted == Constant::kTrue) {
      return std::nullopt;
    }
    if (excepted == Constant::kDepends) {
      kept.push_back(std::move(exception));
    }
  }
  entry.except = std::move(kept);
  return entry;
}

void AddMatchers(std::vector<Matcher>& to, const std::vector<Matcher>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// With an AND over all values of a `many` key, a union of conditions is not a condition on the
// union: such entries stay apart.
bool MayMerge(const Condition& condition) { return !condition.many; }

// Merges entries that are equal but for the matchers of their condition number `at`.
void MergeAt(std::vector<Entry>& entries, size_t at) {
  std::map<std::string, size_t> first;
  std::vector<Entry> kept;
  for (Entry& entry : entries) {
    if (!entry.except.empty() || at >= entry.all_of.size() || !MayMerge(entry.all_of[at])) {
      kept.push_back(std::move(entry));
      continue;
    }
    std::string signature;
    for (size_t i = 0; i < entry.all_of.size(); ++i) {
      signature.append(CoordinateKey(entry.all_of[i]));
      signature.append(i == at ? "?" : PredicateKey(entry.all_of[i].any_of));
    }
    auto [place, fresh] = first.try_emplace(std::move(signature), kept.size());
    if (fresh) {
      kept.push_back(std::move(entry));
    } else {
      AddMatchers(kept[place->second].all_of[at].any_of, entry.all_of[at].any_of);
    }
  }
  entries = std::move(kept);
}

void MergeEntries(std::vector<Entry>& entries) {
  size_t before = 0;
  do {
    before = entries.size();
    size_t conditions_max = 0;
    for (const Entry& entry : entries) {
      conditions_max = std::max(conditions_max, entry.all_of.size());
    }
    for (size_t at = 0; at < conditions_max; ++at) {
      MergeAt(entries, at);
    }
  } while (entries.size() < before);
}

// The lowered entries of one side of a rule. An entry without conditions left is everything.
StatusOr<std::vector<Entry>> LowerSide(const std::vector<Entry>& entries, RequestKind kind,
                                       Effect effect) {
  std::vector<Entry> lowered;
  for (const Entry& entry : entries) {
    ASSIGN_OR_RETURN(std::optional<Entry> one, LowerEntry(entry, kind, effect));
    if (one) {
      lowered.push_back(std::move(*one));
    }
  }
  MergeEntries(lowered);
  return lowered;
}

void Append(LoweredBox& box, const Entry& entry) {
  box.all_of.insert(box.all_of.end(), entry.all_of.begin(), entry.all_of.end());
  box.except.insert(box.except.end(), entry.except.begin(), entry.except.end());
}

}  // namespace

std::string PredicateKey(const std::vector<Matcher>& any_of) {
  std::vector<std::string> keys;
  keys.reserve(any_of.size());
  std::transform(any_of.begin(), any_of.end(), std::back_inserter(keys), MatcherKey);
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::string all;
  for (const std::string& key : keys) {
    all.append(key);
  }
  return all;
}

StatusOr<std::vector<LoweredBox>> LowerRule(const Rule& rule, RequestKind kind,
                                            const EngineLimits& limits) {
  std::vector<LoweredBox> boxes;
  std::vector<Condition> when = rule.when;
  ASSIGN_OR_RETURN(Constant constant, LowerConditions(when, kind, rule.effect));
  ASSIGN_OR_RETURN(std::vector<Entry> from, LowerSide(rule.from, kind, rule.effect));
  ASSIGN_OR_RETURN(std::vector<Entry> to, LowerSide(rule.to, kind, rule.effect));
  if (rule.subject != Subject::kEntries) {
    from.assign(1, Entry());
  }
  if (rule.to.empty()) {
    to.assign(1, Entry());
  }
  if (constant == Constant::kFalse) {
    return boxes;
  }
  if (from.size() * to.size() > limits.boxes_per_rule_max) {
    return ResourceExhausted("`from` and `to` multiply to ", from.size() * to.size(),
                             " boxes, more than boxes_per_rule_max = ", limits.boxes_per_rule_max,
                             "; write it as several rules");
  }
  for (const Entry& source : from) {
    for (const Entry& target : to) {
      LoweredBox& box = boxes.emplace_back();
      box.subject = rule.subject;
      Append(box, source);
      Append(box, target);
      box.all_of.insert(box.all_of.end(), when.begin(), when.end());
    }
  }
  return boxes;
}

}  // namespace countersign::authz::engine
