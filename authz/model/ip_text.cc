#include "authz/model/ip_text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace countersign::authz {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr uint8_t kMappedBits = 96;

bool IsMapped(const std::array<uint8_t, 16>& bytes) {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
}

std::string FormatBytes(const std::array<uint8_t, 16>& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  if (IsMapped(bytes)) {
    ::inet_ntop(AF_INET, bytes.data() + kMappedPrefix.size(), text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
  }
  return text.data();
}

void ClearBeyond(uint8_t prefix_bits, std::array<uint8_t, 16>& bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    size_t kept = std::min<size_t>(8, prefix_bits > i * 8 ? prefix_bits - i * 8 : 0);
    bytes[i] = static_cast<uint8_t>(bytes[i] & (0xff00U >> kept));
  }
}

}  // namespace

StatusOr<IpAddress> ParseIpAddress(std::string_view text) {
  std::string terminated(text);
  IpAddress address;
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes.begin());
  // inet_pton takes neither octal numbers nor short forms.
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data() + kMappedPrefix.size()) == 1 ||
      ::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) {
    if (terminated.find('\0') == std::string::npos) {
      return address;
    }
  }
  return InvalidArgument("bad IP address ", Quoted(text), " (use 10.1.2.3 or fd00::1)");
}

StatusOr<IpRange> ParseIpRange(std::string_view text) {
  size_t slash = text.find('/');
  std::string_view address_text = text.substr(0, slash);
  StatusOr<IpAddress> address = ParseIpAddress(address_text);
  if (!address.ok()) {
    return InvalidArgument("bad IP range ", Quoted(text),
                           " (use 10.0.0.0/8, fd00::/8 or 10.1.2.3)");
  }
  IpRange range{address->bytes, 128};
  if (slash != std::string_view::npos) {
    std::string_view digits = text.substr(slash + 1);
    bool is_v4 = address_text.find(':') == std::string_view::npos;
    unsigned bits = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    bool good = error == std::errc() && end == digits.data() + digits.size() &&
                bits <= (is_v4 ? 32U : 128U) && (digits.size() == 1 || digits.front() != '0');
    if (!good) {
      return InvalidArgument("bad prefix length in ", Quoted(text), " (0 to ", is_v4 ? "32" : "128",
                             ")");
    }
    range.prefix_bits = static_cast<uint8_t>(is_v4 ? bits + kMappedBits : bits);
    ClearBeyond(range.prefix_bits, range.address);
  }
  return range;
}

std::string FormatIpAddress(const IpAddress& address) { return FormatBytes(address.bytes); }

std::string FormatIpRange(const IpRange& range) {
  bool is_v4 = range.prefix_bits >= kMappedBits && IsMapped(range.address);
  return Concat(FormatBytes(range.address), "/",
                is_v4 ? range.prefix_bits - kMappedBits : range.prefix_bits);
}

}  // namespace countersign::authz
