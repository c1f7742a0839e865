// RingSources is the set of rings that a collector drains: who may hand one over, whose it is, and
// when it is done with. It knows nothing of sockets and files.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "audit/log/collector.h"
#include "audit/log/node_log.h"
#include "base/ring.h"

namespace countersign::audit {

// RingSource is one ring with the peer that handed it over.
struct RingSource {
  RingReader reader;
  HandoverPeer peer;
  std::string name;
  uint64_t connection = 0;  // Number of the connection; 0: its peer is gone.
  bool damaged = false;     // Its producer broke the format: nothing more can be read.
};

// RingSources belongs to the collector's thread.
class RingSources {
 public:
  // Add takes a ring, or takes it again after a reconnect. The error is what the peer is told.
  struct Offer {
    HandoverPeer peer;
    std::string name;
    uint64_t connection = 0;
    Fd memory;
    Fd wake;
  };
  enum class Added { kNew, kAgain };
  struct AddResult {
    Added added = Added::kNew;
    RingSource* source = nullptr;
  };
  StatusOr<AddResult> Add(Offer offer);

  // ConnectionGone says that the peer of `connection` will hand over nothing more; its rings stay
  // until they are empty.
  void ConnectionGone(uint64_t connection);

  // Drain appends to `log` what the rings hold, fairly, until the batch is full. Records that are
  // not valid are answered by a record of the log's own. `rejected` counts them.
  void Drain(NodeLog& log, int64_t now_ns, uint64_t& rejected);
  // Release gives room back after a commit and drops rings that are done, calling `forget` with
  // each one's wake descriptor first. Rewind is for after a failed commit.
  void Release(const std::function<void(int)>& forget);
  void Rewind();

  bool AnyHasMore() const;
  void SetAttention(RingReader::Attention attention);
  size_t size() const { return rings_.size(); }

 private:
  void DrainOne(RingSource& source, NodeLog& log, int64_t now_ns, uint64_t& rejected);
  std::map<RingId, RingSource> rings_;
  std::map<RingId, bool> damaged_;  // Refused when handed over again.
};

}  // namespace countersign::audit
