#include "identity/jwt/bearer.h"

#include <algorithm>

namespace countersign::identity {
namespace {

constexpr std::string_view kScheme = "bearer";

// RFC 9110 11.1: the scheme's case does not count.
bool IsBearerScheme(std::string_view scheme) {
  return std::equal(scheme.begin(), scheme.end(), kScheme.begin(), kScheme.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

// What base64url and the dots of a compact JWS are made of.
bool IsTokenByte(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

}  // namespace

std::variant<BearerToken, TokenError> FindBearer(std::span<const std::string_view> authorization) {
  if (authorization.empty()) {
    return TokenError::kNoToken;
  }
  if (authorization.size() > 1) {
    return TokenError::kManyTokens;
  }
  std::string_view field = authorization.front();
  size_t scheme_end = std::min(field.find(' '), field.size());
  if (!IsBearerScheme(field.substr(0, scheme_end))) {
    return TokenError::kOtherScheme;
  }
  // RFC 9110 11.4: one or more spaces after the scheme.
  size_t begin = std::min(field.find_first_not_of(' ', scheme_end), field.size());
  std::string_view text = field.substr(begin);
  if (text.find_first_of(" ,\t") != std::string_view::npos) {
    return TokenError::kManyTokens;
  }
  if (text.empty() || !std::all_of(text.begin(), text.end(), IsTokenByte)) {
    return TokenError::kMalformedBearer;
  }
  return BearerToken{text};
}

}  // namespace countersign::identity
