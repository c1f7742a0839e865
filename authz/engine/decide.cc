// The decision itself: a connection's view first, then the request on it. No allocation of our own,
// no lock, no I/O. Every doubt ends in a deny.
#include "authz/engine/program.h"

namespace countersign::authz::engine {
namespace {

// A view that leaves over more boxes than this finds them by the request instead of trying each.
constexpr size_t kTriedMax = 24;

std::string_view ConnectionValue(const CanonicalRequest& request, Field field) {
  switch (field) {
    case Field::kId:
      return request.caller;
    case Field::kTrustDomain:
      return TrustDomainOf(request.caller);
    case Field::kSni:
      return request.sni;
    default:
      return {};
  }
}

// Judge evaluates boxes of one half against one request.
class Judge {
 public:
  Judge(const Program& program, const CanonicalRequest& request, ScratchState& scratch)
      : program_(program), half_(program.half(request.kind)), request_(request), scratch_(scratch) {
    if (request.kind == RequestKind::kHttp) {
      method_bit_ = MethodBit();
    }
  }

  bool ConnectionHolds(const Box& box) const { return All(box.connection_checks, false); }

  // The rest of a box whose connection checks hold, or are judged here too.
  bool RequestHolds(const Box& box, bool key_judged) const {
    if (!All(box.request_checks, key_judged)) {
      return false;
    }
    for (uint32_t i = box.exceptions.begin; i < box.exceptions.end; ++i) {
      if (All(half_.exceptions[i], false)) {
        return false;
      }
    }
    return true;
  }

  // Counts the named keys of the request.
  void ReadKeys() const {
    std::fill(scratch_.slots.begin(), scratch_.slots.end(), ScratchState::Slot{});
    CountKeys(half_.headers, request_.headers);
    CountKeys(half_.queries, request_.query);
    CountKeys(half_.claims, request_.claims);
  }

  // The value of a coordinate of the request that has an index; false if absent.
  bool RequestValue(Field field, uint16_t slot, std::string_view* value) const {
    switch (field) {
      case Field::kMethod:
        *value = request_.method;
        return !value->empty();
      case Field::kPath:
        *value = request_.path;
        return !value->empty();
      case Field::kHost:
        *value = request_.host;
        return !value->empty();
      case Field::kHeader:
      case Field::kQuery:
      case Field::kClaim: {
        const ScratchState::Slot& found = scratch_.slots[slot];
        if (found.count == 0) {
          return false;
        }
        *value = Lines(field)[found.first].value;
        return true;
      }
      default:
        *value = ConnectionValue(request_, field);
        return !value->empty();
    }
  }

 private:
  std::span<const NameValue> Lines(Field field) const {
    return field == Field::kHeader  ? request_.headers
           : field == Field::kQuery ? request_.query
                                    : request_.claims;
  }

  void CountKeys(const KeySlots& keys, std::span<const NameValue> lines) const {
    if (keys.numbers.empty()) {
      return;
    }
    for (uint32_t i = 0; i < lines.size(); ++i) {
      if (uint16_t slot = 0; keys.Find(lines[i].name, &slot)) {
        ScratchState::Slot& seen = scratch_.slots[slot];
        if (seen.count++ == 0) {
          seen.first = i;
        }
      }
    }
  }

  uint64_t MethodBit() const {
    for (size_t i = 0; i < half_.methods.size(); ++i) {
      if (half_.methods[i] == request_.method) {
        return uint64_t{1} << i;
      }
    }
    return 0;
  }

  bool All(Span checks, bool key_judged) const {
    for (uint32_t i = checks.begin; i < checks.end; ++i) {
      const Check& check = half_.checks[i];
      if (!(key_judged && check.is_key) && !Holds(check)) {
        return false;
      }
    }
    return true;
  }

