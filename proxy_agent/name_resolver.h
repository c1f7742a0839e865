// NameResolver looks names up in a thread of its own, so that a resolver that does not answer holds
// up nobody but that thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "proxy_agent/endpoint_names.h"

namespace countersign::proxy {

// NameResolver is safe for any thread.
class NameResolver {
 public:
  explicit NameResolver(EndpointNames::Lookup lookup);
  // A lookup that is under way is left behind: nothing can interrupt it, and it touches only what
  // it keeps alive itself.
  ~NameResolver();
  NameResolver(const NameResolver&) = delete;
  NameResolver& operator=(const NameResolver&) = delete;

  // LookUp asks for all names and gives the answers that came within `patience`, or before Stop;
  // without a patience it waits for all. What is under way already is not asked twice.
  EndpointNames::Known LookUp(const std::vector<std::string>& names,
                              std::optional<std::chrono::milliseconds> patience);
  // Stop ends all waiting, now and later.
  void Stop();

 private:
  struct State;
  static void Run(const std::shared_ptr<State>& state);
  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace countersign::proxy
