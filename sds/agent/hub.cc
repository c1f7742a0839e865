#include "sds/agent/hub.h"

#include <algorithm>

#include "base/log.h"

namespace countersign::agent {

void Hub::Add(std::shared_ptr<Subscriber> subscriber) {
  loop_.Post([this, subscriber = std::move(subscriber)] {
    if (!subscribers_.insert(subscriber).second) {
      return;
    }
    Watch(subscriber->process());
    subscriber->Step(*view_);
    on_settled_();
  });
}

void Hub::Remove(std::shared_ptr<Subscriber> subscriber) {
  loop_.Post([this, subscriber = std::move(subscriber)] {
    if (subscribers_.erase(subscriber) != 0) {
      Unwatch(*subscriber->process());
      on_settled_();
    }
  });
}

void Hub::Kick(std::shared_ptr<Subscriber> subscriber) {
  loop_.Post([this, subscriber = std::move(subscriber)] {
    if (subscribers_.contains(subscriber)) {
      subscriber->Step(*view_);
      on_settled_();
    }
  });
}

void Hub::KickAll() {
  loop_.Post([this] { StepAll(); });
}

void Hub::Ask(std::function<void(const AgentView&)> question) {
  loop_.Post([this, question = std::move(question)] { question(*view_); });
}

void Hub::SetView(std::shared_ptr<const AgentView> view) {
  CHECK(view->version > view_->version);
  view_ = std::move(view);
  StepAll();
}

void Hub::StepAll() {
  for (const std::shared_ptr<Subscriber>& subscriber : subscribers_) {
    subscriber->Step(*view_);  // Adding and removing are posted, so the set stays as it is.
  }
  on_settled_();
}

void Hub::CheckSilence(MonotonicTime now) {
  for (const std::shared_ptr<Subscriber>& subscriber : subscribers_) {
    subscriber->CheckSilence(now);
  }
}

uint64_t Hub::settled_version() const {
  uint64_t settled = view_->version;
  for (const std::shared_ptr<Subscriber>& subscriber : subscribers_) {
    settled = std::min(settled, subscriber->settled_version());
  }
  return settled;
}

void Hub::Watch(const std::shared_ptr<const AttestedProcess>& process) {
  if (watched_[process.get()]++ != 0) {
    return;
  }
  const AttestedProcess* ended = process.get();
  Status status = loop_.Watch(process->pidfd(), [this, ended] {
    loop_.Unwatch(ended->pidfd());
    for (const std::shared_ptr<Subscriber>& subscriber : subscribers_) {
      if (subscriber->process().get() == ended) {
        subscriber->Step(*view_);  // It looks at its process first.
      }
    }
  });
  if (!status.ok()) {
    LogError("cannot watch a caller's process", {{"pid", process->pid()}, {"why", status}});
  }
}

void Hub::Unwatch(const AttestedProcess& process) {
  auto found = watched_.find(&process);
  if (found != watched_.end() && --found->second == 0) {
    watched_.erase(found);
    loop_.Unwatch(process.pidfd());
  }
}

StatusOr<std::shared_ptr<void>> StreamSlots::Take(uid_t uid) {
  std::lock_guard lock(mutex_);
  size_t& taken = taken_[uid];
  if (taken >= per_uid_max_) {
    return ResourceExhausted("uid ", uid, " has reached its limit of ", per_uid_max_, " streams");
  }
  ++taken;
  return std::shared_ptr<void>(nullptr, [this, uid](void*) {
    std::lock_guard relock(mutex_);
    if (--taken_[uid] == 0) {
      taken_.erase(uid);
    }
  });
}

}  // namespace countersign::agent
