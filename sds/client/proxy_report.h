// ProxyReport gathers what the agent is told about this proxy, from the three places that know it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "identity/x509_svid.h"
#include "sds/client/node_client.h"

namespace countersign::sds {

// RunningSet names one policy set that the proxy runs.
struct RunningSet {
  std::string set;
  uint64_t version = 0;
  std::string digest;
};

// ProxyReport is safe for any thread. A writer waits for changes with Await.
class ProxyReport {
 public:
  struct Facts {
    uint64_t config_version = 0;  // The configuration that was answered last.
    std::string refused;          // Why, if it was refused.
    std::vector<RunningSet> running;
    bool ready = false;
    std::string svid_serial;
    WallTime svid_not_after;
  };
  // Writer is one stream's place in the sequence of changes. The next stream begins anew.
  struct Writer {
    uint64_t seen = 0;
    bool ended = false;
  };

  void SetTaken(uint64_t config_version, std::vector<RunningSet> running);
  void SetRefused(uint64_t config_version, std::string reason);
  void SetState(const ProxyState& state);
  void SetSvid(const identity::X509Svid& svid);

  enum class Awaited { kChanged, kTimeOut, kEnded };
  // Await gives the facts after a change that `writer` has not seen, waiting `time_out` for one.
  // Before any configuration was answered there is nothing to tell.
  Awaited Await(Writer& writer, Facts& facts, std::chrono::milliseconds time_out);
  void End(Writer& writer);

 private:
  template <class Change>
  void Apply(Change change);

  std::mutex mutex_;
  std::condition_variable changed_;
  Facts facts_;           // Guarded by mutex_.
  uint64_t changes_ = 1;  // Guarded by mutex_.
};

}  // namespace countersign::sds
