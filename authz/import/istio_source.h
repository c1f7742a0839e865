// Istio's AuthorizationPolicies as they are written, with the place of every value, and the
// workloads that their selectors may mean. Plain data.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "authz/import/findings.h"
#include "authz/import/import.h"
#include "authz/model/field.h"

namespace countersign::authz::import {

struct Text {
  std::string text;  // Never empty.
  SourcePosition where;
};
using Texts = std::vector<Text>;

// Choice is a field and its negation: one of `values` (if there are any) and none of `not_values`.
struct Choice {
  Texts values;
  Texts not_values;
  bool empty() const { return values.empty() && not_values.empty(); }
};

// Source is one entry of `from`. All its fields must hold.
struct Source {
  Choice principals;
  Choice namespaces;
  Choice service_accounts;
  Choice trust_domains;
  Choice ip_blocks;
  SourcePosition where;
};

// Operation is one entry of `to`. All its fields must hold.
struct Operation {
  Choice hosts;
  Choice methods;
  Choice paths;
  Choice ports;
  SourcePosition where;
};

struct WhenItem {
  std::string key;
  Choice choice;
  SourcePosition where;
};

// IstioRule: one of `from` (if any), one of `to` (if any), and all of `when`.
struct IstioRule {
  std::vector<Source> from;
  std::vector<Operation> to;
  std::vector<WhenItem> when;
  SourcePosition where;
};

using Labels = std::map<std::string, std::string>;

struct IstioPolicy {
  enum class Action : uint8_t { kAllow, kDeny, kAudit };
  std::string name;
  std::string ns;
  Action action = Action::kAllow;
  bool dry_run = false;
  Labels selector;  // Empty: every workload of the namespace, of the mesh in the root namespace.
  std::vector<IstioRule> rules;
  SourcePosition where;
  // enforced_allow: such a policy ends "no ALLOW policy means allow" for what it selects.
  bool enforced_allow() const { return action == Action::kAllow && !dry_run; }
};

// Workload is a pod template, or a pod: its identity and its labels.
struct Workload {
  std::string kind_and_name;  // "Deployment web"
  std::string ns;
  std::string service_account;
  Labels labels;
  SourcePosition where;
};

struct IstioSource {
  std::vector<IstioPolicy> policies;
  std::vector<Workload> workloads;
};

// ReadIstio reads every document; what it refuses or does not know goes to `findings`.
IstioSource ReadIstio(std::span<const SourceFile> files, const ImportOptions& options,
                      Findings& findings);

}  // namespace countersign::authz::import
