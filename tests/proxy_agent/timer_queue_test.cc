#include "proxy_agent/timer_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace countersign::proxy {
namespace {

MonotonicTime At(int64_t ms) { return MonotonicTime(std::chrono::milliseconds(ms)); }

class Recorder final : public Deadline::Owner {
 public:
  void OnDeadline(Deadline& which) override { fired.push_back(&which); }
  std::vector<Deadline*> fired;
};

TEST(TimerQueueTest, FiresInOrderAndOnce) {
  TimerQueue queue;
  Recorder owner;
  Deadline late(queue, owner);
  Deadline early(queue, owner);
  late.Set(At(20));
  early.Set(At(10));
  EXPECT_EQ(queue.Next(), At(10));
  queue.Run(At(30));
  EXPECT_EQ(owner.fired, (std::vector<Deadline*>{&early, &late}));
  EXPECT_FALSE(early.set());
  queue.Run(At(40));
  EXPECT_EQ(owner.fired.size(), 2u);
}

TEST(TimerQueueTest, ADeadlineThatMovedLaterDoesNotFireAtItsOldTime) {
  TimerQueue queue;
  Recorder owner;
  Deadline deadline(queue, owner);
  deadline.Set(At(10));
  deadline.Set(At(50));
  queue.Run(At(20));
  EXPECT_TRUE(owner.fired.empty());
  EXPECT_EQ(queue.Next(), At(50));
  queue.Run(At(50));
  EXPECT_EQ(owner.fired.size(), 1u);
}

TEST(TimerQueueTest, ADeadlineThatMovedEarlierFiresEarlier) {
  TimerQueue queue;
  Recorder owner;
  Deadline deadline(queue, owner);
  deadline.Set(At(50));
  deadline.Set(At(10));
  queue.Run(At(10));
  EXPECT_EQ(owner.fired.size(), 1u);
}

TEST(TimerQueueTest, ClearedAndDestroyedDeadlinesNeverFire) {
  TimerQueue queue;
  Recorder owner;
  Deadline cleared(queue, owner);
  cleared.Set(At(10));
  cleared.Clear();
  {
    Deadline gone(queue, owner);
    gone.Set(At(10));
  }
  queue.Run(At(20));
  EXPECT_TRUE(owner.fired.empty());
  EXPECT_EQ(queue.Next(), std::nullopt);
}

TEST(TimerQueueTest, RandomMovesKeepTheOrder) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    TimerQueue queue;
    Recorder owner;
    std::vector<std::unique_ptr<Deadline>> deadlines;
    for (int i = 0; i < 40; ++i) {
      deadlines.push_back(std::make_unique<Deadline>(queue, owner));
    }
    std::vector<int64_t> when(deadlines.size(), -1);
    for (int step = 0; step < 300; ++step) {
      const size_t i = random() % deadlines.size();
      if (random() % 5 == 0) {
        deadlines[i]->Clear();
        when[i] = -1;
      } else {
        when[i] = static_cast<int64_t>(random() % 1000);
        deadlines[i]->Set(At(when[i]));
      }
    }
    queue.Run(At(499));
    size_t due = 0;
    for (size_t i = 0; i < when.size(); ++i) {
      due += when[i] >= 0 && when[i] <= 499 ? 1 : 0;
    }
    EXPECT_EQ(owner.fired.size(), due);
    for (Deadline* fired : owner.fired) {
      EXPECT_FALSE(fired->set());
    }
  }
}

}  // namespace
}  // namespace countersign::proxy
