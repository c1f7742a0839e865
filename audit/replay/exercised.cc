#include "audit/replay/exercised.h"

#include "audit/replay/recorded_request.h"
#include "base/crypto/hash.h"

namespace countersign::audit {
namespace {

// What tells requests apart, as a digest: paths may be long.
std::string KeyOf(const authz::CanonicalRequest& request) {
  std::string text;
  auto add = [&text](std::string_view part) { text += Concat(part.size(), " ", part); };
  add(request.kind == authz::RequestKind::kHttp ? "http" : "tcp");
  for (std::string_view part :
       {request.callee, request.caller, request.sni, request.method, request.path, request.host}) {
    add(part);
  }
  add(Concat(request.port));
  if (request.peer_ip.has_value()) {
    add({reinterpret_cast<const char*>(request.peer_ip->bytes.data()),
         request.peer_ip->bytes.size()});
  }
  for (const authz::NameValue& header : request.headers) {
    add(header.name);
    add(header.value);
  }
  Sha256Digest digest = Sha256(text);
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace

StatusOr<ExercisedRegions::Side> ExercisedRegions::Compile(const authz::PolicySets& sets) {
  Side side;
  ASSIGN_OR_RETURN(side.policy, authz::CompiledPolicy::Compile(sets));
  side.scratch.Fit(*side.policy);
  return side;
}

StatusOr<ExercisedRegions> ExercisedRegions::Create(const DiffQuestion& question,
                                                    const ReplayLimits& limits) {
  ExercisedRegions regions;
  ASSIGN_OR_RETURN(regions.diff_,
                   authz::prove::DiffPolicies(question.before, question.after, question.options));
  ASSIGN_OR_RETURN(regions.before_, Compile(question.before));
  ASSIGN_OR_RETURN(regions.after_, Compile(question.after));
  regions.now_ = question.options.now;
  regions.limits_ = limits;
  regions.exercised_.resize(regions.diff_.changes.size());
  return regions;
}

void ExercisedRegions::See(const DecisionRecord& record) {
  if (diff_.changes.empty() || !complete_) {
    return;
  }
  authz::CanonicalRequest request = RequestOf(record);
  authz::Effect before = before_.policy->Decide(request, now_, before_.scratch).effect;
  authz::Effect after = after_.policy->Decide(request, now_, after_.scratch).effect;
  if (before == after) {
    return;
  }
  if (seen_.size() >= limits_.distinct_requests_max || looks_ >= limits_.looks_max) {
    complete_ = seen_.contains(KeyOf(request));
    return;
  }
  if (!seen_.insert(KeyOf(request)).second) {
    return;
  }
  for (size_t i = 0; i < diff_.changes.size(); ++i) {
    if (exercised_[i] || diff_.changes[i].newly_allowed != (after == authz::Effect::kAllow)) {
      continue;
    }
    ++looks_;
    if (authz::prove::Contains(diff_, i, request)) {
      exercised_[i] = true;
      return;  // Regions do not overlap.
    }
  }
}

}  // namespace countersign::audit
