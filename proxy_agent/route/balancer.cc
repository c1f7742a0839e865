#include "proxy_agent/route/balancer.h"

#include <algorithm>
#include <utility>

namespace countersign::proxy {

EndpointBalancer::EndpointBalancer(std::vector<std::string> addresses, EjectionLimits limits)
    : limits_(limits) {
  Update(std::move(addresses));
}

void EndpointBalancer::Update(std::vector<std::string> addresses) {
  std::vector<Endpoint> next;
  next.reserve(addresses.size());
  for (std::string& address : addresses) {
    const auto known = std::find_if(endpoints_.begin(), endpoints_.end(),
                                    [&](const Endpoint& e) { return e.address == address; });
    if (known != endpoints_.end()) {
      next.push_back(std::move(*known));
    } else {
      next.emplace_back().address = std::move(address);
    }
  }
  endpoints_ = std::move(next);
  turn_ = 0;
}

std::optional<size_t> EndpointBalancer::Next(MonotonicTime now, std::span<const size_t> tried) {
  const auto was_tried = [&](size_t i) {
    return std::find(tried.begin(), tried.end(), i) != tried.end();
  };
  // Rank of a choice: answering and untried, ejected and untried, answering, ejected.
  std::optional<size_t> best;
  int best_rank = 0;
  for (size_t step = 0; step < endpoints_.size(); ++step) {
    const size_t i = (turn_ + step) % endpoints_.size();
    const bool ejected = Ejected(i, now);
    const int rank = (was_tried(i) ? 2 : 0) + (ejected ? 1 : 0);
    const bool sooner = best && ejected && rank == best_rank &&
                        endpoints_[i].ejected_until < endpoints_[*best].ejected_until;
    if (!best || rank < best_rank || sooner) {
      best = i;
      best_rank = rank;
    }
    if (rank == 0) {
      break;
    }
  }
  if (best) {
    turn_ = (*best + 1) % endpoints_.size();
  }
  return best;
}

void EndpointBalancer::OnFailure(size_t endpoint, MonotonicTime now) {
  if (endpoint >= endpoints_.size()) {
    return;  // The list changed under an attempt.
  }
  Endpoint& e = endpoints_[endpoint];
  if (++e.failures < limits_.failures || Ejected(endpoint, now)) {
    return;
  }
  e.last_ejection = std::clamp(e.last_ejection * 2, limits_.first, limits_.longest);
  e.ejected_until = now + e.last_ejection;
}

void EndpointBalancer::OnSuccess(size_t endpoint) {
  if (endpoint < endpoints_.size()) {
    Endpoint& e = endpoints_[endpoint];
    e.failures = 0;
    e.ejected_until = MonotonicTime::min();
    e.last_ejection = std::chrono::nanoseconds(0);
  }
}

}  // namespace countersign::proxy