  bool Holds(const Check& check) const {
    switch (check.kind) {
      case Check::Kind::kMethods:
        return request_.method.empty() ? check.on_absent : (check.methods & method_bit_) != 0;
      case Check::Kind::kIp:
        return request_.peer_ip ? half_.ips[check.predicate].Matches(*request_.peer_ip)
                                : check.on_absent;
      case Check::Kind::kPort:
        return request_.port != 0 ? half_.ports[check.predicate].Matches(request_.port)
                                  : check.on_absent;
      case Check::Kind::kAuthenticated:
        return !request_.caller.empty();
      case Check::Kind::kMesh: {
        std::string_view domain = TrustDomainOf(request_.caller);
        return !domain.empty() && domain == TrustDomainOf(request_.callee);
      }
      case Check::Kind::kText:
      case Check::Kind::kOneText:
        break;
    }
    std::string_view value;
    if (!RequestValue(check.field, check.slot, &value)) {
      bool without_token = check.field == Field::kClaim && request_.claims.empty();
      return without_token ? check.on_no_token : check.on_absent;
    }
    return check.many && scratch_.slots[check.slot].count > 1 ? ManyHold(check)
                                                              : Matches(check, value, true);
  }

  // All lines of the key, or any of them.
  bool ManyHold(const Check& check) const {
    std::span<const NameValue> lines = Lines(check.field);
    std::string_view name = lines[scratch_.slots[check.slot].first].name;
    for (uint32_t i = scratch_.slots[check.slot].first; i < lines.size(); ++i) {
      if (lines[i].name == name && Matches(check, lines[i].value, false) != check.all_values) {
        return !check.all_values;
      }
    }
    return check.all_values;
  }

  bool Matches(const Check& check, std::string_view value, bool remember) const {
    if (check.kind == Check::Kind::kOneText) {
      return MatchesOne(check, value, remember);
    }
    return half_.texts[check.predicate].Matches(value, program_.patterns, scratch_.lookup,
                                                remember);
  }

  bool MatchesOne(const Check& check, std::string_view value, bool remember) const {
    std::string_view text(half_.text.data() + check.text_at, check.text_size);
    switch (check.matcher) {
      case Matcher::Kind::kExact:
        return value == text;
      case Matcher::Kind::kUnder:
        return MatchesUnder(text, value);
      case Matcher::Kind::kPrefix:
        return value.starts_with(text);
      case Matcher::Kind::kSuffix:
        return value.ends_with(text);
      case Matcher::Kind::kTemplate:
        return MatchesTemplate(text, value);
      case Matcher::Kind::kRe2:
        return remember ? program_.patterns.Matches(check.predicate, value, scratch_.lookup.memo)
                        : program_.patterns.Matches(check.predicate, value);
      default:
        return false;
    }
  }

