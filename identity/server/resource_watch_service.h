// ResourceWatch is one open Watch call: it sends what is there of a kind, then each change.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "countersign/v1/admin.grpc.pb.h"
#include "identity/server/admin_service.h"

namespace countersign::server {

// ResourceWatch owns itself: it goes after OnDone. Changes during a write are folded: only what is
// newest is sent. Its mutex is never held while the service's is taken.
class ResourceWatch final : public grpc::ServerWriteReactor<v1::WatchEvent> {
 public:
  ResourceWatch(AdminService& service, std::string_view kind);
  // Refused is a call that ends at once.
  static grpc::ServerWriteReactor<v1::WatchEvent>* Refused(const Status& status);

  void Changed();
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // Called with mutex_ held.
  void WriteNext();
  void Compare();
  void Close(const grpc::Status& status);

  AdminService& service_;
  const std::string_view kind_;
  std::mutex mutex_;
  std::map<std::string, std::string> sent_;  // Name to document. As all below, under mutex_.
  std::deque<v1::WatchEvent> owed_;
  bool synced_ = false;
  bool dirty_ = true;
  bool writing_ = false;
  std::optional<grpc::Status> ending_;
};

}  // namespace countersign::server
