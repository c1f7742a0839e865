// WeightedSplit sends given parts of the traffic to several services.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "authz/kinds/route.h"

namespace countersign::proxy {

// WeightedSplit is immutable. Randomness comes in by parameter.
class WeightedSplit {
 public:
  // Made of a rule's `split`.
  explicit WeightedSplit(const std::vector<authz::RouteSplit>& split);

  // Pick maps 64 evenly distributed bits to a service. One of weight 0 is never picked. Without a
  // split it is empty: the service that was asked for.
  const std::string& Pick(uint64_t random_bits) const;

 private:
  struct Share {
    std::string service;
    uint64_t up_to = 0;  // Sum of the weights up to here.
  };
  std::vector<Share> shares_;
};

}  // namespace countersign::proxy