  const Program& program_;
  const Half& half_;
  const CanonicalRequest& request_;
  ScratchState& scratch_;
  uint64_t method_bit_ = 0;
};

bool ScopeHolds(const Group& group, const Program& program, std::string_view callee,
                LookupScratch& scratch) {
  const Matcher& scope = group.scope;
  switch (scope.kind) {
    case Matcher::Kind::kPresent:
      return true;
    case Matcher::Kind::kExact:
      return callee == scope.text;
    case Matcher::Kind::kUnder:
      return MatchesUnder(scope.text, callee);
    case Matcher::Kind::kPrefix:
      return callee.starts_with(scope.text);
    case Matcher::Kind::kSuffix:
      return callee.ends_with(scope.text);
    case Matcher::Kind::kRe2:
      return program.patterns.Matches(group.scope_pattern, callee, scratch.memo);
    default:
      return false;
  }
}

// Puts the groups that guard the callee into the view.
void FindGroups(const Program& program, const CanonicalRequest& request, ScratchState& scratch,
                ViewState& view) {
  const Half& half = program.half(request.kind);
  if (request.callee.empty()) {
    return;
  }
  auto add = [&](uint32_t number) {
    if (scratch.groups_seen.Insert(number) &&
        ScopeHolds(half.groups[number], program, request.callee, scratch.lookup)) {
      view.groups.push_back({.group = number});
    }
    return true;
  };
  scratch.groups_seen.Clear();
  half.guards.ForEach(request.callee, program.patterns, scratch.lookup, add);
  for (uint32_t number : half.guards_any) {
    add(number);
  }
}

// The boxes of a group that the connection's fields leave over, into scratch.survivors.
void FindSurvivors(const Program& program, const Group& group, const CanonicalRequest& request,
                   const Judge& judge, ScratchState& scratch) {
  const Half& half = program.half(request.kind);
  auto add = [&](uint32_t box) {
    if (scratch.boxes_seen.Insert(box) && judge.ConnectionHolds(half.boxes[box])) {
      scratch.survivors.push_back(box);
    }
    return true;
  };
  scratch.survivors.clear();
  if (!request.caller.empty()) {
    group.by_id.ForEach(request.caller, program.patterns, scratch.lookup, add);
  }
  if (std::string_view domain = TrustDomainOf(request.caller); !domain.empty()) {
    group.by_trust_domain.ForEach(domain, program.patterns, scratch.lookup, add);
  }
  if (!request.sni.empty()) {
    group.by_sni.ForEach(request.sni, program.patterns, scratch.lookup, add);
  }
  if (request.peer_ip && !group.by_ip.empty()) {
    group.by_ip.ForEach(*request.peer_ip, add);
  }
  if (request.port != 0 && !group.by_port.empty()) {
    if (auto found = group.by_port.find(request.port); found != group.by_port.end()) {
      std::for_each(found->second.begin(), found->second.end(), add);
    }
  }
}

// Tally is what some of the policies say together: a deny wins, else an allow admits.
struct Tally {
  bool ambiguous = false;
  uint32_t first_deny = kNoRule;
  uint32_t first_allow = kNoRule;
  void Count(uint32_t rule, Effect effect) {
    uint32_t& first = effect == Effect::kDeny ? first_deny : first_allow;
    first = std::min(first, rule);
  }
  bool Allows() const { return !ambiguous && first_deny == kNoRule && first_allow != kNoRule; }
};

// Verdict gathers the rules that match.
class Verdict {
 public:
  Verdict(const Program& program, int64_t now, ScratchState& scratch)
      : program_(program), now_(now), scratch_(scratch) {
    scratch_.matched.clear();
    scratch_.rules_seen.Clear();
  }

  void Guarded(const Group& group) {
    guarded_ = guarded_ || group.enforced;
    lets_unmatched_through_ = lets_unmatched_through_ || now_ < group.unmatched_until;
    for (const KeyGuard& guard : group.key_guards) {
      if (scratch_.slots[guard.slot].count > 1 && now_ < guard.until) {
        with_trials_.ambiguous = true;
        enforced_.ambiguous = enforced_.ambiguous || !guard.trial;
      }
    }
  }

  bool Wants(const Box& box) const {
    return !scratch_.rules_seen.Has(box.rule) && now_ < program_.rules[box.rule].expires;
  }
  void Matched(const Box& box) {
    scratch_.rules_seen.Insert(box.rule);
    const RuleInfo& rule = program_.rules[box.rule];
    with_trials_.Count(box.rule, rule.effect);
    if (!rule.trial) {
      enforced_.Count(box.rule, rule.effect);
      scratch_.matched.push_back(box.rule);
    }
  }

  Decision Sum() const {
    Decision decision;
    decision.would_be = with_trials_.Allows() ? Effect::kAllow : Effect::kDeny;
    if (enforced_.ambiguous) {
      decision.reason = Reason::kAmbiguousField;
      return decision;
    }
    std::sort(scratch_.matched.begin(), scratch_.matched.end());
    decision.matched = scratch_.matched;
    if (enforced_.first_deny != kNoRule) {
      decision.reason = Reason::kDenyRule;
      decision.deciding_rule = enforced_.first_deny;
    } else if (enforced_.first_allow != kNoRule) {
      decision.effect = Effect::kAllow;
      decision.reason = Reason::kAllowRule;
      decision.deciding_rule = enforced_.first_allow;
    } else if (lets_unmatched_through_) {
      decision.effect = Effect::kAllow;
      decision.reason = Reason::kUnmatchedTrial;
    } else {
      decision.reason = guarded_ ? Reason::kNoRuleMatched : Reason::kNoPolicy;
    }
    return decision;
  }

