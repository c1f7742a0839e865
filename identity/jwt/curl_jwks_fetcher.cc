#include "identity/jwt/curl_jwks_fetcher.h"

#include <curl/curl.h>

#include <array>
#include <charconv>
#include <mutex>
#include <string_view>

#include "identity/jwt/limits.h"

namespace countersign::identity {
namespace {

struct CurlCleanup {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlPtr = std::unique_ptr<CURL, CurlCleanup>;
using CurlUrlPtr = std::unique_ptr<CURLU, CurlCleanup>;
using CurlListPtr = std::unique_ptr<curl_slist, CurlCleanup>;

// libcurl's write callback: less than `count` ends the transfer.
size_t AppendBody(const char* bytes, size_t size, size_t count, void* body_ptr) {
  auto& body = *static_cast<std::string*>(body_ptr);
  size_t more = size * count;
  if (more > JwtLimits::kJwksBytesMax - body.size()) {
    return 0;
  }
  body.append(bytes, more);
  return more;
}

// RFC 9111 5.2.2.1; no-store and the like mean nothing here: keys must be kept to verify with.
std::chrono::seconds MaxAge(CURL* handle) {
  curl_header* header = nullptr;
  if (curl_easy_header(handle, "Cache-Control", 0, CURLH_HEADER, -1, &header) != CURLHE_OK) {
    return std::chrono::seconds(0);
  }
  constexpr std::string_view kName = "max-age=";
  std::string_view value = header->value;
  size_t at = value.find(kName);
  uint32_t seconds = 0;
  if (at != std::string_view::npos) {
    std::from_chars(value.data() + at + kName.size(), value.data() + value.size(), seconds);
  }
  return std::chrono::seconds(seconds);
}

std::string UrlPart(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  std::string copy;
  if (curl_url_get(url, part, &text, 0) == CURLUE_OK) {
    copy = text;
  }
  curl_free(text);
  return copy;
}

bool SetOptions(CURL* handle, const std::string& url, const std::string& ca_file) {
  auto set = [handle](CURLoption option, auto value) {
    return curl_easy_setopt(handle, option, value) == CURLE_OK;
  };
  auto milliseconds = [](std::chrono::milliseconds time) {
    return static_cast<long>(time.count());
  };
  return set(CURLOPT_URL, url.c_str()) && set(CURLOPT_PROTOCOLS_STR, "https") &&
         set(CURLOPT_FOLLOWLOCATION, 0L) &&
         set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2}) &&
         set(CURLOPT_SSL_VERIFYPEER, 1L) && set(CURLOPT_SSL_VERIFYHOST, 2L) &&
         set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(FetchLimits::kConnectTimeout)) &&
         set(CURLOPT_TIMEOUT_MS, milliseconds(FetchLimits::kTotalTimeout)) &&
         set(CURLOPT_NOSIGNAL, 1L) && set(CURLOPT_USERAGENT, "countersign") &&
         (ca_file.empty() ||
          (set(CURLOPT_CAINFO, ca_file.c_str()) && set(CURLOPT_CAPATH, nullptr)));
}

}  // namespace

CurlJwksFetcher::CurlJwksFetcher(Options options) : options_(std::move(options)) {
  static std::once_flag once;  // curl_global_init is for one call before all others.
  std::call_once(once, [] { CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
}

Status CurlJwksFetcher::CheckUrl(const std::string& url) {
  CurlUrlPtr parsed(curl_url());
  if (url.size() > FetchLimits::kUrlBytesMax || url.find(char{0}) != std::string::npos ||
      parsed == nullptr ||
      curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK ||
      UrlPart(parsed.get(), CURLUPART_SCHEME) != "https" ||
      !UrlPart(parsed.get(), CURLUPART_FRAGMENT).empty()) {
    return InvalidArgument("URL of a key set must be https, without user and fragment, not ",
                           Quoted(url));
  }
  return absl::OkStatus();
}

StatusOr<FetchedJwks> CurlJwksFetcher::Fetch(const std::string& url) {
  RETURN_IF_ERROR(CheckUrl(url));
  CurlPtr handle(curl_easy_init());
  CurlListPtr headers(
      curl_slist_append(nullptr, "Accept: application/jwk-set+json, application/json"));
  FetchedJwks fetched;
  std::array<char, CURL_ERROR_SIZE> reason{};
  if (handle == nullptr || headers == nullptr || !SetOptions(handle.get(), url, options_.ca_file) ||
      curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get()) != CURLE_OK ||
      curl_easy_setopt(handle.get(), CURLOPT_ERRORBUFFER, reason.data()) != CURLE_OK ||
      curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, AppendBody) != CURLE_OK ||
      curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, &fetched.body) != CURLE_OK) {
    return Internal("prepare to fetch ", Quoted(url));
  }
  CURLcode code = curl_easy_perform(handle.get());
  if (code == CURLE_WRITE_ERROR) {
    return ResourceExhausted("fetch ", Quoted(url), ": more than the limit of ",
                             JwtLimits::kJwksBytesMax, " bytes");
  }
  if (code != CURLE_OK) {
    std::string_view detail = reason[0] != '\0' ? reason.data() : curl_easy_strerror(code);
    return Unavailable("fetch ", Quoted(url), ": ", detail);
  }
  long status = 0;
  curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    return Unavailable("fetch ", Quoted(url), ": answered ", status,
                       "; only 200 is taken, and no redirect is followed");
  }
  fetched.max_age = MaxAge(handle.get());
  return fetched;
}

}  // namespace countersign::identity
