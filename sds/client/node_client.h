// NodeClient keeps a proxy supplied by the agent of its node: identity and bundles over SDS, and
// configuration over ProxyConfig, both on the agent's Unix socket, where the kernel says who calls.
//
// It validates what arrives before it acknowledges it. It does not know what a policy is: documents
// are handed on as text. Nothing of gRPC or protobuf shows here.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"

namespace countersign::sds {

struct NodeClientLimits {
  static constexpr size_t kSecretsBytesMax = 8 * 1024 * 1024;    // 1,000 trust domains.
  static constexpr size_t kConfigBytesMax = 64 * 1024 * 1024;    // 10,000 rules with long patterns.
  static constexpr size_t kRefusalBytesMax = 4 * 1024;           // Enough for a list of mistakes.
  static constexpr std::chrono::milliseconds kBackoffMin{50};    // An agent that restarts.
  static constexpr std::chrono::milliseconds kBackoffMax{1000};  // A local retry costs little.
  // What the host's state refused (a port in use) may pass; what is wrong in itself is not retried.
  static constexpr std::chrono::milliseconds kRefusedRetry{2000};
};

// NodeDocument is one resource as canonical JSON.
struct NodeDocument {
  std::string kind;
  std::string name;
  std::string json;
};

struct NodePolicySet {
  std::string set;
  uint64_t version = 0;
  std::string digest;
  std::vector<std::string> documents;  // Canonical JSON.
};

// ProxyConfigSnapshot is the whole configuration of one proxy at one version.
struct ProxyConfigSnapshot {
  uint64_t version = 0;
  std::string workload_id;
  std::string registration;
  std::optional<uint32_t> application_uid;
  std::vector<NodeDocument> services;
  std::vector<NodeDocument> routes;
  std::vector<NodePolicySet> policy_sets;
  std::string trust_domain;
  std::string audit_socket;
  std::string node_id;
};

// NodeObserver takes what arrived. Each call comes from a thread of NodeClient's, never two at a
// time; OK is acknowledged to the agent, an error is refused with its text and what was taken last
// stays in force. The observer outlives its NodeClient.
class NodeObserver {
 public:
  virtual ~NodeObserver() = default;
  // OnIdentity brings own SVID and bundles together, each time either changes. They are not held
  // against each other: a bundle that no longer vouches for our own SVID is a revocation.
  virtual Status OnIdentity(std::shared_ptr<const identity::X509Svid> svid,
                            std::shared_ptr<const identity::BundleSet> bundles) = 0;
  virtual Status OnConfiguration(ProxyConfigSnapshot snapshot) = 0;
};

struct NodeClientOptions {
  std::string agent_socket;  // Absolute path.
  std::string instance;      // Name of this proxy, unique on its node.
  std::string version;       // Of this program.
};

// ProxyState is what the agent is told beside each acknowledgement.
struct ProxyState {
  bool ready = false;
};

// NodeClient runs its own threads from Start to destruction. A lost agent is dialled again for
// ever, with bounded back-off and jitter. ReportResult is safe for any thread.
class NodeClient {
 public:
  static std::unique_ptr<NodeClient> Start(NodeClientOptions options, NodeObserver& observer);
  ~NodeClient();
  NodeClient(const NodeClient&) = delete;
  NodeClient& operator=(const NodeClient&) = delete;

  // ReportResult tells the agent the proxy's state, now and after each reconnection. The version
  // and digests it runs and its SVID's serial go along by themselves.
  void ReportResult(const ProxyState& state);

 private:
  class Streams;
  explicit NodeClient(std::unique_ptr<Streams> streams);
  std::unique_ptr<Streams> streams_;
};

}  // namespace countersign::sds
