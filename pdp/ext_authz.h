// Envoy's ext_authz messages to a RawRequest, and an Answer to its CheckResponse.
//
// Bytes in, bytes out: it knows nothing of gRPC. Whatever the message holds, the answer is a
// CheckResponse, because Envoy may be told to let requests through when a call fails.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "identity/spiffe_id.h"
#include "pdp/decision_point.h"

namespace countersign::pdp {

// ExtAuthzOptions says which workload is guarded. At least one way must be chosen, or everything is
// denied.
struct ExtAuthzOptions {
  std::optional<identity::SpiffeId> workload;  // All that is asked is about this one.
  // The route's or the filter's own word: context_extensions["workload"]. It is in Envoy's
  // configuration; no client can set it. If `workload` is set too, both must agree.
  bool workload_from_context = false;
};

// ExtAuthz answers checks. Safe for any thread.
class ExtAuthz {
 public:
  ExtAuthz(DecisionPoint& decisions, ExtAuthzOptions options, const PdpLimits& limits)
      : decisions_(decisions), options_(std::move(options)), limits_(limits) {}

  // Check reads an envoy.service.auth.v3.CheckRequest and gives a CheckResponse, serialized. Total.
  std::string Check(std::string_view message);

 private:
  DecisionPoint& decisions_;
  const ExtAuthzOptions options_;
  const PdpLimits limits_;
};

}  // namespace countersign::pdp
