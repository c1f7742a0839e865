// Base64 as RFC 4648 writes it: the standard alphabet with padding (section 4), and the alphabet
// for URLs without padding (section 5). Decoding is strict: one text for each byte string.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign {

std::string Base64Encode(std::string_view bytes);
// Base64Decode refuses white space, missing padding and non-zero spare bits.
StatusOr<std::string> Base64Decode(std::string_view text);

std::string Base64UrlEncode(std::string_view bytes);
StatusOr<std::string> Base64UrlDecode(std::string_view text);

}  // namespace countersign
