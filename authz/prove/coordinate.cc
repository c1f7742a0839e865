#include "authz/prove/coordinate.h"

#include <array>

#include "authz/language/matcher_language.h"
#include "authz/language/trust_domain_language.h"

namespace countersign::authz::prove {
namespace {

using language::ByteSet;
using language::CanonicalValues;
using language::Expression;
using language::Language;
using language::LanguageLimits;

constexpr size_t kAddressBytes = 16;

// An address's first bits, then anything.
Expression::Id Range(const IpRange& range, Expression& out) {
  std::vector<Expression::Id> bytes;
  for (size_t i = 0; i < kAddressBytes; ++i) {
    size_t fixed = range.prefix_bits > 8 * i ? range.prefix_bits - 8 * i : 0;
    int first = range.address[i];
    int open = fixed >= 8 ? 0 : (1 << (8 - fixed)) - 1;
    first &= ~open;
    bytes.push_back(out.Bytes(ByteSet::Range(first, first | open)));
  }
  return out.Concat(bytes);
}

StatusOr<Language> AddressesOrPorts(const Condition& condition, const LanguageLimits& limits) {
  Expression out;
  std::vector<Expression::Id> choices;
  for (const Matcher& matcher : condition.any_of) {
    switch (matcher.kind) {
      case Matcher::Kind::kPresent:
        choices.push_back(out.AnyText());
        break;
      case Matcher::Kind::kIp:
        choices.push_back(Range(matcher.range, out));
        break;
      case Matcher::Kind::kPort:
        choices.push_back(out.Literal(PortValue(matcher.port)));
        break;
      default:
        break;
    }
  }
  if (choices.empty()) {
    return Language::Nothing();
  }
  out.set_root(choices.size() == 1 ? choices[0] : out.Alternate(choices));
  return Language::FromExpression(out, limits);
}

StatusOr<CanonicalValues> AnyBytes(size_t count) {
  Expression out;
  std::vector<Expression::Id> bytes(count, out.Bytes(ByteSet::All()));
  out.set_root(out.Concat(bytes));
  ASSIGN_OR_RETURN(Language language, Language::FromExpression(out));
  return CanonicalValues{.language = std::move(language), .bytes_max = count};
}

StatusOr<CanonicalValues> Ports() {
  ASSIGN_OR_RETURN(CanonicalValues values, AnyBytes(2));
  ASSIGN_OR_RETURN(values.language,
                   language::Difference(values.language, Language::Literal(PortValue(0))));
  return values;
}

Field FieldOf(Axis axis) {
  switch (axis) {
    case Axis::kSni:
      return Field::kSni;
    case Axis::kMethod:
      return Field::kMethod;
    case Axis::kPath:
      return Field::kPath;
    case Axis::kHost:
      return Field::kHost;
    case Axis::kHeader:
      return Field::kHeader;
    case Axis::kQuery:
      return Field::kQuery;
    default:
      return Field::kId;
  }
}

std::string V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  std::string bytes(10, '\0');
  for (uint8_t byte : {uint8_t{0xff}, uint8_t{0xff}, a, b, c, d}) {
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

}  // namespace

Coordinate CoordinateOf(const Condition& condition) {
  switch (condition.field) {
    case Field::kPeerIp:
      return {Axis::kPeerIp, ""};
    case Field::kPort:
      return {Axis::kPort, ""};
    case Field::kSni:
      return {Axis::kSni, ""};
    case Field::kMethod:
      return {Axis::kMethod, ""};
    case Field::kPath:
      return {Axis::kPath, ""};
    case Field::kHost:
      return {Axis::kHost, ""};
    case Field::kHeader:
      return {Axis::kHeader, condition.key};
    case Field::kQuery:
      return {Axis::kQuery, condition.key};
    default:
      return {Axis::kCaller, ""};
  }
}

bool MayBeAbsent(Axis axis) {
  return axis != Axis::kCallee && axis != Axis::kMethod && axis != Axis::kPath &&
         axis != Axis::kMesh;
}

bool MayRepeat(Axis axis) { return axis == Axis::kHeader || axis == Axis::kQuery; }

StatusOr<CanonicalValues> ValuesOf(Axis axis, PathRelaxations relaxations) {
  switch (axis) {
    case Axis::kPeerIp:
      return AnyBytes(kAddressBytes);
    case Axis::kPort:
      return Ports();
    case Axis::kCallee:
    case Axis::kCaller:
      return language::IdsUncounted();
    default:
      return language::CanonicalValuesOf(FieldOf(axis), relaxations);
  }
}

StatusOr<Language> LanguageOf(const Condition& condition, const LanguageLimits& limits) {
  if (condition.field == Field::kPeerIp || condition.field == Field::kPort) {
    return AddressesOrPorts(condition, limits);
  }
  ASSIGN_OR_RETURN(Language language, language::LanguageOfAny(condition.any_of, limits));
  return condition.field == Field::kTrustDomain ? language::IdsIn(language) : language;
}

const std::vector<std::string>& FamiliarValues(Axis axis) {
  static const std::vector<std::string> kNone;
  static const std::vector<std::string> kIds = {"spiffe://other.example/workload"};
  static const std::vector<std::string> kMethods = {"GET",    "POST",  "PUT",
                                                    "DELETE", "PATCH", "HEAD"};
  static const std::vector<std::string> kAddresses = {
      V4(10, 0, 0, 1), V4(192, 168, 0, 1), V4(192, 0, 2, 1),
      std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16)};
  static const std::vector<std::string> kPorts = {PortValue(8443), PortValue(443), PortValue(80),
                                                  PortValue(1024)};
  static const std::vector<std::string> kPaths = {"/", "/other"};
  static const std::vector<std::string> kHosts = {"other.example"};
  static const std::vector<std::string> kWords = {"x", "other"};
  switch (axis) {
    case Axis::kCallee:
    case Axis::kCaller:
      return kIds;
    case Axis::kPeerIp:
      return kAddresses;
    case Axis::kPort:
      return kPorts;
    case Axis::kMethod:
      return kMethods;
    case Axis::kPath:
      return kPaths;
    case Axis::kSni:
    case Axis::kHost:
      return kHosts;
    case Axis::kHeader:
    case Axis::kQuery:
      return kWords;
    case Axis::kMesh:
      break;
  }
  return kNone;
}

std::string PortValue(uint16_t port) {
  return {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)};
}

uint16_t PortOf(std::string_view value) {
  return static_cast<uint16_t>(static_cast<uint8_t>(value[0]) << 8 |
                               static_cast<uint8_t>(value[1]));
}

std::string Describe(const Coordinate& coordinate) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "workload", "caller", "mesh", "peerIp", "port", "sni",
      "method",   "path",   "host", "header", "query"};
  std::string_view name = kNames[static_cast<size_t>(coordinate.axis)];
  return coordinate.key.empty() ? std::string(name) : Concat(name, " ", coordinate.key);
}

}  // namespace countersign::authz::prove
