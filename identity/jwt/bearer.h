// Finds the one bearer token of a request (RFC 6750 section 2.1). A token in the query or in a body
// is never read: it would stand in logs and in other people's links.
#pragma once

#include <span>
#include <string_view>
#include <variant>

#include "identity/jwt/token_error.h"

namespace countersign::identity {

// BearerToken is the token as sent; it borrows from the field.
struct BearerToken {
  std::string_view text;
};

// FindBearer takes every Authorization field of a request. Two fields, or one with a comma or a
// space inside, are kManyTokens: two readers could take different tokens from them.
std::variant<BearerToken, TokenError> FindBearer(std::span<const std::string_view> authorization);

}  // namespace countersign::identity
