#include "authz/engine/authorizer.h"

#include <algorithm>

#include "authz/engine/patterns.h"
#include "authz/engine/predicate.h"
#include "identity/local_caller.h"

namespace countersign::authz {
namespace {

Decision Deny(Reason reason) {
  Decision decision;
  decision.reason = reason;
  return decision;
}

Decision Allow(Reason reason) {
  Decision decision;
  decision.effect = Effect::kAllow;
  decision.would_be = Effect::kAllow;
  decision.reason = reason;
  return decision;
}

}  // namespace

StatusOr<Reach> Reach::Create(std::optional<uint32_t> application_uid,
                              const identity::SpiffeId& workload, std::span<const Matcher> from) {
  engine::PatternStore patterns{EngineLimits()};
  ASSIGN_OR_RETURN(engine::TextPredicate predicate,
                   engine::TextPredicate::Create({from.begin(), from.end()}, "reach", patterns));
  engine::LookupScratch scratch;
  scratch.Fit(patterns);
  bool names = predicate.Matches(workload.str(), patterns, scratch, true) && !scratch.fault;
  return Reach(application_uid, names);
}

void Authorizer::Adopt(std::shared_ptr<const CompiledPolicy> policy, const VerdictBasis& basis) {
  policy_ = std::move(policy);
  basis_ = basis;
  if (policy_ != nullptr) {
    scratch_.Fit(*policy_);
  }
}

Verdict Authorizer::AuthorizeRequest(const InboundSubject& subject, CanonicalRequest request,
                                     WallTime now, ConnectionView* view) {
  request.kind = RequestKind::kHttp;
  return Judge(subject, request, now, view);
}

Verdict Authorizer::AuthorizeConnection(const InboundSubject& subject, CanonicalRequest request,
                                        WallTime now) {
  request.kind = RequestKind::kTcp;
  request.method = request.path = request.host = {};
  request.headers = request.query = request.claims = {};
  return Judge(subject, request, now, nullptr);
}

Verdict Authorizer::Judge(const InboundSubject& subject, CanonicalRequest request, WallTime now,
                          ConnectionView* view) {
  if (policy_ == nullptr) {
    return Seal(Deny(Reason::kNotReady));
  }
  if (subject.peer() != nullptr && subject.peer()->not_after() <= now) {
    return Seal(Deny(Reason::kNotReady));  // The proof of who is asking has ended.
  }
  request.caller =
      subject.peer() != nullptr ? std::string_view(subject.peer()->id().str()) : std::string_view();
  if (view == nullptr) {
    return Seal(policy_->Decide(request, now, scratch_));
  }
  if (!view->MadeBy(*policy_)) {
    *view = policy_->ViewConnection(request, scratch_);
  }
  return Seal(policy_->Decide(*view, request, now, scratch_));
}

Verdict Authorizer::AuthorizeOutbound(const identity::LocalCaller& caller, const Reach& reach) {
  if (policy_ == nullptr) {
    return Seal(Deny(Reason::kNotReady));
  }
  bool admitted = reach.names_workload() && reach.application_uid() == caller.uid();
  return Seal(admitted ? Allow(Reason::kLocalCaller) : Deny(Reason::kLocalCallerRefused));
}

Verdict Authorizer::AuthorizeProbe(const CanonicalRequest& request,
                                   std::span<const ProbeExemption> exemptions) {
  bool exempt =
      request.kind == RequestKind::kHttp && request.method == "GET" && request.peer_ip &&
      std::any_of(exemptions.begin(), exemptions.end(), [&](const ProbeExemption& one) {
        std::vector<Matcher> from;
        for (const IpRange& range : one.from) {
          Matcher& matcher = from.emplace_back();
          matcher.kind = Matcher::Kind::kIp;
          matcher.range = range;
        }
        return one.path == request.path && engine::IpPredicate(from).Matches(*request.peer_ip);
      });
  return Seal(exempt ? Allow(Reason::kProbe) : Deny(Reason::kNoRuleMatched));
}

Verdict Authorizer::Seal(const Decision& decision) const {
  Verdict verdict{.decision = decision, .permit = std::nullopt};
  if (decision.effect == Effect::kAllow) {
    verdict.permit = Permit(basis_, decision);
  }
  return verdict;
}

}  // namespace countersign::authz
