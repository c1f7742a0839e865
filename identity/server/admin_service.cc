#include "identity/server/admin_service.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/crypto/hash.h"
#include "base/log.h"
#include "identity/server/admin_messages.h"
#include "identity/server/node_messages.h"
#include "identity/server/resource_watch_service.h"

namespace countersign::server {
namespace {

std::string UserName(uid_t uid) {
  passwd entry = {};
  passwd* found = nullptr;
  std::array<char, 4096> buffer = {};
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return Concat("unix:", found->pw_name);
  }
  return Concat("unix:", uid);
}

std::vector<authz::SourceFile> FromProto(const v1::ApplyRequest& request) {
  std::vector<authz::SourceFile> files;
  for (const v1::SourceFile& file : request.files()) {
    files.push_back({file.path(), file.content()});
  }
  return files;
}

// Logs what an apply or a rollback changed, one line a document.
void LogChanges(const ApplyReport& report, const std::string& author) {
  for (const AppliedChange& change : report.changes) {
    if (change.verb == ChangeVerb::kUnchanged) {
      continue;
    }
    std::string revision = FormatRevision(report.revision);
    if (change.kind == kPolicySetKind) {
      LogInfo("policy set stored", {{"author", author},
                                    {"set", change.name},
                                    {"version", change.version},
                                    {"digest", change.digest},
                                    {"revision", revision}});
    } else {
      LogInfo("document stored", {{"author", author},
                                  {"kind", change.kind},
                                  {"name", change.name},
                                  {"revision", revision}});
    }
  }
}

}  // namespace

StatusOr<std::string> AdminService::Authorize(const grpc::ServerContextBase& context,
                                              std::string_view what) const {
  std::shared_ptr<const UnixCaller> caller =
      listener_ == nullptr ? nullptr : listener_->CallerOf(context);
  if (caller == nullptr) {
    LogWarning("administration refused", {{"call", what}, {"why", "caller unknown"}});
    return PermissionDenied("the caller is not known");
  }
  std::string author = UserName(caller->uid);
  if (caller->uid != 0 && caller->uid != ::geteuid()) {
    LogWarning("administration refused",
               {{"call", what}, {"author", author}, {"pid", caller->pid}});
    return PermissionDenied("only root and the server's own user may administer it, you are ",
                            author);
  }
  return author;
}

