#include "authz/engine/compile.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace countersign::authz::engine {
namespace {

// A connection's field that leaves more boxes over than this is worth less than the request's.
constexpr size_t kConnectionBoxesGood = 64;
constexpr size_t kMethodsMax = 64;
// Conditions of one box, exceptions with them; they are counted in 16 bits.
constexpr size_t kChecksMax = 60'000;

bool AllIndexable(const Condition& condition) {
  return std::all_of(condition.any_of.begin(), condition.any_of.end(), [](const Matcher& matcher) {
    return matcher.kind != Matcher::Kind::kPresent && matcher.kind != Matcher::Kind::kAbsent;
  });
}

bool IsConnectionField(Field field) { return field <= Field::kSni; }

// Which field is likely to tell boxes apart best; lower is better.
int ConnectionRank(Field field) {
  switch (field) {
    case Field::kId:
      return 0;
    case Field::kPeerIp:
      return 1;
    case Field::kSni:
      return 2;
    case Field::kTrustDomain:
      return 3;
    default:
      return 4;
  }
}

int RequestRank(Field field) {
  switch (field) {
    case Field::kPath:
      return 0;
    case Field::kHost:
      return 1;
    case Field::kHeader:
      return 2;
    default:
      return 3;
  }
}

// Keys are any text: with its length none looks like another one and what follows it.
std::string CoordinateOf(const Condition& condition) {
  return Concat(FieldName(condition.field), ":", condition.key.size(), ":", condition.key);
}

bool Has(const Condition& condition, Matcher::Kind kind) {
  return std::any_of(condition.any_of.begin(), condition.any_of.end(),
                     [kind](const Matcher& matcher) { return matcher.kind == kind; });
}

// Several values of a claim are one list; a key of the others occurs once unless it says `many`.
bool HasManyValues(const Condition& condition) {
  return condition.many || condition.field == Field::kClaim;
}

// Whether some predicate of the condition is about the value and not about its presence.
bool AsksForValue(const Condition& condition) {
  return std::any_of(condition.any_of.begin(), condition.any_of.end(), [](const Matcher& matcher) {
    return matcher.kind != Matcher::Kind::kPresent && matcher.kind != Matcher::Kind::kAbsent;
  });
}

int64_t Nanoseconds(WallTime time) { return time.time_since_epoch().count(); }

}  // namespace

Status HalfCompiler::AddPolicy(const PolicySet& set, const AccessPolicy& policy,
                               uint32_t first_rule) {
  ASSIGN_OR_RETURN(uint32_t group_number, GroupFor(set, policy));
  Group& group = half_.groups[group_number];
  if (!policy.dry_run) {
    group.enforced = true;
    if (policy.unmatched_dry_run_until) {
      group.unmatched_until =
          std::max(group.unmatched_until, Nanoseconds(*policy.unmatched_dry_run_until));
    }
  }
  for (size_t i = 0; i < policy.rules.size(); ++i) {
    const Rule& rule = policy.rules[i];
    if (kind_ == RequestKind::kHttp) {
      GuardKeys(group, rule, policy.dry_run);
    }
    StatusOr<std::vector<LoweredBox>> boxes = LowerRule(rule, kind_, limits_);
    if (!boxes.ok()) {
      return Annotate(boxes.status(), rule.name);
    }
    for (LoweredBox& box : *boxes) {
      StagedBox& staged = staged_.emplace_back();
      staged.box = static_cast<uint32_t>(box_rules_.size());
      staged.group = group_number;
      staged.subject = box.subject;
      staged.lowered = std::move(box);
      ChooseKeys(staged);
      box_rules_.push_back({.rule = first_rule + static_cast<uint32_t>(i),
                            .effect = rule.effect,
                            .trial = policy.dry_run,
                            .expires = rule.expires ? Nanoseconds(*rule.expires) : kNever,
                            .alone = boxes->size() == 1});
    }
    if (box_rules_.size() > limits_.boxes_max) {
      return ResourceExhausted("more than boxes_max = ", limits_.boxes_max, " boxes");
    }
  }
  return absl::OkStatus();
}

