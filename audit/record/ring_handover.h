// RingHandover gives the rings of a proxy to the node's agent, and gives them again whenever the
// agent comes back, for ever. The rings stay with the proxy, so nothing in them is lost meanwhile.
//
// One connection to the agent's audit socket; one message a ring (`countersign-ring/1 NAME` with
// the memfd and the eventfd), answered by one line, `ok` or `refused: WHY`. The connection then
// stays open: its end is how each side learns that the other one is gone.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/ring.h"
#include "base/status.h"

namespace countersign::audit {

inline constexpr std::string_view kHandoverGreeting = "countersign-ring/1 ";

// RingHandover runs a thread of its own until it goes. Safe for any thread.
class RingHandover {
 public:
  struct Options {
    std::string socket_path;  // The agent's audit socket.
    std::chrono::milliseconds retry_first{50};
    std::chrono::milliseconds retry_max{2000};      // The agent comes back within seconds.
    std::chrono::milliseconds answer_within{5000};  // An agent that does not answer is left.
  };
  struct Ring {
    const RingWriter* writer = nullptr;  // Used during Start only: the descriptors are duplicated.
    std::string name;
  };
  static StatusOr<std::unique_ptr<RingHandover>> Start(const Options& options,
                                                       const std::vector<Ring>& rings);
  ~RingHandover();
  RingHandover(const RingHandover&) = delete;
  RingHandover& operator=(const RingHandover&) = delete;

  // connected says whether the agent holds all rings now.
  bool connected() const;
  // last_error is what the last attempt said; empty while connected.
  std::string last_error() const;

 private:
  struct State;
  explicit RingHandover(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace countersign::audit
