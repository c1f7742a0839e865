#include "identity/jwt/jwks_cache.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "identity/jwt/limits.h"

namespace countersign::identity {
namespace {

using std::chrono::seconds;
using Limits = JwksCacheLimits;

bool IsSameFile(const struct stat& a, const struct stat& b) {
  auto is_same_time = [](const timespec& x, const timespec& y) {
    return x.tv_sec == y.tv_sec && x.tv_nsec == y.tv_nsec;
  };
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         is_same_time(a.st_mtim, b.st_mtim) && is_same_time(a.st_ctim, b.st_ctim);
}

seconds RetryAfter(unsigned failures) {
  seconds wait = Limits::kRetryFirst;
  for (unsigned i = 1; i < failures && wait < Limits::kRefreshDefault; ++i) {
    wait *= 2;
  }
  return std::min(wait, Limits::kRefreshDefault);
}

}  // namespace

StatusOr<std::unique_ptr<JwksCache>> JwksCache::Create(Options options, const Clock& clock) {
  const auto* file = std::get_if<File>(&options.source);
  const auto* url = std::get_if<Url>(&options.source);
  if (file != nullptr ? file->path.empty() : url->url.empty() || url->fetcher == nullptr) {
    return InvalidArgument("keys of issuer ", Quoted(options.issuer), " have no source");
  }
  if (options.max_age < Limits::kMaxAgeMin || options.max_age > Limits::kMaxAgeMax) {
    return InvalidArgument("keys of issuer ", Quoted(options.issuer), " may be used for ",
                           options.max_age.count(), " seconds; use ", Limits::kMaxAgeMin.count(),
                           " to ", Limits::kMaxAgeMax.count());
  }
  return std::unique_ptr<JwksCache>(new JwksCache(std::move(options), clock));
}

MonotonicTime JwksCache::Poll() {
  MonotonicTime now = clock_.Monotonic();
  bool is_due = false;
  {
    std::lock_guard lock(mutex_);
    is_due = now >= DueAt();
    if (is_due) {
      last_attempt_ = now;
      early_.reset();
    }
  }
  if (is_due) {
    Attempt(now);
  }
  SayWhenTooOld();
  std::lock_guard lock(mutex_);
  return DueAt();
}

MonotonicTime JwksCache::DueAt() const {
  return early_.has_value() ? std::min(*early_, next_regular_) : next_regular_;
}

void JwksCache::Attempt(MonotonicTime now) {
  const auto* file = std::get_if<File>(&options_.source);
  StatusOr<seconds> wait =
      file != nullptr ? ReadFileIfChanged(file->path) : FetchUrl(std::get<Url>(options_.source));
  if (wait.ok()) {
    Confirm();
  } else {
    SayFailure(wait.status());
  }
  std::lock_guard lock(mutex_);
  last_error_ = wait.status();
  failures_ = wait.ok() ? 0 : failures_ + 1;
  seconds retry = file != nullptr ? Limits::kFilePoll : RetryAfter(failures_);
  next_regular_ = now + (wait.ok() ? *wait : retry);
}

StatusOr<seconds> JwksCache::ReadFileIfChanged(const std::string& path) {
  // The facts from before the read: a change in between is seen by the next poll.
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) {
    file_seen_.reset();
    return ErrnoError(errno, Concat("read ", path));
  }
  if (file_seen_.has_value() && IsSameFile(*file_seen_, facts)) {
    return Limits::kFilePoll;
  }
  ASSIGN_OR_RETURN(std::string body, ReadFile(path, JwtLimits::kJwksBytesMax));
  // Noted only when it is good, so that a bad file stays an error at every poll.
  RETURN_IF_ERROR(Take(std::move(body)));
  file_seen_ = facts;
  return Limits::kFilePoll;
}

