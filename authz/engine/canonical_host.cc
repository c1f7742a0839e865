// Canonical hosts: what a Host header or :authority means, in one spelling.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "authz/engine/canonical.h"

namespace countersign::authz {
namespace {

constexpr char LowerAscii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Letters, digits, '-' and the '_' that service names in the field have; nothing else names a host.
constexpr bool IsHostByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

CanonicalHost Refuse(CanonicalError error) { return {.error = error}; }

// Reads 1 to 65535 in at most five digits without a leading zero; 0 is an error.
uint16_t ParsePort(std::string_view text) {
  if (text.empty() || text.size() > 5 || text.front() == '0') {
    return 0;
  }
  uint32_t port = 0;
  for (char c : text) {
    if (c < '0' || c > '9') {
      return 0;
    }
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  return port > 65535 ? uint16_t{0} : static_cast<uint16_t>(port);
}

// "[...]" to RFC 5952's form; false if it is not an IPv6 address. Zones have no meaning to others.
bool WriteIpv6(std::string_view inside, std::span<char> buffer, size_t* size) {
  char text[INET6_ADDRSTRLEN];
  if (inside.size() >= sizeof(text)) {
    return false;
  }
  std::memcpy(text, inside.data(), inside.size());
  text[inside.size()] = '\0';
  in6_addr address;
  if (std::memchr(text, 0, inside.size()) != nullptr || inet_pton(AF_INET6, text, &address) != 1) {
    return false;
  }
  if (inet_ntop(AF_INET6, &address, text, sizeof(text)) == nullptr) {
    return false;
  }
  size_t length = std::strlen(text);
  buffer[0] = '[';
  std::memcpy(buffer.data() + 1, text, length);
  buffer[length + 1] = ']';
  *size = length + 2;
  return true;
}

// Lower case without the one trailing dot; labels are not empty.
bool WriteName(std::string_view name, std::span<char> buffer, size_t* size) {
  if (name.ends_with('.')) {
    name.remove_suffix(1);
  }
  bool label_empty = true;
  for (size_t i = 0; i < name.size(); ++i) {
    char c = LowerAscii(name[i]);
    if (c == '.') {
      if (label_empty) {
        return false;
      }
      label_empty = true;
    } else if (IsHostByte(c)) {
      label_empty = false;
    } else {
      return false;
    }
    buffer[i] = c;
  }
  *size = name.size();
  return !label_empty;
}

}  // namespace

std::string CanonicalSni(std::string_view name) {
  std::string canonical(name);
  std::transform(canonical.begin(), canonical.end(), canonical.begin(), LowerAscii);
  if (canonical.ends_with('.')) {
    canonical.pop_back();
  }
  return canonical;
}

CanonicalHost CanonicalizeHost(std::string_view value, std::span<char> buffer) noexcept {
  if (value.empty()) {
    return Refuse(CanonicalError::kEmpty);
  }
  // Host, trailing dot, colon and five digits.
  if (value.size() > CanonicalLimits::kHostBytesMax + 7) {
    return Refuse(CanonicalError::kTooLong);
  }
  if (buffer.size() < kHostBufferBytes) {
    return Refuse(CanonicalError::kBufferTooSmall);
  }
  bool literal = value.front() == '[';
  size_t name_end = literal ? value.find(']') : value.find(':');
  if (literal) {
    if (name_end == std::string_view::npos) {
      return Refuse(CanonicalError::kBadHost);
    }
    ++name_end;
  }
  std::string_view name = value.substr(0, name_end);
  std::string_view rest = name.size() == value.size() ? std::string_view() : value.substr(name_end);
  CanonicalHost result;
  if (!rest.empty()) {
    if (rest.front() != ':') {
      return Refuse(CanonicalError::kBadHost);
    }
    result.port = ParsePort(rest.substr(1));
    if (result.port == 0) {
      return Refuse(CanonicalError::kBadPort);
    }
  }
  size_t size = 0;
  bool written = literal ? WriteIpv6(name.substr(1, name.size() - 2), buffer, &size)
                         : WriteName(name, buffer, &size);
  if (!written) {
    return Refuse(CanonicalError::kBadHost);
  }
  if (size > CanonicalLimits::kHostBytesMax) {
    return Refuse(CanonicalError::kTooLong);
  }
  result.host = {buffer.data(), size};
  return result;
}

}  // namespace countersign::authz
