// AdminService is administration over the server's Unix socket. Who calls is the kernel's word;
// only root and the server's own user may. Every call that changes something is logged with its
// author.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/unix_grpc/unix_grpc_listener.h"
#include "countersign/v1/admin.grpc.pb.h"
#include "identity/server/agent_directory.h"
#include "identity/server/applier.h"
#include "identity/server/node_sessions.h"
#include "identity/server/node_stream_service.h"
#include "identity/server/registry.h"

namespace countersign::server {

struct AdminLimits {
  static constexpr int kMessageBytesMax = 40
                                          << 20;  // A whole apply: the loader's 32 MiB and names.
  static constexpr size_t kWatchersMax = 256;
};

class ResourceWatch;

// AdminService is safe for any thread. What it is given outlives it; its gRPC server is shut down
// before it goes.
class AdminService final : public v1::Admin::CallbackService {
 public:
  struct Parts {
    Registry& registry;
    Applier& applier;
    AgentDirectory& agents;
    NodeSessions& sessions;
    NodeStreamService& streams;
    Store& store;
    identity::TrustDomain trust_domain;
    const Clock& clock;
  };
  explicit AdminService(const Parts& parts) : parts_(parts) {}
  // SetListener is called once, before the first call can come.
  void SetListener(const UnixGrpcListener& listener) { listener_ = &listener; }

  // Changed wakes every watch; the registry and the sessions call it.
  void Changed();

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const v1::GetRequest* request,
                                v1::GetResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchEvent>* Watch(grpc::CallbackServerContext* context,
                                                  const v1::WatchRequest* request) override;
  grpc::ServerUnaryReactor* Apply(grpc::CallbackServerContext* context,
                                  const v1::ApplyRequest* request,
                                  v1::ApplyResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteRequest* request,
                                   v1::DeleteResponse* response) override;
  grpc::ServerUnaryReactor* History(grpc::CallbackServerContext* context,
                                    const v1::HistoryRequest* request,
                                    v1::HistoryResponse* response) override;
  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext* context,
                                     const v1::RollbackRequest* request,
                                     v1::ApplyResponse* response) override;
  grpc::ServerUnaryReactor* CreateJoinToken(grpc::CallbackServerContext* context,
                                            const v1::CreateJoinTokenRequest* request,
                                            v1::CreateJoinTokenResponse* response) override;
  grpc::ServerUnaryReactor* ListAgents(grpc::CallbackServerContext* context,
                                       const v1::ListAgentsRequest* request,
                                       v1::ListAgentsResponse* response) override;
  grpc::ServerUnaryReactor* ListProxies(grpc::CallbackServerContext* context,
                                        const v1::ListProxiesRequest* request,
                                        v1::ListProxiesResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;

 private:
  friend class ResourceWatch;
  // Authorize is the author's name, "unix:root", or an error.
  StatusOr<std::string> Authorize(const grpc::ServerContextBase& context,
                                  std::string_view what) const;
  // Runs one unary call: authorizes, works, logs, answers.
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, std::string_view what,
                                   const std::function<Status(const std::string& author)>& work);
  Status DeleteAgents(const std::set<std::string>& names);
  Status DeleteKeys(const v1::DeleteRequest& request, v1::DeleteResponse& response);
  StatusOr<std::string> OwnBundle() const;
  void Remove(ResourceWatch* watch);

  const Parts parts_;
  const UnixGrpcListener* listener_ = nullptr;
  std::mutex mutex_;  // Taken before a watch's own.
  std::set<ResourceWatch*> watches_;
};

}  // namespace countersign::server
