// The one table of all kinds and their fields, as data. Loading, canonical JSON, `countersign
// explain` and the documentation are driven by it; nothing about a field's shape stands elsewhere.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "authz/model/field.h"

namespace countersign::authz {

inline constexpr std::string_view kApiVersion = "countersign.dev/v1alpha1";

// FieldType is what one value of a field looks like.
enum class FieldType : uint8_t {
  kObject,  // A map with the keys that further rows name.
  kMap,     // A map with keys of the author's choice; its row "*" is their value.
  kBool,
  kInteger,  // detail: "1..65535".
  kName,     // Lower-case letters, digits, '-'.
  kText,     // Any text; detail: most bytes.
  kWord,     // detail: "allow|deny".
  kSpiffeId,
  kTrustDomain,
  kDnsName,
  kMatcher,  // A predicate over the row's `field`.
  kMethod,
  kCidr,
  kIp,
  kDuration,  // detail: "5s..24h".
  kTime,
  kListen,    // ADDRESS:PORT; detail "unix": or unix:PATH.
  kHostPort,  // NAME:PORT.
  kPercent,
  kAbsolutePath,
  kHex64,
  kGrpcName,
  kUnsupported,  // Known, refused; detail is the reason.
};

// Shape is how many values a field holds and whether their order means something.
enum class Shape : uint8_t {
  kOne,
  kSet,       // A list without order: sorted and freed of doubles in canonical JSON.
  kOneOrSet,  // As kSet; a single value may stand without a list.
  kSequence,  // A list in the author's order.
  kOneOrSequence,
};

enum FieldFlag : unsigned {
  kRequired = 1,
  kMayBeEmpty = 2,   // An empty list or text is allowed.
  kIdForm = 4,       // Matcher over an id that may also be written {id: MATCHER}.
  kHeaderKeys = 8,   // Keys of the map are header names: lower-cased, some forbidden.
  kNamed = 16,       // Objects of the list have a unique `name` and are sorted by it.
  kShorthand = 32,   // A single value stands for an object with that value under key `detail`.
  kComplement = 64,  // {allExcept: LIST} may stand for the list: all that is not in it.
};

// FieldRow is one field of one kind. Its place in the table is free; `path` has dots between keys.
struct FieldRow {
  std::string_view path;  // "spec.rules.effect"; "*" is any key of a map.
  FieldType type = FieldType::kText;
  Shape shape = Shape::kOne;
  unsigned flags = 0;
  std::string_view detail = {};    // By type, see above.
  std::string_view fallback = {};  // Canonical JSON of the default, written out; empty: none.
  std::string_view words = {};     // Words that may stand for the whole value: "anyone|mesh".
  Field field = Field::kId;        // Of a matcher.
  std::string_view doc = {};
  std::string_view example = {};
};

struct KindRow {
  std::string_view name;
  std::string_view doc;
  std::span<const FieldRow> rows;
  std::string_view refused = {};  // Why documents of this kind are refused, or empty.
};

// AllKinds are the kinds in the order of the documentation.
std::span<const KindRow> AllKinds();
// FindKind ignores the case of ASCII letters only if `loose`; it returns null for an unknown kind.
enum class KindCase : uint8_t { kExact, kLoose };
const KindRow* FindKind(std::string_view name, KindCase mode = KindCase::kExact);

// The rows by group, for AllKinds alone.
std::span<const FieldRow> PolicySetRows();
std::span<const FieldRow> AccessPolicyRows();
std::span<const FieldRow> PolicyTestRows();
std::span<const FieldRow> IdentitySetRows();
std::span<const FieldRow> PolicyAssertionRows();
std::span<const FieldRow> RegistrationRows();
std::span<const FieldRow> ServiceRows();
std::span<const FieldRow> RouteRows();

}  // namespace countersign::authz
