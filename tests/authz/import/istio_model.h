// AuthorizationPolicies as plain data for tests: what an evaluator of its own judges, and the YAML
// of it that the importer reads. Shares nothing with the importer.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace countersign::authz::import::testing {

using Strings = std::vector<std::string>;

struct Field {
  Strings values, not_values;
};

// A source or an operation: fields by name ("principals", "paths"), all ANDed.
using Fields = std::map<std::string, Field>;

struct SourceRule {
  std::vector<Fields> from, to;
  std::vector<std::pair<std::string, Field>> when;
};

struct SourcePolicy {
  std::string name, ns, action;
  bool dry_run = false;
  std::map<std::string, std::string> selector;
  std::vector<SourceRule> rules;
};

struct SourceWorkload {
  std::string name, ns, service_account;
  std::map<std::string, std::string> labels;
};

// Request is one HTTP request or TCP connection, as Envoy would see it.
struct Request {
  bool http = true;
  std::string callee_ns, callee_account;
  std::map<std::string, std::string> callee_labels;
  std::string caller;  // SPIFFE ID; empty: no certificate.
  std::string peer_ip;
  unsigned port = 0;
  std::string sni;  // Empty: none.
  std::string method, path;
  std::string authority;  // Perhaps with a port.
  std::vector<std::pair<std::string, std::string>> headers;
};

// ToYaml gives the documents of everything.
std::string ToYaml(const std::vector<SourcePolicy>& policies,
                   const std::vector<SourceWorkload>& workloads);

// Mesh is what Istio knows beside the policies.
struct Mesh {
  std::string trust_domain = "td";
  Strings aliases;
  std::string root_namespace = "istio-system";
};

// IstioAllows is the verdict of Istio's semantics over all policies together.
bool IstioAllows(const std::vector<SourcePolicy>& policies, const Mesh& mesh,
                 const Request& request);

}  // namespace countersign::authz::import::testing
