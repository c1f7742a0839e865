// Decision: a verdict with its evidence, made once and used by enforcement, log, metrics and
// explain.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/model/field.h"
#include "authz/model/policy.h"

namespace countersign::authz {

// Reason says why. The audit log stores the number: never renumber.
enum class Reason : uint8_t {
  kNoPolicy = 0,       // No policy guards the workload.
  kNoRuleMatched = 1,  // Policies guard it, no allow rule matched.
  kDenyRule = 2,
  kAllowRule = 3,
  kUnmatchedTrial = 4,  // Let through by `unmatched: {dryRun: true}`, loudly.
  kAmbiguousField = 5,  // A named header or query key occurs more than once: 400.
  kEngineFault = 6,     // A budget or internal fault while judging.
  kProbe = 7,           // Health probe exempted by the Service's exact path.
  kLocalCaller = 8,     // Outbound: admitted by uid and reach.
  kLocalCallerRefused = 9,
  kNotReady = 10,  // Identity, bundle or policy missing or expired.
};
std::string_view ReasonName(Reason reason);  // "no_policy", "deny_rule", ...

inline constexpr uint32_t kNoRule = 0xffffffff;

// NearestMiss is, for a deny, the allow rule that came closest and the first field in which it
// failed (order: id, trustDomain, peerIp, port, sni, protocol, methods, path, host, headers,
// query).
struct NearestMiss {
  uint32_t rule = kNoRule;
  Field field = Field::kId;
  std::string_view key;  // Borrowed from the policy.
};

// Decision is plain data. Rule numbers are of the CompiledPolicy that made it; matched borrows the
// DecisionScratch it was made with and is valid until that scratch's next use.
struct Decision {
  Effect effect = Effect::kDeny;
  Reason reason = Reason::kEngineFault;
  uint32_t deciding_rule = kNoRule;
  std::span<const uint32_t> matched;  // All matched rules of enforced policies, ascending.
  // What trial (dryRun) policies together with the enforced ones would have said.
  Effect would_be = Effect::kDeny;
};

}  // namespace countersign::authz
