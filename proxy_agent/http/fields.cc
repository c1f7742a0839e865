#include "proxy_agent/http/fields.h"

#include <algorithm>

namespace countersign::proxy::http {
namespace {

constexpr std::array<char, 256> MakeTokenLower() {
  std::array<char, 256> table = {};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")) {
    table[static_cast<uint8_t>(c)] = c;
  }
  for (char c = 'A'; c <= 'Z'; ++c) {
    table[static_cast<uint8_t>(c)] = static_cast<char>(c - 'A' + 'a');
  }
  return table;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char c) { return IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'f'); }

struct KnownName {
  std::string_view name;
  HeaderId id;
  HeaderFate fate;
};
// Sorted by length, so that one look at the length leaves two or three candidates.
constexpr KnownName kKnownNames[] = {
    {"te", HeaderId::kTe, HeaderFate::kHopByHop},
    {"host", HeaderId::kHost, HeaderFate::kHost},
    {"expect", HeaderId::kExpect, HeaderFate::kEndToEnd},
    {"trailer", HeaderId::kTrailer, HeaderFate::kHopByHop},
    {"upgrade", HeaderId::kUpgrade, HeaderFate::kHopByHop},
    {"forwarded", HeaderId::kForwarded, HeaderFate::kInternal},
    {"connection", HeaderId::kConnection, HeaderFate::kHopByHop},
    {"keep-alive", HeaderId::kKeepAlive, HeaderFate::kHopByHop},
    {"tracestate", HeaderId::kTracestate, HeaderFate::kEndToEnd},
    {"retry-after", HeaderId::kRetryAfter, HeaderFate::kEndToEnd},
    {"traceparent", HeaderId::kTraceparent, HeaderFate::kEndToEnd},
    {"content-type", HeaderId::kContentType, HeaderFate::kEndToEnd},
    {"authorization", HeaderId::kAuthorization, HeaderFate::kEndToEnd},
    {"content-length", HeaderId::kContentLength, HeaderFate::kLength},
    {"http2-settings", HeaderId::kHttp2Settings, HeaderFate::kHopByHop},
    {"proxy-connection", HeaderId::kProxyConnection, HeaderFate::kHopByHop},
    {"transfer-encoding", HeaderId::kTransferEncoding, HeaderFate::kHopByHop},
    {"x-forwarded-client-cert", HeaderId::kXForwardedClientCert, HeaderFate::kInternal},
};
constexpr size_t kKnownBytesMax = 23;

// kFirstOfLength[n] is the first entry whose name has n bytes or more.
constexpr auto kFirstOfLength = [] {
  std::array<uint8_t, kKnownBytesMax + 2> first = {};
  for (size_t n = 0; n < first.size(); ++n) {
    uint8_t at = 0;
    while (at < std::size(kKnownNames) && kKnownNames[at].name.size() < n) {
      ++at;
    }
    first[n] = at;
  }
  return first;
}();

// HasPrefix reads every byte but letters and digits as '-': applications that read CGI variables do
// not tell them apart.
bool HasPrefix(std::string_view name, std::string_view prefix) {
  if (name.size() < prefix.size()) {
    return false;
  }
  for (size_t i = 0; i < prefix.size(); ++i) {
    const bool plain = IsDigit(name[i]) || (name[i] >= 'a' && name[i] <= 'z');
    if ((plain ? name[i] : '-') != prefix[i]) {
      return false;
    }
  }
  return true;
}

bool IsInternal(std::string_view name) {
  switch (name.front()) {
    case 'x':
      return HasPrefix(name, "x-forwarded-") || HasPrefix(name, "x-envoy-") ||
             HasPrefix(name, "x-countersign-");
    case 'l':
      return HasPrefix(name, "l5d-");
    default:
      return false;
  }
}

bool IsPort(std::string_view text) {
  if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), IsDigit)) {
    return false;
  }
  uint32_t port = 0;
  for (const char c : text) {
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  return port <= 65535;
}

}  // namespace

const std::array<char, 256> kTokenLower = MakeTokenLower();

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

bool IsFieldValue(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsFieldByte);
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string_view TrimOws(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

void Classify(Header& header) {
  header.id = HeaderId::kOther;
  header.fate = HeaderFate::kEndToEnd;
  const size_t size = header.name.size();
  if (size <= kKnownBytesMax) {
    for (size_t i = kFirstOfLength[size]; i < kFirstOfLength[size + 1]; ++i) {
      if (kKnownNames[i].name == header.name) {
        header.id = kKnownNames[i].id;
        header.fate = kKnownNames[i].fate;
        return;
      }
    }
  }
  if (IsInternal(header.name)) {
    header.fate = HeaderFate::kInternal;
  }
}

bool NextListItem(std::string_view& list, std::string_view& item) {
  if (list.data() == nullptr) {
    return false;
  }
  const size_t comma = list.find(',');
  item = TrimOws(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  return true;
}

std::optional<uint64_t> ParseContentLength(std::string_view text) {
  // 18 digits cannot overflow and are an exabyte. A leading zero is refused because some readers
  // take it for octal.
  if (text.empty() || text.size() > 18 || (text.size() > 1 && text.front() == '0')) {
    return std::nullopt;
  }
  uint64_t value = 0;
  for (const char c : text) {
    if (!IsDigit(c)) {
      return std::nullopt;
    }
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

bool IsAuthority(std::string_view text) {
  if (text.empty() || text.size() > 255 + 6) {
    return false;
  }
  size_t host_end = 0;
  if (text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close < 3) {
      return false;
    }
    for (const char c : text.substr(1, close - 1)) {
      if (!IsHexDigit(c) && c != ':' && c != '.') {
        return false;
      }
    }
    host_end = close + 1;
  } else {
    while (host_end < text.size() && text[host_end] != ':') {
      const char c = Lower(text[host_end]);
      if (!IsDigit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '.' && c != '_' && c != '~') {
        return false;
      }
      ++host_end;
    }
    if (host_end == 0) {
      return false;
    }
  }
  return host_end == text.size() || (text[host_end] == ':' && IsPort(text.substr(host_end + 1)));
}

}  // namespace countersign::proxy::http
