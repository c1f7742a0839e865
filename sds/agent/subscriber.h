// A subscriber is one open stream on the agent's socket; the hub brings it each new view.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "identity/x509_svid.h"
#include "sds/agent/attested_process.h"
#include "sds/agent/node_state.h"

namespace countersign::agent {

// AgentView is all that subscribers are served from, at one moment. Immutable.
struct AgentView {
  uint64_t version = 0;  // Rises with each view of one agent process.
  // Null until the server was heard for the first time in the life of the data folder.
  std::shared_ptr<const NodeState> state;
  // By registration; none has expired.
  std::map<std::string, std::shared_ptr<const identity::X509Svid>> svids;
};

// Subscriber is one stream as the hub sees it. Step and CheckSilence are called on the hub's thread
// alone; implementations guard what gRPC's threads also touch.
class Subscriber {
 public:
  virtual ~Subscriber() = default;

  // Step sends what changed for this caller since the last Step, or ends the stream. It never
  // waits: while an earlier message is being written nothing is built, and the newest view wins.
  virtual void Step(const AgentView& view) = 0;
  // CheckSilence ends the stream if its peer has neither read nor acknowledged for too long.
  virtual void CheckSilence(MonotonicTime now) = 0;
  // settled_version is the newest view of which the peer has all that concerns it.
  virtual uint64_t settled_version() const = 0;

  virtual const std::shared_ptr<const AttestedProcess>& process() const = 0;
};

}  // namespace countersign::agent
