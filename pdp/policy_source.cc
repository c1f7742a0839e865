#include "pdp/policy_source.h"

#include <algorithm>

#include "base/crypto/hash.h"
#include "base/log.h"

namespace countersign::pdp {
namespace {

// The first error of what was loaded, and how many more there are.
std::string FirstError(const authz::LoadResult& loaded) {
  size_t errors = 0;
  std::string first;
  for (const authz::Diagnostic& found : loaded.diagnostics) {
    if (found.severity == authz::Diagnostic::Severity::kError && errors++ == 0) {
      first = authz::FormatDiagnostic(found);
    }
  }
  return errors > 1 ? Concat(first, " (and ", errors - 1, " more: countersign policy check)")
                    : first;
}

// Names and contents, so that two folders are the same only if they hold the same bytes.
std::string DigestOf(const std::vector<authz::SourceFile>& files) {
  Sha256Hasher hasher;
  for (const authz::SourceFile& file : files) {
    hasher.Update(Concat(file.path.size(), " ", file.content.size(), " "));
    hasher.Update(file.path);
    hasher.Update(file.content);
  }
  return HexLower(hasher.Finish());
}

}  // namespace

ActivePolicy::Loan::Loan(const ActivePolicy& from) : from_(from) {
  std::unique_lock lock(from_.mutex_);
  if (!from_.free_.empty()) {
    scratch_ = std::move(from_.free_.back());
    from_.free_.pop_back();
    return;
  }
  lock.unlock();
  scratch_.Fit(from_.policy());
}

ActivePolicy::Loan::~Loan() {
  std::lock_guard lock(from_.mutex_);
  from_.free_.push_back(std::move(scratch_));
}

std::unique_ptr<PolicySource> PolicySource::Start(std::string folder, const Clock& clock,
                                                  const PdpLimits& limits) {
  std::unique_ptr<PolicySource> source(new PolicySource(std::move(folder), clock, limits));
  source->LookAndTake();
  source->thread_ = std::thread([raw = source.get()] { raw->Watch(); });
  return source;
}

PolicySource::PolicySource(std::string folder, const Clock& clock, const PdpLimits& limits)
    : folder_(std::move(folder)), clock_(clock), limits_(limits) {}

PolicySource::~PolicySource() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

PolicyState PolicySource::State() const {
  std::lock_guard lock(mutex_);
  return state_;
}

void PolicySource::LookNow() {
  {
    std::lock_guard lock(mutex_);
    look_now_ = true;
  }
  wake_.notify_all();
}

bool PolicySource::Sleep(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, time, [this] { return ending_ || look_now_; });
  look_now_ = false;
  return !ending_;
}

void PolicySource::Watch() {
  while (Sleep(limits_.poll)) {
    LookAndTake();
  }
}

// Gives what tells the folder's content: a digest, or the error that reading it met.
std::string PolicySource::Look(std::vector<authz::SourceFile>& files) const {
  StatusOr<std::vector<authz::SourceFile>> read = authz::ReadSources(folder_);
  if (!read.ok()) {
    return Concat("unreadable: ", Message(read.status()));
  }
  files = *std::move(read);
  return DigestOf(files);
}

void PolicySource::LookAndTake() {
  std::vector<authz::SourceFile> files;
  std::string before = Look(files);
  while (before != seen_) {
    if (!Sleep(limits_.settle)) {
      return;
    }
    files.clear();
    std::string after = Look(files);
    if (after == before) {
      Take(files, after);
      return;
    }
    before = std::move(after);
  }
}

void PolicySource::Take(const std::vector<authz::SourceFile>& files, const std::string& seen) {
  if (files.empty()) {
    Refuse(seen, seen.starts_with("unreadable") ? seen : "there are no policy files in it");
    return;
  }
  authz::LoadResult loaded = authz::Load(files);
  if (!loaded.ok() || loaded.sets.empty()) {
    Refuse(seen, loaded.ok() ? "there is no PolicySet in it" : FirstError(loaded));
    return;
  }
  StatusOr<std::shared_ptr<const authz::CompiledPolicy>> policy =
      authz::CompiledPolicy::Compile(std::move(loaded.sets));
  if (!policy.ok()) {
    Refuse(seen, std::string(Message(policy.status())));
    return;
  }
  if ((*policy)->NamesAnyClaim()) {
    LogWarning("rules name claims, and no token is verified here: their allows admit nobody");
  }
  seen_ = seen;
  active_.Publish(std::make_shared<const ActivePolicy>(*policy));
  {
    std::lock_guard lock(mutex_);
    state_.ready = true;
    state_.digest = (*policy)->digest();
    state_.rules = (*policy)->rule_count();
    state_.loaded_at = clock_.Now();
    state_.loads_good++;
    state_.refused.clear();
  }
  LogInfo(
      "policy in force",
      {{"folder", folder_}, {"digest", (*policy)->digest()}, {"rules", (*policy)->rule_count()}});
}

// Logged once for each content: the next look sees the same and is silent.
void PolicySource::Refuse(const std::string& seen, std::string why) {
  seen_ = seen;
  bool ready = false;
  {
    std::lock_guard lock(mutex_);
    state_.loads_refused++;
    state_.refused = why;
    ready = state_.ready;
  }
  LogError(ready ? "policy folder refused: the last good policy stays in force"
                 : "policy folder refused: everything is denied until it is mended",
           {{"folder", folder_}, {"why", why}});
}

}  // namespace countersign::pdp
