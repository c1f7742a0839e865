// AdminClient calls the server's administration socket. It knows messages, not how they are shown.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "countersign/v1/admin.pb.h"

namespace countersign::cli {

// AdminClient is one connection. Not thread-safe, but Stop.
class AdminClient {
 public:
  // Connect fails at once if nobody listens at the path.
  static StatusOr<std::unique_ptr<AdminClient>> Connect(const std::string& socket_path);
  ~AdminClient();

  StatusOr<v1::GetResponse> Get(const v1::GetRequest& request);
  StatusOr<v1::ApplyResponse> Apply(const v1::ApplyRequest& request);
  StatusOr<v1::DeleteResponse> Delete(const v1::DeleteRequest& request);
  StatusOr<v1::HistoryResponse> History(const v1::HistoryRequest& request);
  StatusOr<v1::ApplyResponse> Rollback(const v1::RollbackRequest& request);
  StatusOr<v1::CreateJoinTokenResponse> CreateJoinToken(const v1::CreateJoinTokenRequest& request);
  StatusOr<v1::ListAgentsResponse> ListAgents();
  StatusOr<v1::ListProxiesResponse> ListProxies();
  StatusOr<v1::GetServerInfoResponse> GetServerInfo();

  // Watch calls for each event until the server ends or the callback returns false.
  Status Watch(const std::string& kind, const std::function<bool(const v1::WatchEvent&)>& on_event);

 private:
  struct Connection;
  explicit AdminClient(std::unique_ptr<Connection> connection);
  std::unique_ptr<Connection> connection_;
};

}  // namespace countersign::cli
