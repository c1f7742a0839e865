#include "proxy_agent/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <future>

namespace countersign::proxy {
namespace {

std::unique_ptr<EventLoop> Loop() { return *EventLoop::Create(Clock::System()); }

TEST(EventLoopTest, WhatIsPostedWhileABatchBeginsWakesTheNextOne) {
  const std::unique_ptr<EventLoop> loop = Loop();
  int batches = 0;
  // As another thread may at just that moment: after this batch has looked at what is published.
  loop->set_on_batch([&] {
    if (++batches == 1) {
      loop->Post([] {});
    }
  });
  loop->Post([] {});
  loop->RunBatch();
  std::future<void> next = std::async(std::launch::async, [&] { loop->RunBatch(); });
  EXPECT_EQ(next.wait_for(std::chrono::seconds(5)), std::future_status::ready)
      << "the loop sleeps over a wakeup";
  loop->Post([] {});  // Whatever happened, it ends.
  next.wait();
  EXPECT_EQ(batches, 2);
}

class Counter final : public EventHandler {
 public:
  void OnEvents(uint32_t /*events*/) override { ++count; }
  int count = 0;
};

TEST(EventLoopTest, ADuplicateThatIsUnwatchedIsHeardNoMoreThoughItsOriginalLives) {
  const std::unique_ptr<EventLoop> loop = Loop();
  const Fd original(eventfd(1, EFD_CLOEXEC));
  Counter counter;
  {
    const Fd duplicate(dup(original.get()));
    ASSERT_TRUE(loop->Watch(duplicate.get(), counter, EPOLLIN).ok());
    loop->RunBatch();
    EXPECT_EQ(counter.count, 1);
    loop->Unwatch(duplicate.get());
  }
  loop->Post([] {});
  loop->RunBatch();
  EXPECT_EQ(counter.count, 1);
}

}  // namespace
}  // namespace countersign::proxy
