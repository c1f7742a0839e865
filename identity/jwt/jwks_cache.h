// JwksCache keeps one issuer's keys fresh, from a file or from a URL, and says until when they may
// be believed.
//
// It has no thread and no HTTP: whoever owns it calls Poll when it asks to be called, and hands in
// the fetcher. A source that fails or turns bad leaves the last good keys in place, loudly, until
// they are too old; then every token of the issuer is refused.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "base/published.h"
#include "identity/jwt/jwks.h"

namespace countersign::identity {

struct JwksCacheLimits {
  // SPIFFE Federation 5.3 and common issuers; a rotation is published well before its first use.
  static constexpr std::chrono::seconds kRefreshDefault{300};
  // What a refresh hint or max-age may ask for: less is a load on the issuer, more is a revoked key
  // that lives on.
  static constexpr std::chrono::seconds kRefreshMin{30};
  static constexpr std::chrono::seconds kRefreshMax{3600};
  static constexpr std::chrono::seconds kRetryFirst{5};  // Doubled up to kRefreshDefault.
  static constexpr std::chrono::seconds kFilePoll{2};    // One stat.
  // An outage of the issuer shorter than this is not seen by callers.
  static constexpr std::chrono::seconds kMaxAgeDefault{24 * 3600};
  static constexpr std::chrono::seconds kMaxAgeMin{60};
  static constexpr std::chrono::seconds kMaxAgeMax{7 * 24 * 3600};
  // Anybody can send a token with a new kid; this is what it may cost the issuer.
  static constexpr std::chrono::seconds kEarlyFetchGap{30};
  static constexpr size_t kUnknownKeyIdsMax = 256;  // Some 64 KiB.
};

// FetchedJwks is the body of a successful answer.
struct FetchedJwks {
  std::string body;
  std::chrono::seconds max_age{0};  // Of Cache-Control; zero when it says nothing.
};

// JwksFetcher gets a key set over HTTPS. Fetch blocks, and ends within limits of its own.
class JwksFetcher {
 public:
  virtual ~JwksFetcher() = default;
  virtual StatusOr<FetchedJwks> Fetch(const std::string& url) = 0;
};

// JwksSnapshot is what a verifier takes into its TrustedIssuer.
struct JwksSnapshot {
  std::shared_ptr<const Jwks> keys;  // Never null.
  WallTime usable_until;
};

class JwksCache {
 public:
  struct File {
    std::string path;
  };
  struct Url {
    std::string url;
    JwksFetcher* fetcher;  // Outlives the cache.
  };
  struct Options {
    std::string issuer;  // For the log.
    std::variant<File, Url> source;
    JwkProfile profile = JwkProfile::kSignature;
    std::chrono::seconds max_age = JwksCacheLimits::kMaxAgeDefault;
  };
  // Create refuses an empty path or URL and a max_age out of the limits. `clock` outlives the
  // cache.
  static StatusOr<std::unique_ptr<JwksCache>> Create(Options options, const Clock& clock);
  JwksCache(const JwksCache&) = delete;
  JwksCache& operator=(const JwksCache&) = delete;

  // Poll does what is due, which may block in the fetcher, and says when to call again. One thread.
  MonotonicTime Poll();

  // NoteUnknownKeyId says that a token named a key which is not there. True when the next Poll is
  // now due earlier than Poll said, so that its thread is worth waking: once for each kid, and
  // never so that the source is asked twice within kEarlyFetchGap. Any thread.
  bool NoteUnknownKeyId(std::string_view kid);

  // snapshots is empty until keys were read for the first time. Any thread. The same keys are
  // published again when they were confirmed and may be believed for longer.
  const Published<JwksSnapshot>& snapshots() const { return snapshots_; }

  // last_error is why the newest attempt failed; OK when it did not. Any thread.
  Status last_error() const;

 private:
  JwksCache(Options options, const Clock& clock)
      : options_(std::move(options)), clock_(clock), next_regular_(clock.Monotonic()) {}

  void Attempt(MonotonicTime now);
  // Each reads its source and says in how long to look again.
  StatusOr<std::chrono::seconds> ReadFileIfChanged(const std::string& path);
  StatusOr<std::chrono::seconds> FetchUrl(const Url& source);
  Status Take(std::string body);
  void Confirm();
  void SayFailure(const Status& error);
  void SayWhenTooOld();
  MonotonicTime DueAt() const;  // With mutex_ held.

  const Options options_;
  const Clock& clock_;
  Published<JwksSnapshot> snapshots_;

  // Poll's thread only.
  std::shared_ptr<const Jwks> keys_;
  std::string body_;  // That keys_ was read from.
  std::optional<struct stat> file_seen_;
  std::string said_;  // The failure that was logged last, so that a file's is said once.
  bool is_too_old_ = false;

  mutable std::mutex mutex_;
  MonotonicTime next_regular_;
  std::optional<MonotonicTime> last_attempt_;
  std::optional<MonotonicTime> early_;  // An attempt that an unknown kid asked for.
  unsigned failures_ = 0;               // In a row.
  Status last_error_;
  std::map<std::string, MonotonicTime, std::less<>> unknown_;  // Kid, and when to forget it.
};

}  // namespace countersign::identity
