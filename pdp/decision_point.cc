#include "pdp/decision_point.h"

#include <exception>

#include "base/crypto/random.h"

namespace countersign::pdp {
namespace {

constexpr size_t kIdBytes = 16;

std::string_view EffectName(authz::Effect effect) {
  return effect == authz::Effect::kAllow ? "allow" : "deny";
}

Answer Faulty(Fault fault, std::string_view detail) {
  return {.kind = IsBadRequest(fault) ? Answer::Kind::kBadRequest : Answer::Kind::kDeny,
          .id = RandomHex(kIdBytes),
          .reason = std::string(FaultName(fault)),
          .rule = {},
          .detail = std::string(detail)};
}

}  // namespace

std::string_view KindName(Answer::Kind kind) {
  switch (kind) {
    case Answer::Kind::kAllow:
      return "allow";
    case Answer::Kind::kBadRequest:
      return "bad_request";
    case Answer::Kind::kDeny:
      break;
  }
  return "deny";
}

std::string_view DoorName(Door door) { return door == Door::kExtAuthz ? "ext_authz" : "authzen"; }

Answer DecisionPoint::Decide(Door door, const RawRequest& raw) {
  try {
    return Judge(door, raw);
  } catch (const std::exception&) {  // No memory: nothing here throws anything else.
    return Refuse(door, Fault::kInternal, "out of memory");
  }
}

Answer DecisionPoint::Judge(Door door, const RawRequest& raw) {
  const MonotonicTime began = clock_.Monotonic();
  DecisionLog::Line line;
  const std::shared_ptr<const ActivePolicy> active = source_.Active();
  if (active == nullptr) {
    Answer answer = Faulty(Fault::kNotReady, "no policy is in force yet");
    Tell(door, answer, line, began);
    return answer;
  }
  line.caller = raw.caller;
  line.callee = raw.callee;
  line.method = raw.method;
  line.path = raw.target.substr(0, raw.target.find('?'));
  const CheckRequest request(raw, active->policy(), limits_);
  if (request.fault() != Fault::kNone) {
    Answer answer = Faulty(request.fault(), request.detail());
    Tell(door, answer, line, began);
    return answer;
  }
  ActivePolicy::Loan loan(*active);
  const authz::Decision decision =
      active->policy().Decide(request.canonical(), clock_.Now(), loan.scratch());
  Answer answer;
  answer.id = RandomHex(kIdBytes);
  answer.reason = authz::ReasonName(decision.reason);
  if (decision.deciding_rule != authz::kNoRule) {
    answer.rule = active->policy().RuleName(decision.deciding_rule);
  }
  if (decision.effect == authz::Effect::kAllow) {
    answer.kind = Answer::Kind::kAllow;
  } else if (decision.reason == authz::Reason::kAmbiguousField) {
    answer.kind = Answer::Kind::kBadRequest;
  }
  if (decision.would_be != decision.effect) {
    line.would_be = EffectName(decision.would_be);
  }
  Tell(door, answer, line, began);
  return answer;
}

Answer DecisionPoint::Refuse(Door door, Fault fault, std::string_view detail) {
  Answer answer = Faulty(fault, detail);
  Tell(door, answer, {}, clock_.Monotonic());
  return answer;
}

void DecisionPoint::Tell(Door door, const Answer& answer, DecisionLog::Line line,
                         MonotonicTime began) {
  line.id = answer.id;
  line.door = DoorName(door);
  line.effect = KindName(answer.kind);
  line.reason = answer.reason;
  line.rule = answer.rule;
  line.detail = answer.detail;
  line.allowed = answer.allowed();
  log_.Write(line);
  const auto took =
      std::chrono::duration_cast<std::chrono::microseconds>(clock_.Monotonic() - began);
  std::lock_guard lock(mutex_);
  decisions_[{door, answer.kind, answer.reason}]++;
  would_differ_ += line.would_be.empty() ? 0 : 1;
  latency_.Observe(static_cast<uint64_t>(took.count()));
}

}  // namespace countersign::pdp
