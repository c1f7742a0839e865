#include "sds/agent/node_state.h"

#include "base/crypto/hash.h"
#include "base/log.h"

namespace countersign::agent {
namespace {

constexpr std::string_view kFileHeader = "countersign-agent-state/1 ";

std::string_view DocumentOf(const v1::Resource& wire) { return wire.document(); }

// Registrations have canonical names only if the loader says so; what it refuses concerns nobody.
template <class T>
Status Take(StatusOr<T> loaded, std::string_view name, std::shared_ptr<const T>& into) {
  RETURN_IF_ERROR(loaded.status());
  if (loaded->name != name) {
    return InvalidArgument("its name inside is ", Quoted(loaded->name));
  }
  into = std::make_shared<const T>(*std::move(loaded));
  return absl::OkStatus();
}

Status TakePolicySet(NodeResource& resource) {
  auto version = std::make_shared<v1::PolicySetVersion>();
  if (!version->ParseFromString(resource.wire.document())) {
    return InvalidArgument("it is not a PolicySetVersion message");
  }
  std::vector<std::string> documents(version->documents().begin(), version->documents().end());
  std::string digest = version->digest();
  resource.set_version = std::move(version);
  // The agent only narrows a set to what concerns a workload. A set that it cannot read goes to the
  // proxies whole: they judge whether to take it.
  ASSIGN_OR_RETURN(resource.policy_set, authz::LoadPolicySet(documents, digest));
  return absl::OkStatus();
}

Status TakeDocument(NodeResource& resource) {
  const std::string& kind = resource.wire.kind();
  const std::string& name = resource.wire.name();
  std::string_view document = DocumentOf(resource.wire);
  if (kind == "Registration") {
    return Take(authz::LoadRegistration(document), name, resource.registration);
  }
  if (kind == "Service") {
    return Take(authz::LoadService(document), name, resource.service);
  }
  if (kind == "Route") {
    return Take(authz::LoadRoute(document), name, resource.route);
  }
  if (kind == "TrustBundle") {
    ASSIGN_OR_RETURN(identity::TrustDomain domain, identity::TrustDomain::Parse(name));
    ASSIGN_OR_RETURN(identity::TrustBundle bundle,
                     identity::TrustBundle::ParseJson(domain, document));
    resource.bundle = std::make_shared<const identity::TrustBundle>(std::move(bundle));
    return absl::OkStatus();
  }
  if (kind == "PolicySetVersion") {
    return TakePolicySet(resource);
  }
  return absl::OkStatus();  // A kind of a newer server: kept, not understood.
}

std::shared_ptr<const NodeResource> Load(const v1::Resource& wire) {
  auto resource = std::make_shared<NodeResource>();
  resource->wire = wire;
  if (Status status = TakeDocument(*resource); !status.ok()) {
    LogError("a pushed document cannot be used",
             {{"kind", wire.kind()}, {"name", wire.name()}, {"why", status}});
  }
  return resource;
}

}  // namespace

StatusOr<std::shared_ptr<const NodeState>> NodeState::Apply(const NodeState& before,
                                                            const v1::Update& update) {
  Revision revision{update.revision().term(), update.revision().n()};
  // A restored store begins a new term, so a smaller revision is an old state, pushed as if new.
  bool goes_back = revision < before.revision_;
  if (goes_back || (!update.full() && revision.term != before.revision_.term)) {
    return InvalidArgument("the server pushed revision (", revision.term, ", ", revision.n,
                           ") after (", before.revision_.term, ", ", before.revision_.n, ")",
                           goes_back ? "; a backup is put back with countersign-server restore, "
                                       "which begins a new term"
                                     : "");
  }
  auto after = std::make_shared<NodeState>();
  after->revision_ = revision;
  if (!update.full()) {
    after->resources_ = before.resources_;
  }
  for (const v1::ResourceKey& key : update.remove()) {
    after->resources_.erase({key.kind(), key.name()});
  }
  for (const v1::Resource& wire : update.upsert()) {
    Key key{wire.kind(), wire.name()};
    auto known = before.resources_.find(key);
    bool same =
        known != before.resources_.end() && known->second->wire.document() == wire.document();
    after->resources_[key] = same ? known->second : Load(wire);
  }
  after->Index();
  return std::shared_ptr<const NodeState>(std::move(after));
}

void NodeState::Index() {
  std::vector<identity::BundleSet::Bundle> bundles;
  for (const auto& [key, resource] : resources_) {
    if (resource->registration) {
      registrations_.push_back(resource->registration);
    }
    if (resource->bundle) {
      bundles.push_back(resource->bundle);
    }
  }
  // Names of bundles are unique here, because they are keys.
  StatusOr<identity::BundleSet> set = identity::BundleSet::Create(std::move(bundles));
  if (!set.ok()) {
    LogError("the pushed bundles cannot be used", {{"why", set.status()}});
  }
  bundles_ = std::make_shared<const identity::BundleSet>(set.ok() ? *std::move(set)
                                                                  : identity::BundleSet());
}

std::string NodeState::Encode() const {
  v1::Update whole;
  whole.set_full(true);
  whole.mutable_revision()->set_term(revision_.term);
  whole.mutable_revision()->set_n(revision_.n);
  for (const auto& [key, resource] : resources_) {
    *whole.add_upsert() = resource->wire;
  }
  std::string body = whole.SerializeAsString();
  return Concat(kFileHeader, HexLower(Sha256(body)), "\n", body);
}

StatusOr<std::shared_ptr<const NodeState>> NodeState::Decode(std::string_view text) {
  size_t header_bytes = kFileHeader.size() + 64 + 1;
  if (text.size() < header_bytes || !text.starts_with(kFileHeader) ||
      text[header_bytes - 1] != '\n') {
    return DataLoss("it is not a state file of this version");
  }
  std::string_view digest = text.substr(kFileHeader.size(), 64);
  std::string_view body = text.substr(header_bytes);
  v1::Update whole;
  if (HexLower(Sha256(body)) != digest ||
      !whole.ParseFromArray(body.data(), static_cast<int>(body.size())) || !whole.full()) {
    return DataLoss("its checksum does not hold");
  }
  return Apply(NodeState(), whole);
}

}  // namespace countersign::agent
