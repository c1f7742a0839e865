// AuditTrail turns decisions into audit records, in the worker's ring, before anything passes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "audit/record/recorder.h"
#include "authz/engine/authorizer.h"
#include "identity/local_caller.h"
#include "identity/verified_peer.h"
#include "proxy_agent/configuration.h"
#include "proxy_agent/metrics.h"

namespace countersign::proxy {

// Origin is what a connection says of every request on it.
struct Origin {
  std::shared_ptr<const Door> door;
  Address peer;
  uint64_t config_generation = 0;  // Of the configuration that `door` is from.
  uint64_t connection_id = 0;
  // Outbound: whose socket it is. Without one nobody is admitted.
  std::optional<identity::LocalCaller> local;
};

// Outcome is how a decided request or connection ended.
struct Outcome {
  uint16_t status = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t duration_ns = 0;
  std::string_view upstream = {};
  CutReason cut = CutReason::kNone;
};

// Recorded is the trace of one decision. Without a slot the ring had no room.
struct Recorded {
  audit::DecisionId id = {};
  audit::CompletionSlot slot;
};

// AuditTrail belongs to one worker.
class AuditTrail {
 public:
  explicit AuditTrail(std::unique_ptr<audit::Recorder> recorder) : recorder_(std::move(recorder)) {}

  // Use names the configuration that decisions come from; rule names are kept for its life.
  void Use(std::shared_ptr<const Configuration> configuration);

  // Record writes the decision. `peer` is null for callers without a verified identity.
  Recorded Record(const Origin& origin, const Door& door, const identity::VerifiedPeer* peer,
                  const authz::CanonicalRequest& request, const authz::Decision& decision,
                  WallTime now);
  void Complete(Recorded recorded, const Outcome& outcome, WallTime now);

  // BeginBatch renews the batch's budget of nearest misses and settles gap records.
  void BeginBatch(WorkerMetrics& metrics);
  audit::Recorder& recorder() { return *recorder_; }

 private:
  // A nearest miss reads every allow rule; a flood of denials must not cost more than traffic.
  static constexpr size_t kNearestPerBatchMax = 32;
  const std::string& RuleName(uint32_t rule);
  void AddRules(const authz::Decision& decision, audit::DecisionRecord& record);
  void AddHeaders(const authz::CanonicalRequest& request, audit::DecisionRecord& record);

  std::unique_ptr<audit::Recorder> recorder_;
  std::shared_ptr<const Configuration> configuration_;
  std::vector<std::string> rule_names_;  // By rule number; filled when first asked for.
  std::vector<std::string_view> matched_;
  std::vector<authz::NameValue> headers_;
  size_t nearest_left_ = kNearestPerBatchMax;
};

}  // namespace countersign::proxy
