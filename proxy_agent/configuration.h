// Configuration: what the agent sent, loaded, checked and compiled, ready for the workers.
//
// Made off the data path; anything that cannot be understood refuses the whole, and the last good
// configuration stays.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "audit/record/decision_record.h"
#include "authz/engine/compiled_policy.h"
#include "identity/spiffe_id.h"
#include "proxy_agent/door.h"
#include "proxy_agent/endpoint_names.h"
#include "proxy_agent/instance_options.h"
#include "proxy_agent/route/route_table.h"

namespace countersign::proxy {

struct ConfigurationLimits {
  static constexpr size_t kDoorsMax = 1024;      // Each is a listener in every worker.
  static constexpr size_t kDocumentsMax = 8192;  // More services than one workload can reach.
};

// ConfigurationSource is the agent's message as plain strings.
struct ConfigurationSource {
  struct PolicySet {
    std::string name;
    uint64_t version = 0;
    std::string digest;
    std::vector<std::string> documents;
  };
  uint64_t version = 0;
  std::string workload_id;
  std::optional<uint32_t> application_uid;
  std::vector<std::string> services;  // Canonical JSON, as the next two.
  std::vector<std::string> routes;
  std::vector<PolicySet> policy_sets;
  std::string node_id;
  std::string audit_socket;
};

// Configuration is immutable and shared by all workers.
class Configuration {
 public:
  // PolicyDigest is one set that takes part in decisions.
  struct PolicyDigest {
    std::string set;
    uint64_t version = 0;
    std::string digest;
  };

  static StatusOr<std::shared_ptr<const Configuration>> Create(const ConfigurationSource& source,
                                                               const InstanceOptions& options,
                                                               EndpointNames& names);

  uint64_t version() const { return version_; }
  const identity::SpiffeId& workload() const { return workload_; }
  const std::string& node_id() const { return node_id_; }
  const std::string& audit_socket() const { return audit_socket_; }
  const std::vector<std::shared_ptr<const Door>>& doors() const { return doors_; }
  const std::shared_ptr<const authz::CompiledPolicy>& policy() const { return policy_; }
  const std::shared_ptr<const RouteTable>& routes() const { return routes_; }
  const std::vector<PolicyDigest>& policy_digests() const { return policy_digests_; }
  // policy_versions is policy_digests in the audit record's form; it borrows from this value.
  std::span<const audit::PolicyVersion> policy_versions() const { return policy_versions_; }

 private:
  explicit Configuration(identity::SpiffeId workload) : workload_(std::move(workload)) {}

  uint64_t version_ = 0;
  identity::SpiffeId workload_;
  std::string node_id_;
  std::string audit_socket_;
  std::vector<std::shared_ptr<const Door>> doors_;
  std::shared_ptr<const authz::CompiledPolicy> policy_;
  std::shared_ptr<const RouteTable> routes_;
  std::vector<PolicyDigest> policy_digests_;
  std::vector<audit::PolicyVersion> policy_versions_;
};

}  // namespace countersign::proxy