grpc::ServerUnaryReactor* AdminService::Answer(
    grpc::CallbackServerContext* context, std::string_view what,
    const std::function<Status(const std::string& author)>& work) {
  StatusOr<std::string> author = Authorize(*context, what);
  Status status = author.status();
  if (author.ok()) {
    status = work(*author);
    LogInfo(
        "administration",
        {{"call", what}, {"author", *author}, {"result", status.ok() ? "ok" : Message(status)}});
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::Get(grpc::CallbackServerContext* context,
                                            const v1::GetRequest* request,
                                            v1::GetResponse* response) {
  return Answer(context, "get", [&](const std::string&) -> Status {
    ASSIGN_OR_RETURN(std::string_view kind, KindOf(request->kind()));
    std::map<std::string, v1::Resource> all =
        ResourcesOf(kind, *parts_.registry.state(), parts_.sessions.Proxies());
    for (auto& [name, resource] : all) {
      if (!request->name().empty() && request->name() != name) {
        continue;
      }
      if (kind == kPolicySetKind) {
        response->add_policy_sets()->ParseFromString(resource.document());
      } else {
        *response->add_resources() = std::move(resource);
      }
    }
    bool empty = response->resources().empty() && response->policy_sets().empty();
    if (!request->name().empty() && empty) {
      return NotFound("there is no ", request->kind(), " ", Quoted(request->name()));
    }
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::WatchEvent>* AdminService::Watch(grpc::CallbackServerContext* context,
                                                              const v1::WatchRequest* request) {
  StatusOr<std::string> author = Authorize(*context, "watch");
  if (!author.ok()) {
    return ResourceWatch::Refused(author.status());
  }
  StatusOr<std::string_view> kind = KindOf(request->kind());
  if (!kind.ok()) {
    return ResourceWatch::Refused(kind.status());
  }
  ResourceWatch* watch = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (watches_.size() >= AdminLimits::kWatchersMax) {
      return ResourceWatch::Refused(ResourceExhausted("the limit of ", AdminLimits::kWatchersMax,
                                                      " open watches is reached"));
    }
    watch = new ResourceWatch(*this, *kind);
    watches_.insert(watch);
  }
  LogInfo("administration", {{"call", "watch"}, {"author", *author}, {"kind", *kind}});
  watch->Changed();
  return watch;
}

void AdminService::Changed() {
  std::lock_guard lock(mutex_);
  for (ResourceWatch* watch : watches_) {
    watch->Changed();
  }
}

void AdminService::Remove(ResourceWatch* watch) {
  std::lock_guard lock(mutex_);
  watches_.erase(watch);
}

grpc::ServerUnaryReactor* AdminService::Apply(grpc::CallbackServerContext* context,
                                              const v1::ApplyRequest* request,
                                              v1::ApplyResponse* response) {
  std::string_view what = request->dry_run() ? "diff" : "apply";
  return Answer(context, what, [&](const std::string& author) -> Status {
    Applier::Mode mode = request->dry_run() ? Applier::Mode::kCompareOnly : Applier::Mode::kStore;
    ASSIGN_OR_RETURN(ApplyReport report,
                     parts_.applier.Apply(FromProto(*request), mode, {author}, parts_.clock.Now()));
    if (report.ok() && mode == Applier::Mode::kStore) {
      LogChanges(report, author);
    }
    *response = ToProto(report);
    return absl::OkStatus();
  });
}

Status AdminService::DeleteAgents(const std::set<std::string>& names) {
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(std::optional<AgentRecord> record, parts_.agents.Find(name));
    if (!record) {
      return NotFound("there is no agent ", Quoted(name), "; nothing was deleted");
    }
  }
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(identity::SpiffeId id, AgentIdOf(parts_.trust_domain, name));
    RETURN_IF_ERROR(parts_.agents.Remove(name));
    parts_.streams.CloseAgent(id.str());
    parts_.sessions.Forget(id.str());
  }
  return absl::OkStatus();
}

Status AdminService::DeleteKeys(const v1::DeleteRequest& request, v1::DeleteResponse& response) {
  std::vector<DocumentKey> keys;
  std::set<std::string> agents;
  for (const v1::ResourceKey& key : request.keys()) {
    ASSIGN_OR_RETURN(std::string_view kind, KindOf(key.kind()));
    if (kind == kAgentKind) {
      agents.insert(key.name());
    } else {
      keys.push_back({std::string(kind), key.name()});
    }
  }
  if (!agents.empty()) {
    return keys.empty() ? DeleteAgents(agents)
                        : InvalidArgument("delete agents in a request of their own");
  }
  ASSIGN_OR_RETURN(Revision revision, parts_.applier.Delete(keys));
  *response.mutable_revision() = ToProto(revision);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* AdminService::Delete(grpc::CallbackServerContext* context,
                                               const v1::DeleteRequest* request,
                                               v1::DeleteResponse* response) {
  return Answer(context, "delete", [&](const std::string& author) -> Status {
    RETURN_IF_ERROR(DeleteKeys(*request, *response));
    for (const v1::ResourceKey& key : request->keys()) {
      LogInfo("document deleted", {{"author", author}, {"kind", key.kind()}, {"name", key.name()}});
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::History(grpc::CallbackServerContext* context,
                                                const v1::HistoryRequest* request,
                                                v1::HistoryResponse* response) {
  return Answer(context, "history", [&](const std::string&) -> Status {
    ASSIGN_OR_RETURN(std::vector<PolicySetVersion> versions,
                     parts_.registry.History(request->set()));
    if (versions.empty()) {
      return NotFound("there is no policy set ", Quoted(request->set()));
    }
    for (const PolicySetVersion& version : versions) {
      *response->add_versions() = ToProto(version);
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::Rollback(grpc::CallbackServerContext* context,
                                                 const v1::RollbackRequest* request,
                                                 v1::ApplyResponse* response) {
  return Answer(context, "rollback", [&](const std::string& author) -> Status {
    ASSIGN_OR_RETURN(ApplyReport report,
                     parts_.applier.Rollback(request->set(), request->to_version(), {author},
                                             parts_.clock.Now()));
    if (report.ok()) {
      LogChanges(report, author);
    }
    *response = ToProto(report);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::CreateJoinToken(grpc::CallbackServerContext* context,
                                                        const v1::CreateJoinTokenRequest* request,
                                                        v1::CreateJoinTokenResponse* response) {
  return Answer(context, "token generate", [&](const std::string& author) -> Status {
    ASSIGN_OR_RETURN(std::string bundle, OwnBundle());
    ASSIGN_OR_RETURN(JoinToken token,
                     parts_.agents.CreateToken(
                         {request->node(), std::chrono::seconds(request->ttl_seconds()), author},
                         parts_.clock.Now()));
    response->set_token(token.token);
    response->set_bundle_sha256(HexLower(Sha256(bundle)));
    response->set_agent_id(token.agent_id.str());
    response->set_expires_unix_ms(
        std::chrono::duration_cast<std::chrono::milliseconds>(token.expires.time_since_epoch())
            .count());
    LogInfo("join token made", {{"author", author},
                                {"agent", token.agent_id.str()},
                                {"expires", FormatTime(token.expires)}});
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::ListAgents(grpc::CallbackServerContext* context,
                                                   const v1::ListAgentsRequest*,
                                                   v1::ListAgentsResponse* response) {
  return Answer(context, "list agents", [&](const std::string&) -> Status {
    ASSIGN_OR_RETURN(std::vector<AgentRecord> records, parts_.agents.All());
    for (const AgentRecord& record : records) {
      ASSIGN_OR_RETURN(identity::SpiffeId id, AgentIdOf(parts_.trust_domain, record.name));
      *response->add_agents() = ToProto(record, id, parts_.sessions.Find(id.str()));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::ListProxies(grpc::CallbackServerContext* context,
                                                    const v1::ListProxiesRequest*,
                                                    v1::ListProxiesResponse* response) {
  return Answer(context, "list proxies", [&](const std::string&) -> Status {
    for (const RunningProxy& proxy : parts_.sessions.Proxies()) {
      *response->add_proxies() = ToProto(proxy);
    }
    return absl::OkStatus();
  });
}

StatusOr<std::string> AdminService::OwnBundle() const {
  Registry::State state = parts_.registry.state();
  auto found = state->bundles.find(parts_.trust_domain.name());
  if (found == state->bundles.end()) {
    return Unavailable("the server has no bundle yet");
  }
  return found->second->document;
}

grpc::ServerUnaryReactor* AdminService::GetServerInfo(grpc::CallbackServerContext* context,
                                                      const v1::GetServerInfoRequest*,
                                                      v1::GetServerInfoResponse* response) {
  return Answer(context, "server info", [&](const std::string&) -> Status {
    ASSIGN_OR_RETURN(std::string bundle, OwnBundle());
    ASSIGN_OR_RETURN(Revision revision, parts_.store.CurrentRevision());
    response->set_trust_domain(parts_.trust_domain.name());
    *response->mutable_revision() = ToProto(revision);
    response->set_bundle_sha256(HexLower(Sha256(bundle)));
    response->set_bundle(std::move(bundle));
    response->set_version(COUNTERSIGN_VERSION);
    return absl::OkStatus();
  });
}

}  // namespace countersign::server
