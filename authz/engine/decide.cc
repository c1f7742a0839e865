// The decision itself: a connection's view first, then the request on it. No allocation of our own,
// no lock, no I/O. Every doubt ends in a deny.
#include "authz/engine/judge.h"
#include "authz/engine/program.h"

namespace countersign::authz::engine {
namespace {

// A view that leaves over more boxes than this finds them by the request instead of trying each.
constexpr size_t kTriedMax = 24;

bool ScopeHolds(const Group& group, const Program& program, std::string_view callee,
                LookupScratch& scratch) {
  const Matcher& scope = group.scope;
  if (scope.kind == Matcher::Kind::kRe2) {
    return program.patterns.Matches(group.scope_pattern, callee, scratch.memo);
  }
  return MatchesPlainly(scope, callee).value_or(false);
}

// Puts the groups that guard the callee into the view.
void FindGroups(const Program& program, const CanonicalRequest& request, ScratchState& scratch) {
  const Half& half = program.half(request.kind);
  if (request.callee.empty()) {
    return;
  }
  auto add = [&](uint32_t found) {
    uint32_t number = found / 2;
    // Seen once, it has been judged: a group that scope keeps out stays out.
    if (scratch.groups_seen.Insert(number) &&
        ((found & Half::kScopeHolds) != 0 ||
         ScopeHolds(half.groups[number], program, request.callee, scratch.lookup))) {
      scratch.view_groups.push_back({.group = number});
    }
    return true;
  };
  scratch.groups_seen.Clear();
  half.guards.ForEach(request.callee, program.patterns, scratch.lookup, add);
  for (uint32_t found : half.guards_any) {
    add(found);
  }
}

// Sink takes the boxes that a connection's index finds, into scratch.view_boxes.
class Sink {
 public:
  Sink(const Half& half, const Judge& judge, ScratchState& scratch)
      : half_(half), judge_(judge), scratch_(scratch) {}
  bool operator()(uint32_t number) {
    if (scratch_.boxes_seen.Insert(number) && judge_.ConnectionHolds(half_.box(number))) {
      scratch_.view_boxes.push_back(number);
    }
    return true;
  }
  // An index is about to find this one.
  void Soon(uint32_t number) const { half_.Soon(number); }

