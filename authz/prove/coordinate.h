// Coordinates: the independent parts of which a request is made, and the values that each can have.
//
// A trust domain is said of the caller's ID, and protocols are two spaces of their own; so every
// coordinate here can have any of its values whatever the others have. The one exception is
// kMesh, which callee and caller together decide.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "authz/language/canonical_language.h"
#include "authz/model/field.h"
#include "authz/model/path_relaxations.h"
#include "base/status.h"

namespace countersign::authz::prove {

enum class Axis : uint8_t {
  kCallee,
  kCaller,
  kMesh,  // Whether the caller's trust domain is the callee's.
  kPeerIp,
  kPort,
  kSni,
  kMethod,
  kPath,
  kHost,
  kHeader,
  kQuery,
};

// Coordinate is one axis; of the families kHeader and kQuery, the one of `key`.
struct Coordinate {
  Axis axis = Axis::kCallee;
  std::string key;
  auto operator<=>(const Coordinate&) const = default;
};

// CoordinateOf is the coordinate that a condition speaks of; not for kProtocol and kClaim.
Coordinate CoordinateOf(const Condition& condition);

// MayBeAbsent and MayRepeat say which requests reach a policy at all: an HTTP request has a method
// and a path, everything has a callee, and only headers and query keys come several times.
bool MayBeAbsent(Axis axis);
bool MayRepeat(Axis axis);

// ValuesOf is every value that can reach a policy. Addresses are their 16 bytes and ports their
// two, so that all coordinates are texts. IDs are those of IdsUncounted: a superset, so that what
// is proved of all of them holds; a witness is looked at again.
StatusOr<language::CanonicalValues> ValuesOf(Axis axis, PathRelaxations relaxations);

// LanguageOf holds the values of `axis` that one of the condition's matchers matches.
StatusOr<language::Language> LanguageOf(const Condition& condition,
                                        const language::LanguageLimits& limits);

// Values that read well, to be tried before a shortest one is taken.
const std::vector<std::string>& FamiliarValues(Axis axis);

// AddressText, PortText and their inverses go between bytes and people.
std::string PortValue(uint16_t port);
uint16_t PortOf(std::string_view value);

// Describe names the coordinate as policy files do: "path", "header x-tenant".
std::string Describe(const Coordinate& coordinate);

}  // namespace countersign::authz::prove
