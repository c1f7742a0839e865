#include "identity/server/admin_messages.h"

#include <utility>

#include "identity/server/node_messages.h"

namespace countersign::server {
namespace {

int64_t UnixMs(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

v1::Change::Verb ToProto(ChangeVerb verb) {
  switch (verb) {
    case ChangeVerb::kUnchanged:
      return v1::Change::UNCHANGED;
    case ChangeVerb::kCreated:
      return v1::Change::CREATED;
    case ChangeVerb::kConfigured:
      return v1::Change::CONFIGURED;
    case ChangeVerb::kDeleted:
      return v1::Change::DELETED;
  }
  return v1::Change::UNCHANGED;
}

v1::Resource Resource(std::string_view kind, const std::string& name, std::string document,
                      Revision revision) {
  v1::Resource resource;
  resource.set_kind(std::string(kind));
  resource.set_name(name);
  resource.set_document(std::move(document));
  *resource.mutable_revision() = ToProto(revision);
  return resource;
}

template <class T>
std::map<std::string, v1::Resource> Documents(std::string_view kind, const ByName<Typed<T>>& all) {
  std::map<std::string, v1::Resource> out;
  for (const auto& [name, item] : all) {
    out[name] = Resource(kind, name, item->document, item->revision);
  }
  return out;
}

}  // namespace

v1::ApplyResponse ToProto(const ApplyReport& report) {
  v1::ApplyResponse out;
  for (const AppliedChange& change : report.changes) {
    v1::Change* to = out.add_changes();
    to->set_verb(ToProto(change.verb));
    to->set_kind(change.kind);
    to->set_name(change.name);
    to->set_old_document(change.old_document);
    to->set_new_document(change.new_document);
    to->set_version(change.version);
    to->set_digest(change.digest);
  }
  for (const authz::Diagnostic& diagnostic : report.diagnostics) {
    v1::Diagnostic* to = out.add_diagnostics();
    to->set_severity(diagnostic.severity == authz::Diagnostic::Severity::kError
                         ? v1::Diagnostic::ERROR
                         : v1::Diagnostic::WARNING);
    to->set_file(diagnostic.where.file);
    to->set_line(diagnostic.where.line);
    to->set_column(diagnostic.where.column);
    to->set_message(diagnostic.message);
  }
  *out.mutable_revision() = ToProto(report.revision);
  return out;
}

v1::AgentStatus ToProto(const AgentRecord& record, const identity::SpiffeId& id,
                        const SessionStatus& session) {
  v1::AgentStatus out;
  out.set_id(id.str());
  out.set_connected(session.connected);
  out.set_svid_serial(record.svid.serial);
  out.set_svid_expires_unix_ms(UnixMs(record.svid.not_after));
  out.set_attested_unix_ms(UnixMs(record.attested));
  *out.mutable_sent() = ToProto(session.sent);
  *out.mutable_received() = ToProto(session.received);
  *out.mutable_applied() = ToProto(session.applied);
  *out.mutable_taken() = ToProto(session.taken);
  return out;
}

StatusOr<std::string_view> KindOf(std::string_view word) {
  constexpr std::pair<std::string_view, std::string_view> kWords[] = {
      {"registration", kRegistrationKind}, {"service", kServiceKind}, {"route", kRouteKind},
      {"policyset", kPolicySetKind},       {"agent", kAgentKind},     {"proxy", kProxyKind},
      {"bundle", kTrustBundleKind}};
  for (const auto& [known, kind] : kWords) {
    if (word == known || word == kind) {
      return kind;
    }
  }
  return InvalidArgument("unknown kind ", Quoted(word),
                         " (know registration, service, route, policyset, bundle, proxy, agent)");
}

std::map<std::string, v1::Resource> ResourcesOf(std::string_view kind, const RegistryState& state,
                                                const std::vector<RunningProxy>& proxies) {
  if (kind == kRegistrationKind) {
    return Documents(kind, state.registrations);
  }
  if (kind == kServiceKind) {
    return Documents(kind, state.services);
  }
  if (kind == kRouteKind) {
    return Documents(kind, state.routes);
  }
  if (kind == kTrustBundleKind) {
    return Documents(kind, state.bundles);
  }
  std::map<std::string, v1::Resource> out;
  if (kind == kPolicySetKind) {
    for (const auto& [name, set] : state.sets) {
      out[name] = Resource(kPolicySetVersionKind, name, ToProto(set->version).SerializeAsString(),
                           set->revision);
    }
  } else if (kind == kProxyKind) {
    for (const RunningProxy& proxy : proxies) {
      std::string name = Concat(proxy.agent_id, "#", proxy.instance);
      out[name] = Resource(kind, name, ToProto(proxy).SerializeAsString(), {});
    }
  }
  return out;
}

}  // namespace countersign::server
