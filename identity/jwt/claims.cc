#include "identity/jwt/claims.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>

#include "identity/jwt/limits.h"

namespace countersign::identity {
namespace {

// RFC 7519 section 2: seconds since the epoch, fractions allowed. Times that a WallTime can't hold
// are cut to one in the year 2255, which is as good as never.
constexpr double kSecondsMax = 9.0e9;
constexpr double kYear9999Seconds = 253402300799.0;

std::optional<WallTime> ReadTime(const Json& value) {
  if (!value.is_number()) {
    return std::nullopt;
  }
  auto seconds = value.get<double>();
  if (!(seconds >= 0 && seconds <= kYear9999Seconds)) {
    return std::nullopt;
  }
  auto whole = static_cast<int64_t>(std::floor(std::min(seconds, kSecondsMax)));
  return WallTime(std::chrono::seconds(whole));
}

// ReadText leaves `text` empty when the claim is absent; false when it is no string.
bool ReadText(const Json& claims, const char* name, std::string& text) {
  auto member = claims.find(name);
  if (member == claims.end()) {
    return true;
  }
  if (!member->is_string()) {
    return false;
  }
  text = member->get<std::string>();
  return true;
}

// RFC 7519 4.1.3: one string or an array of them.
std::optional<TokenError> ReadAudiences(const Json& claims, std::vector<std::string>& audiences) {
  auto member = claims.find("aud");
  if (member == claims.end()) {
    return TokenError::kNoAudience;
  }
  if (member->is_string()) {
    audiences.push_back(member->get<std::string>());
    return std::nullopt;
  }
  if (!member->is_array()) {
    return TokenError::kWrongClaimType;
  }
  for (const Json& audience : *member) {
    if (!audience.is_string()) {
      return TokenError::kWrongClaimType;
    }
    audiences.push_back(audience.get<std::string>());
  }
  return audiences.empty() ? std::optional(TokenError::kNoAudience) : std::nullopt;
}

std::string TextOfNumber(const Json& number) {
  if (number.is_number_unsigned()) {
    return Concat(number.get<uint64_t>());
  }
  if (number.is_number_integer()) {
    return Concat(number.get<int64_t>());
  }
  auto value = number.get<double>();
  // Up to here every integer is exact in a double, so 7, 7.0 and 70e-1 are one number and one text.
  constexpr double kExactMax = 9007199254740992.0;
  if (std::trunc(value) == value && std::abs(value) < kExactMax) {
    return Concat(static_cast<int64_t>(value));
  }
  std::array<char, 32> text{};
  auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  CHECK(error == std::errc());
  return {text.data(), end};
}

std::optional<std::string> TextOf(const Json& value) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (value.is_boolean()) {
    return value.get<bool>() ? "true" : "false";
  }
  if (value.is_number()) {
    return TextOfNumber(value);
  }
  return std::nullopt;
}

class Flattener {
 public:
  explicit Flattener(std::vector<Claim>& claims) : claims_(claims) {}

  // Recursion ends at the reader's depth limit.
  std::optional<TokenError> Members(const Json& object, const std::string& prefix) {
    for (const auto& [name, value] : object.items()) {
      std::string path = prefix + name;
      // A name may hold a dot itself, so two places can have one path; whichever was meant, the
      // other could be believed.
      if (!paths_.insert(path).second) {
        return TokenError::kAmbiguousClaim;
      }
      std::optional<TokenError> error =
          value.is_object() ? Members(value, path + ".") : Values(path, value);
      if (error.has_value()) {
        return error;
      }
    }
    return std::nullopt;
  }

 private:
  std::optional<TokenError> Values(const std::string& path, const Json& value) {
    if (value.is_array()) {
      for (const Json& element : value) {
        if (std::optional<TokenError> error = Add(path, TextOf(element))) {
          return error;
        }
      }
      return std::nullopt;
    }
    // RFC 8693 4.2: `scope` is a list in one string, with a space between its elements.
    if (path == "scope" && value.is_string()) {
      return Scopes(value.get_ref<const std::string&>());
    }
    return Add(path, TextOf(value));
  }
  std::optional<TokenError> Scopes(std::string_view rest) {
    while (!rest.empty()) {
      size_t end = std::min(rest.find(' '), rest.size());
      if (end > 0) {
        if (std::optional<TokenError> error = Add("scope", std::string(rest.substr(0, end)))) {
          return error;
        }
      }
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return std::nullopt;
  }
  std::optional<TokenError> Add(const std::string& path, std::optional<std::string> value) {
    if (!value.has_value()) {
      return std::nullopt;
    }
    if (claims_.size() == JwtLimits::kClaimValuesMax) {
      return TokenError::kTooManyClaims;
    }
    claims_.push_back({path, *std::move(value)});
    return std::nullopt;
  }

  std::vector<Claim>& claims_;
  std::set<std::string> paths_;
};

}  // namespace

std::optional<TokenError> ReadStandardClaims(const Json& claims, TokenFacts& facts) {
  if (!ReadText(claims, "iss", facts.issuer) || !ReadText(claims, "sub", facts.subject)) {
    return TokenError::kWrongClaimType;
  }
  if (std::optional<TokenError> error = ReadAudiences(claims, facts.audiences)) {
    return error;
  }
  auto expiry = claims.find("exp");
  if (expiry == claims.end()) {
    return TokenError::kNoExpiry;
  }
  for (const char* name : {"exp", "nbf", "iat"}) {
    if (auto time = claims.find(name); time != claims.end() && !ReadTime(*time).has_value()) {
      return TokenError::kWrongClaimType;
    }
  }
  facts.not_after = *ReadTime(*expiry) + JwtLimits::kLeeway;
  return std::nullopt;
}

std::optional<TokenError> CheckTimes(const Json& claims, const TokenFacts& facts, WallTime now) {
  // RFC 7519 4.1.4: "on or after which the JWT MUST NOT be accepted".
  if (now >= facts.not_after) {
    return TokenError::kExpired;
  }
  auto is_ahead = [&](const char* name) {
    auto time = claims.find(name);
    return time != claims.end() && *ReadTime(*time) > now + JwtLimits::kLeeway;
  };
  if (is_ahead("nbf")) {
    return TokenError::kNotYetValid;
  }
  if (is_ahead("iat")) {
    return TokenError::kIssuedInFuture;
  }
  return std::nullopt;
}

std::optional<TokenError> FlattenClaims(const Json& claims, TokenFacts& facts) {
  if (std::optional<TokenError> error = Flattener(facts.claims).Members(claims, "")) {
    return error;
  }
  std::stable_sort(facts.claims.begin(), facts.claims.end(),
                   [](const Claim& a, const Claim& b) { return a.path < b.path; });
  return std::nullopt;
}

}  // namespace countersign::identity
