// Waiting counts the upstream connections of one worker that are being made: dialled, or shaking
// hands.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "proxy_agent/limits.h"

namespace countersign::proxy {

// Waiting outlives its places and belongs to one worker.
class Waiting {
 public:
  // Place is one connection's; it is given back when it goes.
  class Place {
   public:
    Place(Place&& other) noexcept : waiting_(std::exchange(other.waiting_, nullptr)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (waiting_ != nullptr) {
        --waiting_->count_;
      }
    }

   private:
    friend class Waiting;
    explicit Place(Waiting& waiting) : waiting_(&waiting) { ++waiting.count_; }
    Waiting* waiting_;
  };

  explicit Waiting(const ProxyLimits& limits) : limits_(limits) {}
  // Take is a place for one more, or nothing.
  std::optional<Place> Take() {
    return count_ < limits_.waiting_max ? std::optional<Place>(Place(*this)) : std::nullopt;
  }

 private:
  const ProxyLimits& limits_;
  size_t count_ = 0;
};

}  // namespace countersign::proxy
