// RingSources is the set of rings that a collector drains: who may hand one over, whose it is, for
// whom it may speak, and when it is done with. It knows nothing of sockets and files.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "audit/log/collector.h"
#include "audit/log/node_log.h"
#include "audit/record/decision_record.h"
#include "base/log_budget.h"
#include "base/ring.h"

namespace countersign::audit {

// RingSource is one ring with the peer that handed it over.
struct RingSource {
  RingReader reader;
  HandoverPeer peer;
  std::string name;
  uint64_t connection = 0;  // Number of the connection; 0: its peer is gone.
  // Whom it may speak for: all that its owner was registered for since the handover, because what
  // was written before a change is drained after it.
  std::set<std::string, std::less<>> workloads;
  bool damaged = false;  // Its producer broke the format: nothing more can be read.

  // Of the batch that is being drained.
  struct InBatch {
    uint64_t rejected = 0;
    bool asked_again = false;      // Whom it speaks for.
    uint64_t gaps = 0;             // Gap records.
    uint64_t unfiled_missing = 0;  // Sum of those over the limit.
  };
  InBatch batch = {};
};

// RingSources belongs to the collector's thread.
class RingSources {
 public:
  // `node` is the SPIFFE ID that records must name, if they name one. `clock` outlives it.
  RingSources(std::string node, WorkloadsOf workloads_of, const Clock& clock)
      : node_(std::move(node)),
        workloads_of_(std::move(workloads_of)),
        refusals_(CollectorLimits::kLinesLoggedPerUidMinuteMax, clock) {}

  // Add takes a ring, or takes it again after a reconnect. The error is what the peer is told.
  struct Offer {
    HandoverPeer peer;
    std::string name;
    uint64_t connection = 0;
    std::vector<std::string> workloads;
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

  // Drain appends to `log` what the rings hold, until the batch is full or as many records were
  // read as it takes. Each user with something to read has an equal share of its records and bytes,
  // and what one leaves the others have; who comes first changes with every call. Records that are
  // not valid, or speak for somebody else, are answered by a record of the log's own. `rejected`
  // counts them.
  void Drain(NodeLog& log, int64_t now_ns, uint64_t& rejected);
  // Release gives room back after a commit and drops rings that are done, calling `forget` with
  // each one's wake descriptor first. Rewind is for after a failed commit.
  void Release(const std::function<void(int)>& forget);
  void Rewind();

  bool AnyHasMore() const;
  void SetAttention(RingReader::Attention attention);
  size_t size() const { return rings_.size(); }
  // MayLog spends one line of a user's in the agent's own log.
  bool MayLog(uid_t uid) { return refusals_.Take(uid) != LogBudget::Verdict::kSkip; }

 private:
  struct Batch;
  struct Share;
  struct User;
  std::vector<User> UsersWithMore();
  size_t DrainUser(User& user, Share share, Batch& batch);
  size_t DrainOne(RingSource& source, Share& share, Batch& batch);
  Status CheckAdmission(const Offer& offer) const;
  Status CheckProducersRecord(RingSource& source, const RecordClaims& claims,
                              std::string_view record);
  bool MayFileGap(RingSource& source, uint64_t missing) const;
  bool SpeaksFor(RingSource& source, std::string_view workload);
  void Reject(RingSource& source, const Status& why, Batch& batch);
  void AppendRejected(const RingSource& source, std::string_view what, Batch& batch);
  void SumUp(const RingSource& source, Batch& batch);

  const std::string node_;
  const WorkloadsOf workloads_of_;
  LogBudget refusals_;
  std::map<RingId, RingSource> rings_;
  std::map<RingId, bool> damaged_;     // Refused when handed over again.
  uid_t first_user_ = 0;               // Of the last batch.
  std::map<uid_t, RingId> last_ring_;  // Where the last batch left each user that had more.
};

}  // namespace countersign::audit
