#include "identity/server/resource_watch_service.h"

#include <utility>

#include "identity/server/admin_messages.h"
#include "identity/server/peer_identity_service.h"

namespace countersign::server {
namespace {

class RefusedWatch final : public grpc::ServerWriteReactor<v1::WatchEvent> {
 public:
  explicit RefusedWatch(const Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<v1::WatchEvent>* ResourceWatch::Refused(const Status& status) {
  return new RefusedWatch(status);
}

ResourceWatch::ResourceWatch(AdminService& service, std::string_view kind)
    : service_(service), kind_(kind) {}

void ResourceWatch::Changed() {
  std::lock_guard lock(mutex_);
  dirty_ = true;
  WriteNext();
}

void ResourceWatch::WriteNext() {
  if (writing_ || ending_) {
    return;
  }
  if (owed_.empty() && dirty_) {
    Compare();
  }
  if (!owed_.empty()) {
    writing_ = true;
    StartWrite(&owed_.front());
  }
}

void ResourceWatch::Compare() {
  dirty_ = false;
  std::map<std::string, v1::Resource> now =
      ResourcesOf(kind_, *service_.parts_.registry.state(), service_.parts_.sessions.Proxies());
  for (auto& [name, resource] : now) {
    auto found = sent_.find(name);
    if (found == sent_.end() || found->second != resource.document()) {
      sent_[name] = resource.document();
      v1::WatchEvent& event = owed_.emplace_back();
      event.set_type(v1::WatchEvent::UPSERT);
      *event.mutable_resource() = std::move(resource);
    }
  }
  for (auto old = sent_.begin(); old != sent_.end();) {
    if (now.contains(old->first)) {
      ++old;
      continue;
    }
    v1::WatchEvent& event = owed_.emplace_back();
    event.set_type(v1::WatchEvent::REMOVE);
    event.mutable_resource()->set_kind(std::string(kind_));
    event.mutable_resource()->set_name(old->first);
    old = sent_.erase(old);
  }
  if (!std::exchange(synced_, true)) {
    owed_.emplace_back().set_type(v1::WatchEvent::SYNCED);
  }
}

void ResourceWatch::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  owed_.pop_front();
  if (ending_) {
    Finish(*ending_);
  } else if (!ok) {
    Close({grpc::StatusCode::UNAVAILABLE, "the connection is gone"});
  } else {
    WriteNext();
  }
}

void ResourceWatch::Close(const grpc::Status& status) {
  if (ending_) {
    return;
  }
  ending_ = status;
  if (!writing_) {
    Finish(status);
  }
}

void ResourceWatch::OnCancel() {
  std::lock_guard lock(mutex_);
  Close(grpc::Status::CANCELLED);
}

void ResourceWatch::OnDone() {
  service_.Remove(this);
  delete this;
}

}  // namespace countersign::server
