// The alphabet of HTTP: which bytes may stand where, and which field names mean something to us.
//
// RFC 9110 section 5 (fields) and RFC 9112 section 5. Pure functions over bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy_agent/http/head.h"

namespace countersign::proxy::http {

// kTokenLower maps a token character (RFC 9110 5.6.2) to its lower case, every other byte to 0.
extern const std::array<char, 256> kTokenLower;

inline bool IsTokenChar(char c) { return kTokenLower[static_cast<uint8_t>(c)] != 0; }

// IsFieldByte is true for what a field value may contain: HTAB, SP, visible ASCII, obs-text.
inline bool IsFieldByte(char c) {
  const auto u = static_cast<uint8_t>(c);
  return (u >= 0x20 && u != 0x7f) || u == '\t';
}

bool IsToken(std::string_view text);
// IsFieldValue is true for a value that is neither empty nor able to break out of its line.
bool IsFieldValue(std::string_view text);

bool EqualsIgnoringCase(std::string_view a, std::string_view b);
std::string_view TrimOws(std::string_view text);

// Classify fills id and fate from the name, which is in lower case.
void Classify(Header& header);

// NextListItem cuts the first comma-separated item off `list`, trimmed; false at the end. Items
// may be empty.
bool NextListItem(std::string_view& list, std::string_view& item);

// ParseContentLength reads 1*DIGIT without sign, list or leading zero; nothing else.
std::optional<uint64_t> ParseContentLength(std::string_view text);

// IsAuthority is true for a host (reg-name, IPv4 or bracketed IPv6) with an optional port, and no
// user information. RFC 3986 section 3.2 without percent-escapes, which no real host name has.
bool IsAuthority(std::string_view text);

}  // namespace countersign::proxy::http
