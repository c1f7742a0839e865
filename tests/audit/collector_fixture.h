// What the tests of the whole way of a record share: recorder, ring, handover, collector, log.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "audit/log/collector.h"
#include "audit/log/log_entry.h"
#include "audit/log/tile_files.h"
#include "audit/record/recorder.h"
#include "audit/record/ring_handover.h"
#include "tests/audit/sample_records.h"
#include "tests/support/temp_dir.h"

namespace countersign::audit {

using Milliseconds = std::chrono::milliseconds;

// Eventually waits for a condition; the machine may be slow.
inline bool Eventually(const std::function<bool()>& condition) {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

// CollectorTest makes a collector, rings and handovers in a folder of the test's own.
class CollectorTest : public testing::Test {
 protected:
  AuditCollector::Options Options() const {
    return {.socket_path = dir_.File("audit.sock"),
            .socket_mode = 0600,
            .log_dir = dir_.File("audit"),
            .origin = "shop.example/agent/node-1",
            .node = "spiffe://shop.example/agent/node-1",
            .workloads_of =
                [](const HandoverPeer&) {
                  return std::vector<std::string>{"spiffe://shop.example/ns/prod/sa/orders"};
                },
            .commit_interval = Milliseconds(2)};
  }
  std::unique_ptr<AuditCollector> StartCollector() const {
    auto collector = AuditCollector::Start(Options(), Clock::System());
    EXPECT_TRUE(collector.ok()) << collector.status();
    return collector.ok() ? *std::move(collector) : nullptr;
  }
  RingHandover::Options HandoverOptions() const {
    RingHandover::Options options;
    options.socket_path = dir_.File("audit.sock");
    options.retry_first = Milliseconds(5);
    options.retry_max = Milliseconds(20);
    return options;
  }
  std::unique_ptr<RingHandover> HandOver(const Recorder& recorder) const {
    auto handover = RingHandover::Start(HandoverOptions(), {{&recorder.ring(), recorder.name()}});
    CHECK(handover.ok());
    return *std::move(handover);
  }
  static std::unique_ptr<Recorder> MakeRecorder() {
    auto recorder = Recorder::Create({.name = "w0", .ring_bytes = 1 << 20}, Clock::System());
    CHECK(recorder.ok());
    return *std::move(recorder);
  }
  // Records reads every record of the log, in order.
  std::vector<ParsedRecord> Records() const {
    std::vector<ParsedRecord> records;
    for (uint64_t n = 0;; ++n) {
      StatusOr<std::string> bundle = ReadTile(dir_.File("audit"), {kEntriesLevel, n});
      if (!bundle.ok()) {
        return records;
      }
      for (std::string_view bytes : SplitBundle(*bundle, kTileWidth)) {
        StatusOr<LogEntry> entry = ParseEntry(bytes);
        CHECK(entry.ok());
        records.push_back(*ParsedRecord::Parse(entry->record));
      }
    }
  }
  // DecisionNumbers gives the connection number of each decision, which the tests count up.
  std::vector<uint64_t> DecisionNumbers() const {
    std::vector<uint64_t> numbers;
    for (const ParsedRecord& record : Records()) {
      if (record.decision() != nullptr) {
        numbers.push_back(record.decision()->connection_id);
      }
    }
    return numbers;
  }

  TempDir dir_;
};

inline bool RecordNumbered(Recorder& recorder, uint64_t number) {
  SampleDecision sample;
  sample.record.id = recorder.NewId();
  sample.record.connection_id = number;
  return static_cast<bool>(recorder.RecordDecision(sample.record, Durability::kStrict));
}

inline std::vector<uint64_t> UpTo(uint64_t count) {
  std::vector<uint64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace countersign::audit
