#include "identity/server/node_sessions.h"

#include <algorithm>
#include <utility>

namespace countersign::server {
namespace {

Status CheckReport(const std::vector<RunningProxy>& proxies) {
  if (proxies.size() > NodeSessionLimits::kProxiesMax) {
    return ResourceExhausted("a report names at most ", NodeSessionLimits::kProxiesMax,
                             " proxies, this one ", proxies.size());
  }
  for (const RunningProxy& proxy : proxies) {
    for (const std::string* text :
         {&proxy.instance, &proxy.workload_id, &proxy.refused, &proxy.svid_serial}) {
      if (text->size() > NodeSessionLimits::kTextBytesMax) {
        return ResourceExhausted("a text of a proxy report has at most ",
                                 NodeSessionLimits::kTextBytesMax, " bytes, this one ",
                                 text->size());
      }
    }
    if (proxy.acknowledged.size() > NodeSessionLimits::kSetsMax) {
      return ResourceExhausted("a proxy report names at most ", NodeSessionLimits::kSetsMax,
                               " policy sets");
    }
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t NodeSessions::Connected(const std::string& agent_id, const SvidFacts& svid) {
  std::lock_guard lock(mutex_);
  Session& session = sessions_[agent_id];
  session.number = next_number_++;
  session.status.connected = true;
  session.status.svid = svid;
  return session.number;
}

void NodeSessions::Disconnected(const std::string& agent_id, uint64_t number) {
  std::function<void()> observer;
  {
    std::lock_guard lock(mutex_);
    auto found = sessions_.find(agent_id);
    if (found == sessions_.end() || found->second.number != number) {
      return;
    }
    Session& session = found->second;
    session.status.connected = false;
    // Nobody vouches any more for what the proxies run.
    for (RunningProxy& proxy : session.proxies) {
      proxy.ready = false;
    }
    observer = observer_;
  }
  if (observer) {
    observer();
  }
}

void NodeSessions::Sent(const std::string& agent_id, Revision revision) {
  std::lock_guard lock(mutex_);
  sessions_[agent_id].status.sent = revision;
}

void NodeSessions::Acknowledged(const std::string& agent_id, AckLevel level, Revision revision) {
  std::lock_guard lock(mutex_);
  SessionStatus& status = sessions_[agent_id].status;
  Revision* levels[] = {&status.received, &status.applied, &status.taken};
  Revision& reached = *levels[static_cast<size_t>(level)];
  reached = std::max(reached, revision);
}

void NodeSessions::Renewed(const std::string& agent_id, const SvidFacts& svid) {
  std::lock_guard lock(mutex_);
  sessions_[agent_id].status.svid = svid;
}

Status NodeSessions::Report(const std::string& agent_id, std::vector<RunningProxy> proxies) {
  RETURN_IF_ERROR(CheckReport(proxies));
  for (RunningProxy& proxy : proxies) {
    proxy.agent_id = agent_id;  // By the agent's certificate, not by its word.
  }
  std::function<void()> observer;
  {
    std::lock_guard lock(mutex_);
    sessions_[agent_id].proxies = std::move(proxies);
    observer = observer_;
  }
  if (observer) {
    observer();
  }
  return absl::OkStatus();
}

void NodeSessions::Forget(std::string_view agent_id) {
  std::function<void()> observer;
  {
    std::lock_guard lock(mutex_);
    auto found = sessions_.find(agent_id);
    if (found == sessions_.end()) {
      return;
    }
    sessions_.erase(found);
    observer = observer_;
  }
  if (observer) {
    observer();
  }
}

SessionStatus NodeSessions::Find(std::string_view agent_id) const {
  std::lock_guard lock(mutex_);
  auto found = sessions_.find(agent_id);
  return found == sessions_.end() ? SessionStatus() : found->second.status;
}

std::vector<RunningProxy> NodeSessions::Proxies() const {
  std::lock_guard lock(mutex_);
  std::vector<RunningProxy> all;
  for (const auto& [agent_id, session] : sessions_) {
    all.insert(all.end(), session.proxies.begin(), session.proxies.end());
  }
  return all;
}

void NodeSessions::ObserveProxies(std::function<void()> observer) {
  std::lock_guard lock(mutex_);
  observer_ = std::move(observer);
}

}  // namespace countersign::server
