// SyncSpy hears every fsync of the test's process: which files and folders were made durable.
//
// A test that includes it must link countersign::sync_spy, which stands in for the C library's
// fsync() and does the same.
#pragma once

#include <set>
#include <string>

namespace countersign {

// SyncSpy listens while it lives; one at a time. Safe for any thread.
class SyncSpy {
 public:
  SyncSpy();
  ~SyncSpy();
  SyncSpy(const SyncSpy&) = delete;
  SyncSpy& operator=(const SyncSpy&) = delete;

  // synced gives the paths so far, as they were when they were synced.
  std::set<std::string> synced() const;
};

}  // namespace countersign