StatusOr<uint32_t> HalfCompiler::GroupFor(const PolicySet& set, const AccessPolicy& policy) {
  std::string key = Concat(PredicateKey({set.scope}), policy.applies_to_all ? "*" : "=",
                           PredicateKey(policy.applies_to));
  auto number = static_cast<uint32_t>(half_.groups.size());
  auto [place, fresh] = groups_.try_emplace(std::move(key), number);
  if (!fresh) {
    return place->second;
  }
  Group& group = half_.groups.emplace_back();
  group.scope = set.scope;
  const std::vector<Matcher> only_scope = {set.scope};
  for (const Matcher& matcher : policy.applies_to_all ? only_scope : policy.applies_to) {
    uint32_t judged = policy.applies_to_all ? Half::kScopeHolds : 0;
    if (matcher.kind == Matcher::Kind::kExact) {
      std::optional<bool> holds = MatchesPlainly(set.scope, matcher.text);
      if (holds == false) {
        continue;
      }
      judged = holds ? Half::kScopeHolds : judged;
    }
    uint32_t payload = number * 2 + judged;
    if (matcher.kind == Matcher::Kind::kPresent) {
      half_.guards_any.push_back(payload);
    } else if (StringIndex::Indexable(matcher)) {
      RETURN_IF_ERROR(half_.guards.Add(matcher, "callee:", patterns_, payload));
    }
  }
  if (set.scope.kind == Matcher::Kind::kRe2) {
    ASSIGN_OR_RETURN(group.scope_pattern, patterns_.Add("callee:", set.scope.text));
  }
  return number;
}

void HalfCompiler::GuardKeys(Group& group, const Rule& rule, bool trial) {
  int64_t until = rule.expires ? Nanoseconds(*rule.expires) : kNever;
  for (const std::vector<Entry>* entries : {&rule.from, &rule.to}) {
    for (const Entry& entry : *entries) {
      GuardKeys(group, entry.all_of, trial, until);
      for (const std::vector<Condition>& exception : entry.except) {
        GuardKeys(group, exception, trial, until);
      }
    }
  }
  GuardKeys(group, rule.when, trial, until);
}

void HalfCompiler::GuardKeys(Group& group, const std::vector<Condition>& conditions, bool trial,
                             int64_t until) {
  for (const Condition& condition : conditions) {
    if ((condition.field != Field::kHeader && condition.field != Field::kQuery) || condition.many) {
      continue;
    }
    uint16_t slot = SlotFor(condition);
    auto same = [&](const KeyGuard& guard) { return guard.slot == slot && guard.trial == trial; };
    auto known = std::find_if(group.key_guards.begin(), group.key_guards.end(), same);
    if (known == group.key_guards.end()) {
      group.key_guards.push_back({.slot = slot, .trial = trial, .until = until});
    } else {
      known->until = std::max(known->until, until);
    }
  }
}

uint16_t HalfCompiler::SlotFor(const Condition& condition) {
  KeySlots& keys = condition.field == Field::kHeader  ? half_.headers
                   : condition.field == Field::kQuery ? half_.queries
                                                      : half_.claims;
  auto [place, fresh] = keys.numbers.try_emplace(condition.key, half_.slots);
  if (fresh) {
    ++half_.slots;
  }
  return place->second;
}

void HalfCompiler::ChooseKeys(StagedBox& staged) const {
  const std::vector<Condition>& conditions = staged.lowered.all_of;
  for (size_t i = 0; i < conditions.size(); ++i) {
    const Condition& condition = conditions[i];
    if (!AllIndexable(condition) || condition.field == Field::kMethod || HasManyValues(condition)) {
      continue;
    }
    bool connection = IsConnectionField(condition.field);
    int& key = connection ? staged.connection_key : staged.request_key;
    auto rank = connection ? ConnectionRank : RequestRank;
    if (key < 0 || rank(condition.field) < rank(conditions[static_cast<size_t>(key)].field)) {
      key = static_cast<int>(i);
    }
  }
  auto name = [&](int key) {
    const Condition& condition = conditions[static_cast<size_t>(key)];
    return Concat(staged.group, "/", CoordinateOf(condition), "/", PredicateKey(condition.any_of));
  };
  staged.connection_predicate = staged.connection_key < 0 ? "" : name(staged.connection_key);
  staged.request_predicate = staged.request_key < 0 ? "" : name(staged.request_key);
}

