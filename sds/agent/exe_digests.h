// SHA-256 digests of callers' executables, computed aside and remembered.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "sds/agent/agent_limits.h"
#include "sds/agent/attested_process.h"

namespace countersign::agent {

// ExeDigests hashes executables on a thread of its own, so that a large file delays only whoever
// runs it. The file is read through the descriptor that was opened when the process was pinned; a
// digest is remembered under everything that changes when the content does. Safe for any thread.
class ExeDigests {
 public:
  // `on_ready` is called on the hashing thread after each file.
  ExeDigests(const AgentLimits& limits, const Clock& clock, std::function<void()> on_ready);
  ~ExeDigests();
  ExeDigests(const ExeDigests&) = delete;
  ExeDigests& operator=(const ExeDigests&) = delete;

  // Find gives the digest in lower-case hex, or an empty string while it is being computed, or why
  // there is none.
  StatusOr<std::string> Find(const std::shared_ptr<const AttestedProcess>& process);

 private:
  struct Known {
    StatusOr<std::string> digest = std::string();  // Empty while it is being computed.
    uint64_t used = 0;
  };
  struct Spent {
    MonotonicTime minute_began;
    size_t bytes = 0;
  };
  void Run();
  Status SpendLocked(uid_t uid, size_t bytes);
  void ForgetOldestLocked();
  StatusOr<std::string> Hash(const AttestedProcess& process) const;

  const AgentLimits limits_;
  const Clock& clock_;
  const std::function<void()> on_ready_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  std::map<ExeIdentity, Known> known_;
  std::deque<std::shared_ptr<const AttestedProcess>> waiting_;
  std::map<uid_t, Spent> spent_;
  uint64_t uses_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace countersign::agent
