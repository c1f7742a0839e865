#include "identity/server/node_messages.h"

#include <string>

namespace countersign::server {

v1::Revision ToProto(Revision revision) {
  v1::Revision out;
  out.set_term(revision.term);
  out.set_n(revision.n);
  return out;
}

Revision FromProto(const v1::Revision& revision) { return {revision.term(), revision.n()}; }

v1::PolicySetVersion ToProto(const PolicySetVersion& version) {
  v1::PolicySetVersion out;
  out.set_set(version.set);
  out.set_version(version.version);
  out.set_digest(version.digest);
  for (const std::string& document : version.documents) {
    out.add_documents(document);
  }
  out.set_author(version.author);
  out.set_applied_unix_ms(version.applied_unix_ms);
  out.set_rollback_of(version.rollback_of);
  return out;
}

v1::ProxyStatus ToProto(const RunningProxy& proxy) {
  v1::ProxyStatus out;
  out.set_instance(proxy.instance);
  out.set_workload_id(proxy.workload_id);
  out.set_agent_id(proxy.agent_id);
  out.set_pid(proxy.pid);
  out.set_ready(proxy.ready);
  for (const RunningDigest& digest : proxy.acknowledged) {
    v1::SetDigest* to = out.add_acknowledged();
    to->set_set(digest.set);
    to->set_version(digest.version);
    to->set_digest(digest.digest);
  }
  out.set_refused(proxy.refused);
  out.set_svid_serial(proxy.svid_serial);
  out.set_svid_expires_unix_ms(proxy.svid_expires_unix_ms);
  out.set_seen_unix_ms(proxy.seen_unix_ms);
  out.set_config_version(proxy.config_version);
  return out;
}

RunningProxy FromProto(const v1::ProxyStatus& proxy) {
  RunningProxy out;
  out.instance = proxy.instance();
  out.workload_id = proxy.workload_id();
  out.pid = proxy.pid();
  out.ready = proxy.ready();
  for (const v1::SetDigest& digest : proxy.acknowledged()) {
    out.acknowledged.push_back({digest.set(), digest.version(), digest.digest()});
  }
  out.refused = proxy.refused();
  out.svid_serial = proxy.svid_serial();
  out.svid_expires_unix_ms = proxy.svid_expires_unix_ms();
  out.seen_unix_ms = proxy.seen_unix_ms();
  out.config_version = proxy.config_version();
  return out;
}

v1::Resource ToResource(const NodeView::value_type& item) {
  v1::Resource out;
  out.set_kind(std::string(item.first.first));
  out.set_name(item.first.second);
  *out.mutable_revision() = ToProto(item.second.revision);
  if (item.second.set != nullptr) {
    out.set_document(ToProto(*item.second.set).SerializeAsString());
  } else {
    out.set_document(*item.second.document);
  }
  return out;
}

v1::Update MakeUpdate(Revision revision, const ViewChange& change, bool full) {
  v1::Update update;
  *update.mutable_revision() = ToProto(revision);
  update.set_full(full);
  for (NodeView::const_iterator item : change.upsert) {
    *update.add_upsert() = ToResource(*item);
  }
  for (NodeView::const_iterator item : change.remove) {
    v1::ResourceKey* key = update.add_remove();
    key->set_kind(std::string(item->first.first));
    key->set_name(item->first.second);
  }
  return update;
}

}  // namespace countersign::server
