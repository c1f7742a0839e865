#include "proxy_agent/route/weighted_split.h"

#include <algorithm>

namespace countersign::proxy {

WeightedSplit::WeightedSplit(const std::vector<authz::RouteSplit>& split) {
  uint64_t sum = 0;
  for (const authz::RouteSplit& part : split) {
    if (part.weight > 0) {
      sum += part.weight;
      shares_.push_back({.service = part.service, .up_to = sum});
    }
  }
  if (shares_.empty()) {
    shares_.push_back({.service = "", .up_to = 1});
  }
}

const std::string& WeightedSplit::Pick(uint64_t random_bits) const {
  const uint64_t point = random_bits % shares_.back().up_to;
  return std::upper_bound(shares_.begin(), shares_.end(), point,
                          [](uint64_t p, const Share& share) { return p < share.up_to; })
      ->service;
}

}  // namespace countersign::proxy