Status HalfCompiler::Finish() {
  std::unordered_map<std::string_view, size_t> sharing;
  for (const StagedBox& staged : staged_) {
    ++sharing[staged.connection_predicate];
    ++sharing[staged.request_predicate];
  }
  half_.has_request_index.assign(box_rules_.size(), 0);
  half_.places.reserve(box_rules_.size());
  for (const StagedBox& staged : staged_) {
    bool connection = staged.connection_key >= 0;
    if (connection && staged.request_key >= 0) {
      size_t alike = sharing[staged.connection_predicate];
      connection = alike <= kConnectionBoxesGood || alike <= sharing[staged.request_predicate];
    }
    RETURN_IF_ERROR(PlaceBox(staged, connection));
  }
  staged_.clear();
  half_.records.shrink_to_fit();
  half_.headers.Freeze();
  half_.queries.Freeze();
  half_.claims.Freeze();
  RETURN_IF_ERROR(half_.guards.Build(patterns_));
  for (Group& group : half_.groups) {
    RETURN_IF_ERROR(FinishGroup(group));
  }
  return absl::OkStatus();
}

Status HalfCompiler::FinishGroup(Group& group) {
  for (StringIndex* index : {&group.by_id, &group.by_trust_domain, &group.by_sni}) {
    RETURN_IF_ERROR(index->Build(patterns_));
  }
  for (auto* indexes : {&group.kept_by_request, &group.free_by_request}) {
    for (RequestIndex& index : *indexes) {
      RETURN_IF_ERROR(index.index.Build(patterns_));
    }
  }
  return absl::OkStatus();
}

Status HalfCompiler::PlaceBox(const StagedBox& staged, bool found_by_connection) {
  Group& group = half_.groups[staged.group];
  const std::vector<Condition>& conditions = staged.lowered.all_of;
  const Condition* connection_key =
      found_by_connection ? &conditions[static_cast<size_t>(staged.connection_key)] : nullptr;
  const Condition* request_key =
      staged.request_key >= 0 ? &conditions[static_cast<size_t>(staged.request_key)] : nullptr;
  if (connection_key != nullptr) {
    RETURN_IF_ERROR(FileByConnection(group, *connection_key, staged.box));
  }
  if (request_key != nullptr) {
    auto& indexes = connection_key != nullptr ? group.kept_by_request : group.free_by_request;
    RETURN_IF_ERROR(FileByRequest(indexes, *request_key, staged.box));
    half_.has_request_index[staged.box] = 1;
  } else if (connection_key == nullptr) {
    group.free_plain.push_back(staged.box);
  }
  std::vector<const Condition*> of_connection;
  std::vector<const Condition*> of_request;
  for (const Condition& condition : conditions) {
    if (&condition == connection_key) {
      continue;  // Whatever finds the box by its connection has judged this one.
    }
    (IsConnectionField(condition.field) ? of_connection : of_request).push_back(&condition);
  }
  const BoxRule& rule = box_rules_[staged.box];
  Record record;
  record.box = {.methods = ~uint64_t{0},
                .expires = rule.expires,
                .rule = rule.rule,
                .trial = rule.trial,
                .effect = rule.effect,
                .alone = rule.alone};
  RETURN_IF_ERROR(
      AddChecks(of_connection, {.subject = staged.subject, .effect = rule.effect}, record));
  record.box.connection_checks = static_cast<uint16_t>(record.checks.size());
  RETURN_IF_ERROR(AddChecks(of_request, {.effect = rule.effect, .key = request_key}, record));
  record.box.request_checks =
      static_cast<uint16_t>(record.checks.size() - record.box.connection_checks);
  size_t before = record.checks.size();
  RETURN_IF_ERROR(AddExceptions(staged.lowered, rule.effect, record));
  record.box.exception_checks = static_cast<uint16_t>(record.checks.size() - before);
  if (record.checks.size() > kChecksMax) {
    return ResourceExhausted("a box of more than ", kChecksMax, " conditions");
  }
  Write(record);
  return absl::OkStatus();
}

