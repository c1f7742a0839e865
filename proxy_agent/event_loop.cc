#include "proxy_agent/event_loop.h"

#include <errno.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>

namespace countersign::proxy {
namespace {

// One batch's bound: large enough to save system calls, small enough for the batch's time to be a
// good one.
constexpr int kEventsMax = 256;

}  // namespace

Turn::~Turn() {
  if (queue_ != nullptr) {
    // A null in its place: somebody may be walking the queue.
    std::replace(queue_->begin(), queue_->end(), this, static_cast<Turn*>(nullptr));
  }
}

StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create(const Clock& clock) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) {
    return ErrnoError(errno, "make an epoll");
  }
  ASSIGN_OR_RETURN(Wakeup wakeup, Wakeup::Create());
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;  // Null is the wakeup.
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wakeup.fd(), &event) != 0) {
    return ErrnoError(errno, "watch the wakeup");
  }
  return std::unique_ptr<EventLoop>(new EventLoop(clock, std::move(epoll), std::move(wakeup)));
}

EventLoop::EventLoop(const Clock& clock, Fd epoll, Wakeup wakeup)
    : clock_(clock), epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {
  RefreshTime();
}

EventLoop::~EventLoop() { BuryDead(); }

void EventLoop::BuryDead() {
  // The dead may bury others while they go.
  while (!graves_.empty()) {
    std::vector<std::unique_ptr<Mortal>> dying = std::move(graves_);
    graves_.clear();
  }
}

Status EventLoop::Watch(int fd, EventHandler& handler, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = &handler;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoError(errno, "watch a socket");
  }
  return absl::OkStatus();
}

void EventLoop::Unwatch(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void EventLoop::Post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  wakeup_.Signal();
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (std::function<void()>& task : tasks) {
    task();
  }
}

void EventLoop::RefreshTime() {
  now_ = clock_.Monotonic();
  wall_now_ = clock_.Now();
}

int EventLoop::Timeout() const {
  if (!turns_.empty()) {
    return 0;
  }
  const std::optional<MonotonicTime> next = timers_.Next();
  if (!next.has_value()) {
    return -1;
  }
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(*next - clock_.Monotonic());
  return static_cast<int>(std::clamp<int64_t>(wait.count(), 0, 60'000));
}

void EventLoop::RunBatch() {
  std::array<epoll_event, kEventsMax> events;
  const int count = epoll_wait(epoll_.get(), events.data(), kEventsMax, Timeout());
  RefreshTime();
  // Before anything is looked at, on_batch_'s snapshots too: what is signalled from here on wakes
  // the next batch.
  if (std::any_of(events.begin(), events.begin() + std::max(count, 0),
                  [](const epoll_event& event) { return event.data.ptr == nullptr; })) {
    wakeup_.Clear();
  }
  if (on_batch_) {
    on_batch_();
  }
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.ptr == nullptr) {
      RunPosted();
    } else {
      static_cast<EventHandler*>(event.data.ptr)->OnEvents(event.events);
    }
  }
  timers_.Run(now_);
  RunAll(turns_, turns_running_);
  while (!flushes_.empty()) {
    RunAll(flushes_, flushes_running_);
  }
  BuryDead();
}

void EventLoop::Queue(Turn& turn, std::vector<Turn*>& queue) {
  if (turn.queue_ == nullptr) {
    turn.queue_ = &queue;
    queue.push_back(&turn);
  }
}

void EventLoop::RunAll(std::vector<Turn*>& queue, std::vector<Turn*>& running) {
  running.swap(queue);
  for (Turn* turn : running) {
    if (turn != nullptr) {
      turn->queue_ = &running;
    }
  }
  // By index: a turn that dies puts a null in its place.
  for (size_t i = 0; i < running.size(); ++i) {
    if (Turn* turn = running[i]; turn != nullptr) {
      turn->queue_ = nullptr;
      turn->owner_->OnTurn(*turn);
    }
  }
  running.clear();
}

}  // namespace countersign::proxy
