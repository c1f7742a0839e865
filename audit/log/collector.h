// AuditCollector is the agent's half of the audit path: takes the proxies' rings, drains them into
// the node log, and gives their room back only when the records are on disk and signed for.
//
// A ring speaks for the workloads that its owner, by the kernel's word, is registered for: a record
// in another's name is not filed, and an alarm record says whose ring it stood in.
//
// A full disk, a refused ring or a slow disk never loses a record here: the rings fill, and each
// listener's choice (best-effort or strict) decides at the proxy. Searching is not its business.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace countersign::audit {

struct CollectorLimits {
  static constexpr size_t kConnectionsMax = 256;  // Proxies on one node, with room to spare.
  // One user's, and the last ones in all, which are for users that have none: whoever takes all it
  // can leaves the others a way in.
  static constexpr size_t kConnectionsPerUidMax = 64;
  static constexpr size_t kConnectionsReserved = 64;
  // A proxy hands its first ring over at once; who has not by then goes, and makes room.
  static constexpr std::chrono::seconds kEmptyHandedFor{5};
  static constexpr size_t kRingsPerPeerMax = 64;  // Workers of one proxy: one a core.
  static constexpr size_t kRingsMax = 1024;       // All, those of dead proxies included.
  // One user's rings, whatever its proxies: a user that takes all it can leaves the others theirs.
  static constexpr size_t kRingsPerUidMax = 256;
  // The last rings are for users that have fewer than one proxy's, so that a few users together
  // do not keep the next one out.
  static constexpr size_t kRingsReserved = 256;
  // Gap records of one ring that a commit files; the others become one rejected record with their
  // sums. An honest ring that overflows writes one each time that the agent empties it.
  static constexpr size_t kGapsPerCommitMax = 64;
  // Workloads that one ring has spoken for; over it, those of former registrations are forgotten.
  static constexpr size_t kWorkloadsPerRingMax = 256;
  // What one ring can have the agent say of its refused records: each in a commit up to the first
  // number, the rest as one record with their count; and in the agent's own log, all rings and
  // connections of one user together, so many lines a minute.
  static constexpr size_t kRefusalsTold = 16;
  static constexpr size_t kLinesLoggedPerUidMinuteMax = 20;
};

// HandoverPeer is the kernel's word (SO_PEERCRED) on who connected.
struct HandoverPeer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

using WorkloadsOf = std::function<StatusOr<std::vector<std::string>>(const HandoverPeer&)>;

struct CollectorStats {
  uint64_t records = 0;  // Entries signed for since the start.
  uint64_t commits = 0;
  uint64_t tree_size = 0;
  uint64_t rings = 0;
  uint64_t rejected = 0;  // Records or rings that broke the format or spoke for somebody else.
  std::string stalled;    // Why nothing can be written now (a full disk); empty: all is well.
};

// AuditCollector runs one thread until it goes; then it drains what the rings hold, commits, and
// writes a stop record. Safe for any thread.
class AuditCollector {
 public:
  struct Options {
    std::string socket_path;
    unsigned socket_mode = 0666;  // Who may hand over is workloads_of's business.
    std::string log_dir;          // Made with mode 0700 if it is not there.
    std::string origin;           // Name of the log: "shop.example/agent/node-1".
    std::string node;             // SPIFFE ID of the agent, for its own records.
    // workloads_of gives the SPIFFE IDs of the workloads for which a process may hand records to
    // this node's log, or the reason why it may not, which the process is told. Called on the
    // collector's thread; must not block for long.
    WorkloadsOf workloads_of;
    std::chrono::milliseconds commit_interval{10};
  };
  // Start opens the log (recovering it if need be) and listens. Fails when the log shows signs of
  // tampering, with a sentence that says what to do. `clock` must outlive the collector.
  static StatusOr<std::unique_ptr<AuditCollector>> Start(Options options, const Clock& clock);
  ~AuditCollector();
  AuditCollector(const AuditCollector&) = delete;
  AuditCollector& operator=(const AuditCollector&) = delete;

  CollectorStats stats() const;
  // verifier_key is the log's public key in the form of a signed-note verifier key.
  const std::string& verifier_key() const;

 private:
  class Impl;
  explicit AuditCollector(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::audit
