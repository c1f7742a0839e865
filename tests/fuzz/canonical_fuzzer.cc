// Any bytes as a request target, a host and a query. Canonical values are in their alphabet, within
// their buffers and their own canonical form.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "authz/engine/canonical.h"

namespace countersign::authz {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

bool HasDotSegmentOrEmptySegment(std::string_view path) {
  return path.find("//") != std::string_view::npos || path.find("/./") != std::string_view::npos ||
         path.find("/../") != std::string_view::npos || path.ends_with("/.") ||
         path.ends_with("/..");
}

void CheckPath(std::string_view target, PathRelaxations relaxations, bool strict) {
  std::vector<char> buffer(target.size());
  CanonicalTarget result = CanonicalizePath(target, relaxations, buffer);
  if (!result.ok()) {
    Require(result.path.empty());
    return;
  }
  Require(result.path.starts_with('/') && result.path.size() <= target.size());
  Require(!HasDotSegmentOrEmptySegment(result.path));
  for (char c : result.path) {
    auto byte = static_cast<unsigned char>(c);
    Require(byte > 0x20 && byte != 0x7F && c != '#' && c != '?');
    Require(!strict || (byte < 0x80 && c != ';' && c != '\\'));
  }
  Require(!strict || (result.path.find("%2F") == std::string_view::npos &&
                      result.path.find("%5C") == std::string_view::npos &&
                      result.path.find("%00") == std::string_view::npos));
  std::vector<char> again(result.path.size());
  CanonicalTarget second = CanonicalizePath(result.path, relaxations, again);
  Require(second.ok() && second.path == result.path && !second.has_query);
}

void CheckHost(std::string_view value) {
  char buffer[kHostBufferBytes];
  CanonicalHost result = CanonicalizeHost(value, buffer);
  if (!result.ok()) {
    return;
  }
  Require(!result.host.empty() && result.host.size() <= CanonicalLimits::kHostBytesMax);
  for (char c : result.host) {
    Require((c < 'A' || c > 'Z') && static_cast<unsigned char>(c) > 0x20);
  }
  char again[kHostBufferBytes];
  CanonicalHost second = CanonicalizeHost(result.host, again);
  Require(second.ok() && second.host == result.host && second.port == 0);
}

void CheckQuery(std::string_view query) {
  std::vector<char> bytes(query.size());
  NameValue out[16];
  ParsedQuery result = ParseQuery(query, bytes, out);
  size_t used = 0;
  for (const NameValue& one : result.parameters) {
    used += one.name.size() + one.value.size();
  }
  Require(used <= query.size() && result.parameters.size() <= 16);
}

}  // namespace
}  // namespace countersign::authz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using countersign::authz::PathRelaxation;
  using countersign::authz::PathRelaxations;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  PathRelaxations lenient;
  for (int bit = 0; bit < 6; ++bit) {
    lenient.Allow(static_cast<PathRelaxation>(1 << bit));
  }
  countersign::authz::CheckPath(text, PathRelaxations(), true);
  countersign::authz::CheckPath(text, lenient, false);
  countersign::authz::CheckHost(text);
  countersign::authz::CheckQuery(text);
  return 0;
}
