#include "sds/agent/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>

#include "base/log.h"

namespace countersign::agent {
namespace {

constexpr std::chrono::nanoseconds kTickAtLeastEvery = std::chrono::seconds(1);

Status AddReadable(int epoll, int fd) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoError(errno, "watch a descriptor");
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  Fd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll.valid() || !wakeup.valid()) {
    return ErrnoError(errno, "make an event loop");
  }
  RETURN_IF_ERROR(AddReadable(epoll.get(), wakeup.get()));
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(wakeup)));
}

EventLoop::~EventLoop() { Stop(); }

void EventLoop::Start(Work on_tick) {
  CHECK(!thread_.joinable());
  on_tick_ = std::move(on_tick);
  thread_ = std::thread([this] { Run(); });
}

void EventLoop::Stop() {
  std::vector<Work> dropped;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(posted_);
  }
  dropped.clear();  // Outside the lock: what work holds may post while it goes.
  ::eventfd_write(wakeup_.get(), 1);
  if (thread_.joinable()) {
    thread_.join();
  }
}

void EventLoop::Post(Work work) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) {
      return;
    }
    posted_.push_back(std::move(work));
  }
  ::eventfd_write(wakeup_.get(), 1);
}

void EventLoop::PostAndWait(Work work) {
  // The promise goes with the work, run or dropped; a broken promise also ends the wait.
  auto done = std::make_shared<std::promise<void>>();
  std::future<void> finished = done->get_future();
  Post([done = std::move(done), work = std::move(work)] {
    work();
    done->set_value();
  });
  finished.wait();
}

Status EventLoop::Watch(int fd, Work on_readable) {
  RETURN_IF_ERROR(AddReadable(epoll_.get(), fd));
  watched_[fd] = std::make_shared<Work>(std::move(on_readable));
  return absl::OkStatus();
}

void EventLoop::Unwatch(int fd) {
  if (watched_.erase(fd) != 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
}

void EventLoop::TickWithin(std::chrono::nanoseconds delay) {
  tick_within_ = std::clamp(delay, std::chrono::nanoseconds(0), tick_within_);
}

void EventLoop::Run() {
  for (;;) {
    if (!RunPosted()) {
      return;
    }
    tick_within_ = kTickAtLeastEvery;
    on_tick_();
    auto wait = std::chrono::ceil<std::chrono::milliseconds>(tick_within_);
    epoll_event events[64];
    int count = ::epoll_wait(epoll_.get(), events, 64, static_cast<int>(wait.count()));
    if (count < 0 && errno != EINTR) {
      LogError("the event loop cannot wait", {{"errno", errno}});
      return;
    }
    for (int i = 0; i < count; ++i) {
      DispatchReadable(events[i].data.fd);
    }
  }
}

void EventLoop::DispatchReadable(int fd) {
  if (fd == wakeup_.get()) {
    eventfd_t ignored = 0;
    ::eventfd_read(fd, &ignored);
    return;
  }
  if (auto found = watched_.find(fd); found != watched_.end()) {
    std::shared_ptr<Work> work = found->second;  // It may unwatch itself.
    (*work)();
  }
}

bool EventLoop::RunPosted() {
  std::vector<Work> batch;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) {
      return false;
    }
    batch.swap(posted_);
  }
  for (Work& work : batch) {
    work();
  }
  return true;
}

}  // namespace countersign::agent
