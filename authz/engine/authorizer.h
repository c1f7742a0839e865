// Authorizer is the only maker of permits, and a permit is the only way to forward: what passes has
// a subject and a verdict, or it does not compile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/model/decision.h"
#include "authz/model/field.h"
#include "authz/model/request.h"
#include "base/clock.h"
#include "base/status.h"
#include "identity/spiffe_id.h"
#include "identity/verified_peer.h"

namespace countersign::identity {
class LocalCaller;
}

namespace countersign::authz {

// Anonymous is a caller without identity, on a port that takes such callers.
struct Anonymous {};

// InboundSubject is who stands behind an inbound request: a verified peer, which it borrows, or
// nobody. (The outbound side's subject is identity::LocalCaller.)
class InboundSubject {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a verified peer is a subject.
  InboundSubject(const identity::VerifiedPeer& peer) : peer_(&peer) {}
  // NOLINTNEXTLINE(google-explicit-constructor): so is its absence, when it is said.
  InboundSubject(Anonymous) {}
  const identity::VerifiedPeer* peer() const { return peer_; }

 private:
  const identity::VerifiedPeer* peer_ = nullptr;
};

// VerdictBasis is what a verdict rests on. When any part changes, every verdict is judged again.
struct VerdictBasis {
  uint64_t policy = 0;
  uint64_t svid = 0;
  uint64_t bundle = 0;
  uint64_t crl = 0;
  bool operator==(const VerdictBasis&) const = default;
};

// Permit lets one attempt pass. Move-only, made by Authorizer alone from an allow; moving from it
// spends it.
class Permit {
 public:
  Permit(Permit&& other) noexcept
      : basis_(other.basis_),
        reason_(other.reason_),
        deciding_rule_(other.deciding_rule_),
        valid_(std::exchange(other.valid_, false)) {}
  Permit& operator=(Permit&& other) noexcept {
    basis_ = other.basis_;
    reason_ = other.reason_;
    deciding_rule_ = other.deciding_rule_;
    valid_ = std::exchange(other.valid_, false);
    return *this;
  }
  Permit(const Permit&) = delete;
  Permit& operator=(const Permit&) = delete;
  ~Permit() = default;

  // Stale permits, and spent ones, must not forward: the request is judged again.
  bool Stale(const VerdictBasis& current) const { return !valid_ || basis_ != current; }
  const VerdictBasis& basis() const { return basis_; }
  Reason reason() const { return reason_; }
  uint32_t deciding_rule() const { return deciding_rule_; }

 private:
  friend class Authorizer;
  Permit(const VerdictBasis& basis, const Decision& decision)
      : basis_(basis),
        reason_(decision.reason),
        deciding_rule_(decision.deciding_rule),
        valid_(true) {}
  VerdictBasis basis_;
  Reason reason_;
  uint32_t deciding_rule_;
  bool valid_;
};

// Verdict is a decision and, exactly if it is an allow, the permit that goes with it.
struct Verdict {
  Decision decision;
  std::optional<Permit> permit;
};

// Reach is one outbound door of a workload: which local uid may use it, and whether the callee's
// Service names this workload. Judged once when the configuration loads.
class Reach {
 public:
  // `application_uid` is the Registration's; without one nobody is admitted. `from` are the
  // Service's reach matchers over `workload`, this proxy's own ID.
  static StatusOr<Reach> Create(std::optional<uint32_t> application_uid,
                                const identity::SpiffeId& workload, std::span<const Matcher> from);
  std::optional<uint32_t> application_uid() const { return application_uid_; }
  bool names_workload() const { return names_workload_; }

 private:
  Reach(std::optional<uint32_t> uid, bool names) : application_uid_(uid), names_workload_(names) {}
  std::optional<uint32_t> application_uid_;
  bool names_workload_;
};

// ProbeExemption is a health probe that a Service's port answers without policy: GET, exactly this
// canonical path, from these addresses (none listed: from nowhere).
struct ProbeExemption {
  std::string path;
  std::vector<IpRange> from;
};

// Authorizer judges for one worker thread, to which it belongs.
class Authorizer {
 public:
  Authorizer() = default;

  // Adopt takes the policy and the basis of all verdicts from now on. A null policy is "not ready":
  // everything is denied. It allocates; call it between event batches.
  void Adopt(std::shared_ptr<const CompiledPolicy> policy, const VerdictBasis& basis);
  const VerdictBasis& basis() const { return basis_; }
  const CompiledPolicy* policy() const { return policy_.get(); }

  // AuthorizeRequest judges an inbound HTTP request. The caller is the subject's, whatever
  // request.caller says. `view` is the connection's, made or renewed here when it is not of the
  // current policy; null judges in full.
  Verdict AuthorizeRequest(const InboundSubject& subject, CanonicalRequest request, WallTime now,
                           ConnectionView* view = nullptr);
  // AuthorizeConnection judges an inbound TCP connection; HTTP fields of `request` are dropped.
  Verdict AuthorizeConnection(const InboundSubject& subject, CanonicalRequest request,
                              WallTime now);
  // AuthorizeOutbound admits the application's own uid to a door that reaches this workload.
  Verdict AuthorizeOutbound(const identity::LocalCaller& caller, const Reach& reach);
  // AuthorizeProbe admits an exempt probe; everything else is denied with no_rule_matched.
  Verdict AuthorizeProbe(const CanonicalRequest& request,
                         std::span<const ProbeExemption> exemptions);

 private:
  Verdict Judge(const InboundSubject& subject, CanonicalRequest request, WallTime now,
                ConnectionView* view);
  Verdict Seal(const Decision& decision) const;
  std::shared_ptr<const CompiledPolicy> policy_;
  VerdictBasis basis_;
  DecisionScratch scratch_;
};

}  // namespace countersign::authz
