// The hub knows every subscriber, gives each view to all of them, and knows how far they are.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "sds/agent/agent_limits.h"
#include "sds/agent/event_loop.h"
#include "sds/agent/subscriber.h"

namespace countersign::agent {

// Hub lives on the event loop's thread; Add, Remove and Kick may be called on any. A subscriber is
// stepped when it is added, when it is kicked, at each new view, and when its process ends.
class Hub {
 public:
  // `on_settled` is called on the loop's thread when settled_version() may have risen.
  Hub(EventLoop& loop, std::function<void()> on_settled)
      : loop_(loop), on_settled_(std::move(on_settled)), view_(std::make_shared<AgentView>()) {}
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  void Add(std::shared_ptr<Subscriber> subscriber);
  void Remove(std::shared_ptr<Subscriber> subscriber);
  void Kick(std::shared_ptr<Subscriber> subscriber);
  // KickAll is for facts about callers that became known apart from a view.
  void KickAll();
  // Ask runs `question` on the loop's thread with the newest view.
  void Ask(std::function<void(const AgentView&)> question);

  // Loop's thread only.
  void SetView(std::shared_ptr<const AgentView> view);
  const AgentView& view() const { return *view_; }
  void CheckSilence(MonotonicTime now);
  // settled_version is the newest view that every subscriber has.
  uint64_t settled_version() const;
  size_t subscriber_count() const { return subscribers_.size(); }

 private:
  void Watch(const std::shared_ptr<const AttestedProcess>& process);
  void Unwatch(const AttestedProcess& process);
  void StepAll();

  EventLoop& loop_;
  const std::function<void()> on_settled_;
  std::shared_ptr<const AgentView> view_;
  std::set<std::shared_ptr<Subscriber>> subscribers_;
  std::map<const AttestedProcess*, size_t> watched_;  // How many subscribers each process has.
};

// StreamSlots counts open streams by user. Safe for any thread.
class StreamSlots {
 public:
  explicit StreamSlots(size_t per_uid_max) : per_uid_max_(per_uid_max) {}
  // Take fails when the user has all it may have; the slot is free again when the last copy of
  // the result goes. The slots outlive it.
  StatusOr<std::shared_ptr<void>> Take(uid_t uid);

 private:
  const size_t per_uid_max_;
  std::mutex mutex_;
  std::map<uid_t, size_t> taken_;  // Guarded by mutex_.
};

}  // namespace countersign::agent