 private:
  const Half& half_;
  const Judge& judge_;
  ScratchState& scratch_;
};

// The boxes of a group that the connection's fields leave over.
void FindSurvivors(const Program& program, const Group& group, const CanonicalRequest& request,
                   const Judge& judge, ScratchState& scratch) {
  Sink add(program.half(request.kind), judge, scratch);
  if (!request.caller.empty()) {
    group.by_id.ForEach(request.caller, program.patterns, scratch.lookup, add);
    if (!group.by_trust_domain.empty()) {
      if (std::string_view domain = TrustDomainOf(request.caller); !domain.empty()) {
        group.by_trust_domain.ForEach(domain, program.patterns, scratch.lookup, add);
      }
    }
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
  Verdict(int64_t now, ScratchState& scratch) : now_(now), scratch_(scratch) {
    scratch_.matched.clear();
    scratch_.rules_seen.Clear();
  }

  void Guarded(const Group& group, const Judge& judge) {
    guarded_ = guarded_ || group.enforced;
    lets_unmatched_through_ = lets_unmatched_through_ || now_ < group.unmatched_until;
    for (const KeyGuard& guard : group.key_guards) {
      if (judge.CountOf(guard.slot) > 1 && now_ < guard.until) {
        with_trials_.ambiguous = true;
        enforced_.ambiguous = enforced_.ambiguous || !guard.trial;
      }
    }
  }

  bool Wants(const Box& box) const {
    return now_ < box.expires && (box.alone || !scratch_.rules_seen.Has(box.rule));
  }
  void Matched(const Box& box) {
    // A box that is its rule's only one comes here twice at most by two ways to find it.
    if (!scratch_.rules_seen.Insert(box.rule)) {
      return;
    }
    with_trials_.Count(box.rule, box.effect);
    if (!box.trial) {
      enforced_.Count(box.rule, box.effect);
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
    if (scratch_.matched.size() > 1) {
      std::sort(scratch_.matched.begin(), scratch_.matched.end());
    }
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
  int64_t now_;
  ScratchState& scratch_;
  bool guarded_ = false;
  bool lets_unmatched_through_ = false;
  Tally enforced_;
  Tally with_trials_;
};

// Boxes of `indexes` that the request finds, `lets_in` lets in by number and `eligible` by what
// they are.
template <class LetsIn, class Eligible>
void TryByRequest(const Program& program, const std::vector<RequestIndex>& indexes,
                  const Half& half, const Judge& judge, ScratchState& scratch, Verdict& verdict,
                  LetsIn lets_in, Eligible eligible) {
  for (const RequestIndex& index : indexes) {
    std::string_view value;
    if (!judge.RequestValue(index.field, index.slot, &value)) {
      continue;
    }
    index.index.ForEach(value, program.patterns, scratch.lookup, [&](uint32_t number) {
      if (!lets_in(number)) {
        return true;
      }
      const Box& box = half.box(number);
      if (verdict.Wants(box) && eligible(box) && judge.RequestHolds(box, true)) {
        verdict.Matched(box);
      }
      return true;
    });
  }
}

}  // namespace

void BuildView(const Program& program, const CanonicalRequest& request, ScratchState& scratch) {
  const Half& half = program.half(request.kind);
  scratch.view_groups.clear();
  scratch.view_boxes.clear();
  scratch.view_marks.clear();
  scratch.lookup.Begin();
  scratch.boxes_seen.Clear();
  FindGroups(program, request, scratch);
  Judge judge(program, request, scratch);
  std::vector<uint32_t>& boxes = scratch.view_boxes;
  for (ViewGroup& kept : scratch.view_groups) {
    kept.boxes.begin = static_cast<uint32_t>(boxes.size());
    FindSurvivors(program, half.groups[kept.group], request, judge, scratch);
    kept.by_request = boxes.size() - kept.boxes.begin > kTriedMax;
    if (kept.by_request) {
      if (scratch.view_marks.empty()) {
        scratch.view_marks.assign(half.box_count() / 64 + 1, 0);
      }
      auto to = boxes.begin() + kept.boxes.begin;
      for (auto from = to; from != boxes.end(); ++from) {
        if (half.has_request_index[*from] != 0) {
          scratch.view_marks[*from / 64] |= uint64_t{1} << (*from % 64);
        } else {
          *to++ = *from;
        }
      }
      boxes.erase(to, boxes.end());
    }
    kept.boxes.end = static_cast<uint32_t>(boxes.size());
  }
}

Decision DecideOnView(const Program& program, const View& view, const CanonicalRequest& request,
                      int64_t now, ScratchState& scratch) {
  const Half& half = program.half(request.kind);
  Judge judge(program, request, scratch);
  judge.ReadMethod();
  Verdict verdict(now, scratch);
  for (const ViewGroup& kept : view.groups) {
    const Group& group = half.groups[kept.group];
    verdict.Guarded(group, judge);
    for (uint32_t i = kept.boxes.begin; i < kept.boxes.end; ++i) {
      const Box& box = half.box(view.boxes[i]);
      if (verdict.Wants(box) && judge.RequestHolds(box, false)) {
        verdict.Matched(box);
      }
    }
    if (kept.by_request) {
      TryByRequest(
          program, group.kept_by_request, half, judge, scratch, verdict,
          [&](uint32_t number) { return (view.marked[number / 64] >> (number % 64) & 1) != 0; },
          [](const Box&) { return true; });
    }
    TryByRequest(
        program, group.free_by_request, half, judge, scratch, verdict,
        [](uint32_t) { return true; }, [&](const Box& box) { return judge.ConnectionHolds(box); });
    for (uint32_t number : group.free_plain) {
      const Box& box = half.box(number);
      if (verdict.Wants(box) && judge.ConnectionHolds(box) && judge.RequestHolds(box, false)) {
        verdict.Matched(box);
      }
    }
  }
  if (scratch.lookup.fault) {
    return Decision();  // engine_fault: nothing that was found can be trusted.
  }
  return verdict.Sum();
}

}  // namespace countersign::authz::engine
