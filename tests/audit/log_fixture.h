// LogFixture makes node logs in a folder of the test's own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "audit/log/node_log.h"
#include "audit/log/tile_files.h"
#include "base/file.h"
#include "tests/audit/sample_records.h"
#include "tests/support/temp_dir.h"

namespace countersign::audit {

class LogFixture : public testing::Test {
 protected:
  static constexpr const char* kOrigin = "shop.example/agent/node-1";

  StatusOr<std::unique_ptr<NodeLog>> TryOpen() {
    return NodeLog::Open({folder_, kOrigin, "spiffe://shop.example/agent/node-1"}, clock_);
  }
  std::unique_ptr<NodeLog> Open() {
    auto log = TryOpen();
    EXPECT_TRUE(log.ok()) << log.status();
    return log.ok() ? *std::move(log) : nullptr;
  }
  // Add appends decisions numbered on from those before and commits them.
  void Add(NodeLog& log, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      AppendNumbered(log, next_++);
    }
    Status status = log.Commit();
    ASSERT_TRUE(status.ok()) << status;
  }
  static void AppendNumbered(NodeLog& log, uint64_t number) {
    SampleDecision sample;
    sample.record.id = IdOf(number);
    sample.record.connection_id = number;
    log.Append({kRing, number + 1}, EncodeToString(sample.record));
  }
  static DecisionId IdOf(uint64_t number) {
    DecisionId id = SampleId(1);
    for (size_t i = 0; i < 8; ++i) {
      id[8 + i] = static_cast<uint8_t>(number >> (56 - 8 * i));
    }
    return id;
  }
  std::string Path(std::string_view name) const { return Concat(folder_, "/", name); }
  std::string Read(std::string_view name) const { return *ReadFile(Path(name), 1 << 26); }
  void Write(std::string_view name, std::string_view content) {
    ASSERT_TRUE(WriteFileAtomically(Path(name), content, 0600).ok());
  }
  bool Has(std::string_view name) const { return std::filesystem::exists(Path(name)); }
  // BundleName is the path of a bundle or tile as it lies on disk.
  std::string BundleName(int level, uint64_t n) const {
    return FindTile(folder_, {level, n})->substr(folder_.size() + 1);
  }

  static constexpr RingId kRing = {7, 7, 7};
  TempDir dir_;
  std::string folder_ = dir_.File("audit");
  FakeClock clock_{WallTime(std::chrono::seconds(1'790'000'000))};
  uint64_t next_ = 0;
};

}  // namespace countersign::audit
