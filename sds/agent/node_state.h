// What the server has pushed to this node, parsed once.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "authz/kinds/loader.h"
#include "base/status.h"
#include "countersign/v1/node.pb.h"
#include "identity/trust_bundle.h"

namespace countersign::agent {

// Revision orders the changes of one server's store; a restored store starts a new term.
struct Revision {
  uint64_t term = 0;
  uint64_t n = 0;
  auto operator<=>(const Revision&) const = default;
};

// NodeResource is one pushed document. The pointer of its kind is set if the document could be
// loaded; one that could not is kept, so that it is not asked for again, and gives nobody anything.
struct NodeResource {
  v1::Resource wire;
  std::shared_ptr<const authz::Registration> registration;
  std::shared_ptr<const authz::Service> service;
  std::shared_ptr<const authz::Route> route;
  std::shared_ptr<const identity::TrustBundle> bundle;
  std::shared_ptr<const v1::PolicySetVersion> set_version;
  std::shared_ptr<const authz::PolicySet> policy_set;
};

// NodeState is everything as of one revision. Immutable; share as shared_ptr<const NodeState>.
class NodeState {
 public:
  using Key = std::pair<std::string, std::string>;  // Kind and name.
  using Resources = std::map<Key, std::shared_ptr<const NodeResource>>;

  NodeState() : bundles_(std::make_shared<identity::BundleSet>()) {}

  // Apply makes the state after `update`. Documents that cannot be loaded are logged. Fails only if
  // the update as a whole makes no sense (it goes back, or to another term without being full).
  static StatusOr<std::shared_ptr<const NodeState>> Apply(const NodeState& before,
                                                          const v1::Update& update);

  // Decode reads what Encode wrote; a torn or altered text is DATA_LOSS.
  static StatusOr<std::shared_ptr<const NodeState>> Decode(std::string_view text);
  std::string Encode() const;

  const Revision& revision() const { return revision_; }
  const Resources& resources() const { return resources_; }
  const std::shared_ptr<const identity::BundleSet>& bundles() const { return bundles_; }
  // registrations are by name, as resources are.
  const std::vector<std::shared_ptr<const authz::Registration>>& registrations() const {
    return registrations_;
  }

 private:
  void Index();

  Revision revision_;
  Resources resources_;
  std::shared_ptr<const identity::BundleSet> bundles_;
  std::vector<std::shared_ptr<const authz::Registration>> registrations_;
};

}  // namespace countersign::agent
