// Serves envoy.service.auth.v3.Authorization over gRPC, on a Unix socket or a TCP port.
#pragma once

#include <memory>

#include "base/status.h"
#include "pdp/ext_authz.h"
#include "pdp/listen_address.h"

namespace countersign::pdp {

// ExtAuthzService serves from Start to Stop or destruction. Checks run on gRPC's own threads, a
// fixed number, and wait for nothing.
class ExtAuthzService {
 public:
  // `checks` outlives the service.
  static StatusOr<std::unique_ptr<ExtAuthzService>> Start(const ListenAddress& address,
                                                          unsigned unix_mode, ExtAuthz& checks,
                                                          const PdpLimits& limits);
  ~ExtAuthzService();
  ExtAuthzService(const ExtAuthzService&) = delete;
  ExtAuthzService& operator=(const ExtAuthzService&) = delete;

  const ListenAddress& address() const;
  // Stop takes no more connections and lets open calls end, for PdpLimits::drain at most.
  void Stop();

 private:
  class Impl;
  explicit ExtAuthzService(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::pdp
