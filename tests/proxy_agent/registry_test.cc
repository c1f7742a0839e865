#include "proxy_agent/registry.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace countersign::proxy {
namespace {

class Entry final : public Revisable {
 public:
  explicit Entry(Registry& registry) : registry_(registry), handle_(registry.Add(*this)) {}
  void Revise(const Change& change) override {
    ++revised;
    seen = change;
    if (leaves) {
      registry_.Remove(handle_);
    }
  }
  WeakHandle handle() const { return handle_; }
  int revised = 0;
  bool leaves = false;
  Change seen;

 private:
  Registry& registry_;
  WeakHandle handle_;
};

TEST(RegistryTest, AHandleOfAnEntryThatLeftFindsNothingEvenWhenItsSlotIsTakenAgain) {
  Registry registry;
  Entry first(registry);
  const WeakHandle old = first.handle();
  EXPECT_EQ(registry.Find(old), &first);
  registry.Remove(old);
  Entry second(registry);
  EXPECT_EQ(second.handle().slot, old.slot);
  EXPECT_EQ(registry.Find(old), nullptr);
  registry.Remove(old);  // Not the new entry.
  EXPECT_EQ(registry.Find(second.handle()), &second);
}

TEST(RegistryTest, ASweepVisitsEachEntryOnceWithinItsBudget) {
  Registry registry;
  std::vector<std::unique_ptr<Entry>> entries;
  for (int i = 0; i < 10; ++i) {
    entries.push_back(std::make_unique<Entry>(registry));
  }
  registry.BeginSweep({.policy = true, .bundle = false, .svid = false});
  EXPECT_TRUE(registry.Sweep(4));
  EXPECT_TRUE(registry.Sweep(4));
  EXPECT_FALSE(registry.Sweep(4));
  for (const auto& entry : entries) {
    EXPECT_EQ(entry->revised, 1);
    EXPECT_TRUE(entry->seen.policy);
  }
  EXPECT_FALSE(registry.sweeping());
}

TEST(RegistryTest, EntriesMayLeaveWhileTheyAreSwept) {
  Registry registry;
  std::vector<std::unique_ptr<Entry>> entries;
  for (int i = 0; i < 6; ++i) {
    entries.push_back(std::make_unique<Entry>(registry));
    entries.back()->leaves = i % 2 == 0;
  }
  registry.BeginSweep({.policy = true, .bundle = false, .svid = false});
  EXPECT_FALSE(registry.Sweep(100));
  EXPECT_EQ(registry.size(), 3u);
}

TEST(RegistryTest, AChangeDuringASweepStartsItOverWithBothChanges) {
  Registry registry;
  std::vector<std::unique_ptr<Entry>> entries;
  for (int i = 0; i < 4; ++i) {
    entries.push_back(std::make_unique<Entry>(registry));
  }
  registry.BeginSweep({.policy = true, .bundle = false, .svid = false});
  EXPECT_TRUE(registry.Sweep(2));
  registry.BeginSweep({.policy = false, .bundle = true, .svid = false});
  EXPECT_FALSE(registry.Sweep(100));
  for (const auto& entry : entries) {
    EXPECT_TRUE(entry->seen.policy);
    EXPECT_TRUE(entry->seen.bundle);
  }
}

}  // namespace
}  // namespace countersign::proxy
