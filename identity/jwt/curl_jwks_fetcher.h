// CurlJwksFetcher gets key sets over HTTPS with libcurl: for the server and the agent, never for
// the proxy. curl_jwks_fetcher.cc is the one file that knows libcurl.
#pragma once

#include <chrono>
#include <string>

#include "identity/jwt/jwks_cache.h"

namespace countersign::identity {

struct FetchLimits {
  static constexpr std::chrono::seconds kConnectTimeout{5};
  static constexpr std::chrono::seconds kTotalTimeout{15};  // One fetch blocks all others.
  static constexpr size_t kUrlBytesMax = 2048;
};

// CurlJwksFetcher has no state between fetches; safe for any thread. HTTPS alone, TLS 1.2 or newer,
// the server's certificate and name verified, no redirects, no cookies, no credentials: an answer
// other than 200 is an error.
class CurlJwksFetcher final : public JwksFetcher {
 public:
  struct Options {
    std::string ca_file;  // PEM; empty: the system's authorities.
  };
  explicit CurlJwksFetcher(Options options);

  // CheckUrl says whether this fetcher would ask that URL at all.
  static Status CheckUrl(const std::string& url);

  StatusOr<FetchedJwks> Fetch(const std::string& url) override;

 private:
  const Options options_;
};

}  // namespace countersign::identity