// Records stand in the order of their boxes.
void HalfCompiler::Write(Record& record) {
  size_t texts_at = sizeof(Box) + record.checks.size() * sizeof(Check);
  for (Check& check : record.checks) {
    check.text_at += static_cast<uint32_t>(texts_at);
  }
  size_t at = half_.records.size();
  half_.places.push_back(static_cast<uint32_t>(at));
  half_.records.resize(at + (texts_at + record.text.size() + 7) / 8);
  char* bytes = reinterpret_cast<char*>(half_.records.data() + at);
  std::memcpy(bytes, &record.box, sizeof(Box));
  if (!record.checks.empty()) {
    std::memcpy(bytes + sizeof(Box), record.checks.data(), record.checks.size() * sizeof(Check));
  }
  record.text.copy(bytes + texts_at, record.text.size());
}

Status HalfCompiler::FileByConnection(Group& group, const Condition& condition, uint32_t box) {
  for (const Matcher& matcher : condition.any_of) {
    if (condition.field == Field::kPeerIp) {
      group.by_ip.Add(matcher.range, box);
    } else if (condition.field == Field::kPort) {
      group.by_port[matcher.port].push_back(box);
    } else {
      StringIndex& index = condition.field == Field::kId            ? group.by_id
                           : condition.field == Field::kTrustDomain ? group.by_trust_domain
                                                                    : group.by_sni;
      RETURN_IF_ERROR(index.Add(matcher, CoordinateOf(condition), patterns_, box));
    }
  }
  return absl::OkStatus();
}

Status HalfCompiler::FileByRequest(std::vector<RequestIndex>& indexes, const Condition& condition,
                                   uint32_t box) {
  bool keyed = condition.field == Field::kHeader || condition.field == Field::kQuery;
  uint16_t slot = keyed ? SlotFor(condition) : uint16_t{0};
  auto same = [&](const RequestIndex& index) {
    return index.field == condition.field && index.slot == slot;
  };
  auto index = std::find_if(indexes.begin(), indexes.end(), same);
  if (index == indexes.end()) {
    index = indexes.insert(indexes.end(), RequestIndex());
    index->field = condition.field;
    index->slot = slot;
  }
  for (const Matcher& matcher : condition.any_of) {
    RETURN_IF_ERROR(index->index.Add(matcher, CoordinateOf(condition), patterns_, box));
  }
  return absl::OkStatus();
}

Status HalfCompiler::AddChecks(const std::vector<const Condition*>& conditions,
                               const CheckOptions& options, Record& record) {
  if (options.subject == Subject::kMesh) {
    record.checks.emplace_back().kind = Check::Kind::kMesh;
  } else if (options.subject == Subject::kAuthenticated) {
    record.checks.emplace_back().kind = Check::Kind::kAuthenticated;
  }
  for (const Condition* condition : conditions) {
    uint64_t methods = 0;
    if (condition->field == Field::kMethod && MethodMask(*condition, &methods)) {
      record.box.asks_method = true;
      record.box.methods &= methods;
      continue;
    }
    ASSIGN_OR_RETURN(Check check, MakeCheck(*condition, record));
    // No predicate is true of an absent value but the one that asks for absence.
    check.on_absent = Has(*condition, Matcher::Kind::kAbsent);
    check.on_no_token = check.on_absent && options.effect == Effect::kDeny;
    check.all_values = options.effect == Effect::kAllow && condition->field != Field::kClaim;
    check.is_key = condition == options.key;
    record.checks.push_back(check);
  }
  return absl::OkStatus();
}

