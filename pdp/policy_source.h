// A folder of policy files as the policy in force: loaded, compiled, watched.
//
// It judges nothing. Whatever is wrong with the folder, the last good policy stays in force; before
// the first good one there is none, and everything is denied.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/kinds/loader.h"
#include "base/clock.h"
#include "base/published.h"
#include "base/status.h"
#include "pdp/limits.h"

namespace countersign::pdp {

// ActivePolicy is one compiled policy with working memory for whoever judges by it. Safe for any
// thread.
class ActivePolicy {
 public:
  explicit ActivePolicy(std::shared_ptr<const authz::CompiledPolicy> policy)
      : policy_(std::move(policy)) {}

  const authz::CompiledPolicy& policy() const { return *policy_; }

  // Loan is a scratch fitted to the policy, given back when it goes. It does not outlive the
  // policy.
  class Loan {
   public:
    explicit Loan(const ActivePolicy& from);
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    authz::DecisionScratch& scratch() { return scratch_; }

   private:
    const ActivePolicy& from_;
    authz::DecisionScratch scratch_;
  };

 private:
  std::shared_ptr<const authz::CompiledPolicy> policy_;
  mutable std::mutex mutex_;
  mutable std::vector<authz::DecisionScratch> free_;  // Guarded by mutex_; one for each judge.
};

// PolicyState is what health and metrics say of the source.
struct PolicyState {
  bool ready = false;  // A policy is in force.
  std::string digest;  // Of the policy in force; empty if there is none.
  size_t rules = 0;
  std::optional<WallTime> loaded_at;
  uint64_t loads_good = 0;
  uint64_t loads_refused = 0;
  std::string refused;  // Why the folder as it is now is not in force; empty: it is.
};

// PolicySource watches from Start to destruction, in a thread of its own. All methods are safe for
// any thread.
class PolicySource {
 public:
  // Start tries the folder once before it returns; a folder that cannot be taken is no error.
  static std::unique_ptr<PolicySource> Start(std::string folder, const Clock& clock,
                                             const PdpLimits& limits);
  ~PolicySource();
  PolicySource(const PolicySource&) = delete;
  PolicySource& operator=(const PolicySource&) = delete;

  // Active is the policy in force, or null before the first good load.
  std::shared_ptr<const ActivePolicy> Active() const { return active_.Get(); }
  PolicyState State() const;
  // LookNow makes the thread read the folder at once.
  void LookNow();

 private:
  PolicySource(std::string folder, const Clock& clock, const PdpLimits& limits);
  void Watch();
  bool Sleep(std::chrono::milliseconds time);  // False: the source is ending.
  std::string Look(std::vector<authz::SourceFile>& files) const;
  void LookAndTake();
  void Take(const std::vector<authz::SourceFile>& files, const std::string& seen);
  void Refuse(const std::string& seen, std::string why);

  const std::string folder_;
  const Clock& clock_;
  const PdpLimits limits_;
  Published<ActivePolicy> active_;
  std::string seen_;  // What the folder held when it was last taken or refused; Watch's alone.
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;  // Guarded by mutex_, as what follows.
  bool look_now_ = false;
  PolicyState state_;
  std::thread thread_;
};

}  // namespace countersign::pdp
