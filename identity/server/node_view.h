// NodeView is the part of the registry that concerns one node: what its agent is sent, no more.
//
// A pure function of the registry's state and the agent's ID. What a node is not sent it cannot
// leak: a stolen node learns only of its own workloads and of what they reach.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "authz/model/field.h"
#include "identity/server/registry_state.h"

namespace countersign::server {

// ViewItem is one document of a view; the pointer keeps it alive.
struct ViewItem {
  Revision revision;
  std::shared_ptr<const void> owner;
  const std::string* document = nullptr;  // Canonical JSON; null for a policy set.
  const PolicySetVersion* set = nullptr;  // Of a policy set; else null.
};

// By kind and name.
using NodeView = std::map<std::pair<std::string_view, std::string>, ViewItem>;

NodeView ViewForNode(const RegistryState& state, std::string_view agent_id);

// ViewChange is what turns one view into the next.
struct ViewChange {
  std::vector<NodeView::const_iterator> upsert;  // Into the next view.
  std::vector<NodeView::const_iterator> remove;  // Into the former view.
};
ViewChange CompareViews(const NodeView& former, const NodeView& next);

// MayMatchId says whether a matcher may match the ID. A form that is not decided here always may:
// a document too much is safe, because the node's proxies judge it themselves; a denial too little
// is not.
bool MayMatchId(const authz::Matcher& matcher, std::string_view id);

}  // namespace countersign::server
