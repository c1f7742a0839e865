// OpenID AuthZEN Authorization API 1.0 over HTTP, and what operators ask: health and metrics.
//
// docs/pdp.md has the mapping of subject, resource, action and context. It is strict: what is not
// understood is a decision of false with its reason, never ignored.
#pragma once

#include <optional>
#include <string>

#include "identity/spiffe_id.h"
#include "pdp/decision_point.h"
#include "pdp/http_server.h"

namespace countersign::pdp {

// AuthZen answers HTTP requests. Safe for any thread.
class AuthZen {
 public:
  struct Options {
    // Where callers find this decision point: "https://pdp.example". Empty: the metadata is 404.
    std::string public_url;
    // If set, resources of any other workload are refused.
    std::optional<identity::SpiffeId> workload;
  };
  AuthZen(DecisionPoint& decisions, Options options, const PdpLimits& limits)
      : decisions_(decisions), options_(std::move(options)), limits_(limits) {}

  HttpAnswer Handle(const HttpRequest& request);

 private:
  HttpAnswer Route(const HttpRequest& request);
  HttpAnswer Post(const HttpRequest& request, bool several);
  HttpAnswer Metadata() const;

  DecisionPoint& decisions_;
  const Options options_;
  const PdpLimits limits_;
};

}  // namespace countersign::pdp