StatusOr<seconds> JwksCache::FetchUrl(const Url& source) {
  ASSIGN_OR_RETURN(FetchedJwks fetched, source.fetcher->Fetch(source.url));
  if (fetched.body.size() > JwtLimits::kJwksBytesMax) {
    return ResourceExhausted("key set is larger than the limit of ", JwtLimits::kJwksBytesMax,
                             " bytes");
  }
  RETURN_IF_ERROR(Take(std::move(fetched.body)));
  seconds asked = keys_->refresh_hint().count() != 0 ? keys_->refresh_hint() : fetched.max_age;
  return asked.count() == 0 ? Limits::kRefreshDefault
                            : std::clamp(asked, Limits::kRefreshMin, Limits::kRefreshMax);
}

Status JwksCache::Take(std::string body) {
  if (keys_ != nullptr && body == body_) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Jwks keys, Jwks::Parse(body, options_.profile));
  for (const std::string& ignored : keys.ignored()) {
    LogInfo("passed over a key", {{"issuer", options_.issuer}, {"key", ignored}});
  }
  LogInfo("took keys", {{"issuer", options_.issuer}, {"keys", keys.keys().size()}});
  keys_ = std::make_shared<const Jwks>(std::move(keys));
  body_ = std::move(body);
  return absl::OkStatus();
}

void JwksCache::Confirm() {
  said_.clear();
  is_too_old_ = false;
  JwksSnapshot next{keys_, clock_.Now() + options_.max_age};
  std::shared_ptr<const JwksSnapshot> current = snapshots_.Get();
  // Readers build a verifier for each snapshot, so keys that stayed are told again only when it
  // matters. A wall clock that was set back makes the difference negative; that matters too.
  bool is_told = current != nullptr && current->keys == next.keys &&
                 next.usable_until >= current->usable_until &&
                 next.usable_until - current->usable_until < options_.max_age / 8;
  if (!is_told) {
    snapshots_.Publish(std::make_shared<const JwksSnapshot>(std::move(next)));
  }
}

void JwksCache::SayFailure(const Status& error) {
  bool is_file = std::holds_alternative<File>(options_.source);
  // A file is looked at every two seconds, a URL less and less often.
  if (is_file && said_ == Message(error)) {
    return;
  }
  said_ = std::string(Message(error));
  std::shared_ptr<const JwksSnapshot> current = snapshots_.Get();
  LogError("keys of a token issuer could not be read",
           {{"issuer", options_.issuer},
            {"error", error},
            {"last good until",
             current != nullptr ? FormatTime(current->usable_until) : "there are none"}});
}

void JwksCache::SayWhenTooOld() {
  std::shared_ptr<const JwksSnapshot> current = snapshots_.Get();
  if (current != nullptr && !is_too_old_ && clock_.Now() >= current->usable_until) {
    is_too_old_ = true;
    LogError("keys of a token issuer are too old; its tokens are refused",
             {{"issuer", options_.issuer}, {"since", FormatTime(current->usable_until)}});
  }
}

bool JwksCache::NoteUnknownKeyId(std::string_view kid) {
  if (std::holds_alternative<File>(options_.source)) {
    return false;  // A change of the file is seen in time by itself.
  }
  std::lock_guard lock(mutex_);
  MonotonicTime now = clock_.Monotonic();
  std::erase_if(unknown_, [now](const auto& entry) { return now >= entry.second; });
  if (unknown_.contains(kid)) {
    return false;
  }
  // Beyond the limit a kid is not remembered, so it can ask again; the gap below still holds.
  if (unknown_.size() < Limits::kUnknownKeyIdsMax && kid.size() <= JwtLimits::kKeyIdBytesMax) {
    unknown_.emplace(kid, now + Limits::kRefreshDefault);
  }
  if (early_.has_value() || failures_ > 0) {
    return false;  // Asked for already, or the source is being waited for.
  }
  MonotonicTime at =
      last_attempt_.has_value() ? std::max(now, *last_attempt_ + Limits::kEarlyFetchGap) : now;
  if (at >= next_regular_) {
    return false;
  }
  early_ = at;
  return true;
}

Status JwksCache::last_error() const {
  std::lock_guard lock(mutex_);
  return last_error_;
}

}  // namespace countersign::identity
