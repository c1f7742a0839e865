// NodeSessions is what the server knows right now of the agents that are connected: how far each
// has taken the registry's revisions, and what its proxies run.
//
// It holds no stream: node_stream_service does. After a restart it fills again as agents connect.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "identity/server/agent_directory.h"
#include "identity/server/store.h"

namespace countersign::server {

struct NodeSessionLimits {
  static constexpr size_t kProxiesMax = 1024;    // Of one node, in one report.
  static constexpr size_t kTextBytesMax = 4096;  // Of one name or reason in a report.
  static constexpr size_t kSetsMax = 1024;       // Of one proxy.
};

enum class AckLevel : uint8_t { kReceived, kApplied, kTaken };

// SessionStatus is one agent's. Revisions never go back within one connection.
struct SessionStatus {
  bool connected = false;
  SvidFacts svid;
  Revision sent;  // The newest that concerns the node.
  Revision received;
  Revision applied;
  Revision taken;
};

struct RunningDigest {
  std::string set;
  uint64_t version = 0;
  std::string digest;
  bool operator==(const RunningDigest&) const = default;
};

// RunningProxy is one proxy as its agent reported it.
struct RunningProxy {
  std::string instance;
  std::string workload_id;
  std::string agent_id;
  uint32_t pid = 0;
  bool ready = false;
  std::vector<RunningDigest> acknowledged;
  std::string refused;
  std::string svid_serial;
  int64_t svid_expires_unix_ms = 0;
  int64_t seen_unix_ms = 0;
  uint64_t config_version = 0;
};

// NodeSessions is safe for any thread.
class NodeSessions {
 public:
  // Connected begins a session; the number returned marks it, so that an end that comes late does
  // not end the session after it.
  uint64_t Connected(const std::string& agent_id, const SvidFacts& svid);
  void Disconnected(const std::string& agent_id, uint64_t session);
  void Sent(const std::string& agent_id, Revision revision);
  void Acknowledged(const std::string& agent_id, AckLevel level, Revision revision);
  void Renewed(const std::string& agent_id, const SvidFacts& svid);
  // Report replaces all proxies of the node. An error names the limit that the report is over.
  Status Report(const std::string& agent_id, std::vector<RunningProxy> proxies);

  // Forget drops what is known of an agent that was removed.
  void Forget(std::string_view agent_id);

  SessionStatus Find(std::string_view agent_id) const;
  std::vector<RunningProxy> Proxies() const;

  // ObserveProxies calls `observer` after each change of proxies, on the reporting thread.
  void ObserveProxies(std::function<void()> observer);

 private:
  struct Session {
    uint64_t number = 0;
    SessionStatus status;
    std::vector<RunningProxy> proxies;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Session, std::less<>> sessions_;
  uint64_t next_number_ = 1;
  std::function<void()> observer_;
};

}  // namespace countersign::server
