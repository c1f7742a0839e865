// Judges the requests of every front door by the policy in force, and tells log and metrics.
//
// It knows no wire: front doors turn their messages into RawRequest and its answer into theirs.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "base/clock.h"
#include "base/counter.h"
#include "pdp/check_request.h"
#include "pdp/decision_log.h"
#include "pdp/policy_source.h"

namespace countersign::pdp {

// Door is where a request came in.
enum class Door : uint8_t { kExtAuthz, kAuthZen };
std::string_view DoorName(Door door);  // "ext_authz", "authzen"

// Answer is what became of one request.
struct Answer {
  enum class Kind : uint8_t { kDeny, kBadRequest, kAllow };
  Kind kind = Kind::kDeny;
  std::string id;      // 32 hex digits, unguessable; the log line has it too.
  std::string reason;  // ReasonName or FaultName.
  std::string rule;    // "set/policy/rule" that decided, or empty.
  std::string detail;  // A word more about a fault, or empty. Not for the denied caller.
  bool allowed() const { return kind == Kind::kAllow; }
};
std::string_view KindName(Answer::Kind kind);  // "deny", "bad_request", "allow"

// DecisionPoint lives as long as its doors. All methods are safe for any thread.
class DecisionPoint {
 public:
  DecisionPoint(const PolicySource& source, const Clock& clock, const PdpLimits& limits)
      : source_(source),
        clock_(clock),
        limits_(limits),
        log_(limits.log_lines_per_second_max, clock) {}

  // Decide is total: whatever goes wrong inside is a denial.
  Answer Decide(Door door, const RawRequest& raw);
  // Refuse answers what a door could not even turn into a request.
  Answer Refuse(Door door, Fault fault, std::string_view detail);

  bool ready() const { return source_.State().ready; }
  // Health is one JSON object: what is in force, and why the folder's present content is not.
  std::string Health() const;
  // Metrics is the OpenMetrics text.
  std::string Metrics() const;

 private:
  void WriteCounters(std::string& out) const;
  Answer Judge(Door door, const RawRequest& raw);
  void Tell(Door door, const Answer& answer, DecisionLog::Line line, MonotonicTime began);

  const PolicySource& source_;
  const Clock& clock_;
  const PdpLimits limits_;
  DecisionLog log_;
  mutable std::mutex mutex_;
  // Door, kind and reason. Guarded by mutex_, as what follows; reasons are names of ours.
  std::map<std::tuple<Door, Answer::Kind, std::string>, uint64_t> decisions_;
  uint64_t would_differ_ = 0;
  LatencyHistogram latency_;
};

}  // namespace countersign::pdp