Status HalfCompiler::AddExceptions(const LoweredBox& box, Effect effect, Record& record) {
  for (const std::vector<Condition>& exception : box.except) {
    for (const Condition& condition : exception) {
      ASSIGN_OR_RETURN(Check check, MakeCheck(condition, record));
      // What cannot be judged excludes from an allow and saves nobody from a deny.
      check.on_absent = Has(condition, Matcher::Kind::kAbsent) ||
                        (effect == Effect::kAllow && AsksForValue(condition));
      check.on_no_token = check.on_absent && effect == Effect::kAllow;
      check.all_values = effect == Effect::kDeny && condition.field != Field::kClaim;
      record.checks.push_back(check);
    }
    record.checks.back().ends = true;
  }
  return absl::OkStatus();
}

StatusOr<Check> HalfCompiler::MakeCheck(const Condition& condition, Record& record) {
  Check check;
  check.field = condition.field;
  check.many = HasManyValues(condition);
  uint64_t methods = 0;
  if (IsKeyed(condition.field)) {
    check.slot = SlotFor(condition);
  }
  if (condition.field == Field::kPeerIp) {
    check.kind = Check::Kind::kIp;
    check.predicate = static_cast<uint32_t>(half_.ips.size());
    half_.ips.emplace_back(condition.any_of);
  } else if (condition.field == Field::kPort) {
    check.kind = Check::Kind::kPort;
    check.predicate = static_cast<uint32_t>(half_.ports.size());
    half_.ports.emplace_back(condition.any_of);
  } else if (condition.field == Field::kMethod && MethodMask(condition, &methods)) {
    check.kind = Check::Kind::kMethods;
    check.predicate = static_cast<uint32_t>(half_.method_masks.size());
    half_.method_masks.push_back(methods);
  } else if (condition.any_of.size() == 1 && StringIndex::Indexable(condition.any_of[0])) {
    const Matcher& matcher = condition.any_of[0];
    check.kind = Check::Kind::kOneText;
    check.matcher = matcher.kind;
    if (matcher.kind == Matcher::Kind::kRe2) {
      ASSIGN_OR_RETURN(check.predicate, patterns_.Add(CoordinateOf(condition), matcher.text));
    } else {
      check.text_at = static_cast<uint32_t>(record.text.size());
      check.text_size = static_cast<uint32_t>(matcher.text.size());
      record.text.append(matcher.text);
    }
  } else {
    ASSIGN_OR_RETURN(check.predicate, TextPredicateFor(condition));
  }
  return check;
}

StatusOr<uint32_t> HalfCompiler::TextPredicateFor(const Condition& condition) {
  std::string key = Concat(CoordinateOf(condition), "/", PredicateKey(condition.any_of));
  auto [place, fresh] =
      texts_.try_emplace(std::move(key), static_cast<uint32_t>(half_.texts.size()));
  if (fresh) {
    ASSIGN_OR_RETURN(TextPredicate predicate,
                     TextPredicate::Create(condition.any_of, CoordinateOf(condition), patterns_));
    half_.texts.push_back(std::move(predicate));
  }
  return place->second;
}

bool HalfCompiler::MethodMask(const Condition& condition, uint64_t* mask) {
  std::vector<std::string>& methods = half_.methods;
  uint64_t bits = 0;
  for (const Matcher& matcher : condition.any_of) {
    if (matcher.kind != Matcher::Kind::kExact) {
      return false;
    }
    auto known = std::find(methods.begin(), methods.end(), matcher.text);
    if (known == methods.end()) {
      if (methods.size() == kMethodsMax) {
        return false;
      }
      known = methods.insert(methods.end(), matcher.text);
      half_.method_words.push_back(Half::MethodWord(matcher.text));
    }
    bits |= uint64_t{1} << (known - methods.begin());
  }
  *mask = bits;
  return true;
}

}  // namespace countersign::authz::engine