 private:
  const Program& program_;
  int64_t now_;
  ScratchState& scratch_;
  bool guarded_ = false;
  bool lets_unmatched_through_ = false;
  Tally enforced_;
  Tally with_trials_;
};

// Boxes of `indexes` that the request finds and `eligible` lets in.
template <class Eligible>
void TryByRequest(const Program& program, const std::vector<RequestIndex>& indexes,
                  const Half& half, const Judge& judge, ScratchState& scratch, Verdict& verdict,
                  Eligible eligible) {
  for (const RequestIndex& index : indexes) {
    std::string_view value;
    if (!judge.RequestValue(index.field, index.slot, &value)) {
      continue;
    }
    index.index.ForEach(value, program.patterns, scratch.lookup, [&](uint32_t number) {
      const Box& box = half.boxes[number];
      if (verdict.Wants(box) && eligible(number, box) && judge.RequestHolds(box, true)) {
        verdict.Matched(box);
      }
      return true;
    });
  }
}

}  // namespace

void BuildView(const Program& program, const CanonicalRequest& request, ScratchState& scratch,
               ViewState& view) {
  const Half& half = program.half(request.kind);
  view.program = program.id;
  view.groups.clear();
  view.boxes.clear();
  view.marked.clear();
  scratch.lookup.fault = false;
  scratch.lookup.memo.Forget();
  scratch.boxes_seen.Clear();
  FindGroups(program, request, scratch, view);
  Judge judge(program, request, scratch);
  for (ViewGroup& kept : view.groups) {
    FindSurvivors(program, half.groups[kept.group], request, judge, scratch);
    kept.boxes.begin = static_cast<uint32_t>(view.boxes.size());
    kept.by_request = scratch.survivors.size() > kTriedMax;
    if (kept.by_request && view.marked.empty()) {
      view.marked.assign(half.boxes.size() / 64 + 1, 0);
    }
    for (uint32_t box : scratch.survivors) {
      if (kept.by_request && half.has_request_index[box] != 0) {
        view.marked[box / 64] |= uint64_t{1} << (box % 64);
      } else {
        view.boxes.push_back(box);
      }
    }
    kept.boxes.end = static_cast<uint32_t>(view.boxes.size());
  }
  view.fault = scratch.lookup.fault;
}

Decision DecideOnView(const Program& program, const ViewState& view,
                      const CanonicalRequest& request, int64_t now, ScratchState& scratch) {
  const Half& half = program.half(request.kind);
  Judge judge(program, request, scratch);
  if (half.slots != 0) {
    judge.ReadKeys();
  }
  Verdict verdict(program, now, scratch);
  for (const ViewGroup& kept : view.groups) {
    const Group& group = half.groups[kept.group];
    verdict.Guarded(group);
    for (uint32_t i = kept.boxes.begin; i < kept.boxes.end; ++i) {
      const Box& box = half.boxes[view.boxes[i]];
      if (verdict.Wants(box) && judge.RequestHolds(box, false)) {
        verdict.Matched(box);
      }
    }
    if (kept.by_request) {
      TryByRequest(program, group.kept_by_request, half, judge, scratch, verdict,
                   [&](uint32_t number, const Box&) {
                     return (view.marked[number / 64] >> (number % 64) & 1) != 0;
                   });
    }
    TryByRequest(program, group.free_by_request, half, judge, scratch, verdict,
                 [&](uint32_t, const Box& box) { return judge.ConnectionHolds(box); });
    for (uint32_t number : group.free_plain) {
      const Box& box = half.boxes[number];
      if (verdict.Wants(box) && judge.ConnectionHolds(box) && judge.RequestHolds(box, false)) {
        verdict.Matched(box);
      }
    }
  }
  if (view.fault || scratch.lookup.fault) {
    return Decision();  // engine_fault: nothing that was found can be trusted.
  }
  return verdict.Sum();
}

void NameConnection(const Program& program, const CanonicalRequest& request, ViewState& view) {
  view.program = program.id;
  view.kind = request.kind;
  view.callee = request.callee;
  view.caller = request.caller;
  view.sni = request.sni;
  view.peer_ip = request.peer_ip;
  view.port = request.port;
}

bool IsOf(const ViewState& view, const Program& program, const CanonicalRequest& request) {
  return view.program == program.id && !view.fault && view.kind == request.kind &&
         view.port == request.port && view.peer_ip == request.peer_ip &&
         view.callee == request.callee && view.caller == request.caller && view.sni == request.sni;
}

}  // namespace countersign::authz::engine
