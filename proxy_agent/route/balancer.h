// EndpointBalancer chooses where the next attempt goes: round robin over the endpoints of one
// service's port, past those that do not answer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"

namespace countersign::proxy {

// EjectionLimits says when an endpoint is passed over, and for how long.
struct EjectionLimits {
  uint32_t failures = 2;  // Consecutive: one may be a restart's last moment.
  std::chrono::nanoseconds first = std::chrono::seconds(1);
  std::chrono::nanoseconds longest = std::chrono::seconds(30);  // Doubles up to this.
};

// EndpointBalancer belongs to one worker's thread. An endpoint is named by its place in the list of
// the last Update.
class EndpointBalancer {
 public:
  explicit EndpointBalancer(std::vector<std::string> addresses, EjectionLimits limits = {});

  // Update takes a new list; what is known of an address that stays is kept.
  void Update(std::vector<std::string> addresses);

  // Next is the endpoint for an attempt: not one that this request tried already while another is
  // left, and not an ejected one while another answers. When all are ejected the one whose time
  // ends first is taken: being wrong about all of them is likelier than all being dead. Nothing
  // only if the list is empty.
  std::optional<size_t> Next(MonotonicTime now, std::span<const size_t> tried);

  // OnFailure: it could not be connected to, gave no answer in time, or broke off before one.
  void OnFailure(size_t endpoint, MonotonicTime now);
  // OnSuccess: it answered, whatever it said. To be connected to is not yet to answer.
  void OnSuccess(size_t endpoint);

  size_t size() const { return endpoints_.size(); }
  const std::string& address(size_t endpoint) const { return endpoints_[endpoint].address; }
  bool Ejected(size_t endpoint, MonotonicTime now) const {
    return endpoints_[endpoint].ejected_until > now;
  }

 private:
  struct Endpoint {
    std::string address;
    uint32_t failures = 0;  // Consecutive.
    MonotonicTime ejected_until = MonotonicTime::min();
    std::chrono::nanoseconds last_ejection = std::chrono::nanoseconds(0);
  };

  EjectionLimits limits_;
  std::vector<Endpoint> endpoints_;
  size_t turn_ = 0;
};

}  // namespace countersign::proxy
