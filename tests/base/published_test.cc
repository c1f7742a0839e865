#include "base/published.h"

#include <gtest/gtest.h>

#include <thread>

namespace countersign {
namespace {

TEST(PublishedTest, ReaderSeesEachNewSnapshotOnce) {
  Published<int> source;
  Published<int>::Reader reader(source);
  EXPECT_EQ(reader.current(), nullptr);
  EXPECT_FALSE(reader.Refresh());
  source.Publish(std::make_shared<const int>(1));
  EXPECT_TRUE(reader.Refresh());
  EXPECT_FALSE(reader.Refresh());
  EXPECT_EQ(*reader.current(), 1);
}

TEST(PublishedTest, AnOldSnapshotLivesWhileItIsHeld) {
  Published<int> source(std::make_shared<const int>(1));
  std::shared_ptr<const int> held = source.Get();
  std::weak_ptr<const int> watched = held;
  source.Publish(std::make_shared<const int>(2));
  EXPECT_EQ(*held, 1);
  held.reset();
  EXPECT_TRUE(watched.expired());
}

TEST(PublishedTest, ReadersNeverSeeSnapshotsOutOfOrder) {
  Published<int> source(std::make_shared<const int>(0));
  constexpr int kLast = 20'000;
  std::thread reader_thread([&] {
    Published<int>::Reader reader(source);
    int last = 0;
    while (last < kLast) {
      reader.Refresh();
      ASSERT_GE(*reader.current(), last);
      last = *reader.current();
    }
  });
  for (int i = 1; i <= kLast; ++i) {
    source.Publish(std::make_shared<const int>(i));
  }
  reader_thread.join();
}

}  // namespace
}  // namespace countersign
