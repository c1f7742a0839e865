#include "authz/language/canonical_language.h"

#include <string>
#include <utility>

#include "authz/language/search.h"
#include "authz/model/canonical_limits.h"
#include "identity/spiffe_id.h"

namespace countersign::authz::language {
namespace {

constexpr std::string_view kUnreservedMarks = "-._~";

// Our own patterns may be longer than those of an author.
StatusOr<Language> Own(std::string_view pattern) {
  LanguageLimits limits;
  limits.pattern_bytes_max = 1 << 20;
  return Language::FromPattern(pattern, limits);
}

bool IsUnreserved(int byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') ||
         (byte < 0x80 && kUnreservedMarks.find(static_cast<char>(byte)) != std::string_view::npos);
}

// Bytes that stand in a canonical path as themselves, the slash apart.
ByteSet RawPathBytes(PathRelaxations allow) {
  ByteSet bytes = ByteSet::Range(0x21, 0x7E);
  for (char c : {'/', '%', '?', '#', '\\', ';'}) {
    bytes = bytes - ByteSet::Of(static_cast<uint8_t>(c));
  }
  if (allow.Allows(PathRelaxation::kBackslash)) {
    bytes.Add('\\');
  }
  if (allow.Allows(PathRelaxation::kSemicolon)) {
    bytes.Add(';');
  }
  return allow.Allows(PathRelaxation::kHighByte) ? bytes | ByteSet::Range(0x80, 0xFF) : bytes;
}

// "%XX" of what is neither unreserved nor refused.
bool IsCanonicalEscape(int byte, PathRelaxations allow) {
  switch (byte) {
    case '/':
      return allow.Allows(PathRelaxation::kEncodedSlash);
    case '\\':
      return allow.Allows(PathRelaxation::kEncodedBackslash);
    case 0:
      return allow.Allows(PathRelaxation::kEncodedNul);
    default:
      return !IsUnreserved(byte);
  }
}

StatusOr<Language> CanonicalPaths(PathRelaxations allow) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  Expression out;
  std::vector<Expression::Id> choices = {out.Bytes(RawPathBytes(allow))};
  for (int byte = 0; byte < 256; ++byte) {
    if (IsCanonicalEscape(byte, allow)) {
      auto high = static_cast<size_t>(byte / 16);
      auto low = static_cast<size_t>(byte % 16);
      choices.push_back(out.Literal(Concat("%", kDigits.substr(high, 1), kDigits.substr(low, 1))));
    }
  }
  auto character = out.Alternate(choices);
  auto segment = out.Repeat(character, {.least = 1, .most = kUnbounded});
  auto slash = out.Literal("/");
  out.Concat({slash, out.Repeat(out.Concat({segment, slash}), {}),
              out.Repeat(segment, {.least = 0, .most = 1})});
  ASSIGN_OR_RETURN(Language paths, Language::FromExpression(out));
  ASSIGN_OR_RETURN(Language with_dots, Own("(?:.*/)?\\.\\.?(?:/.*)?"));
  return Difference(paths, with_dots);
}

// The text of an address whose groups are zero where `nonzero` has no bit; RFC 5952 section 4 as
// inet_ntop writes it: the first longest run of two zeros or more is "::".
std::string AddressPattern(unsigned nonzero) {
  constexpr std::string_view kGroup = "[1-9a-f][0-9a-f]{0,3}";
  constexpr std::string_view kGroupButFfff =
      "(?:[1-9a-e][0-9a-f]{0,3}|f[0-9a-f]{0,2}|f[0-9a-e][0-9a-f]{2}|ff[0-9a-e][0-9a-f]|fff[0-9a-e]"
      ")";
  constexpr std::string_view kByte = "(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
  constexpr std::string_view kByteNotZero = "(?:[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
  size_t run = 0;
  size_t run_size = 1;
  for (size_t begin = 0; begin < 8; ++begin) {
    size_t size = 0;
    while (begin + size < 8 && (nonzero >> (begin + size) & 1) == 0) {
      ++size;
    }
    if (size > run_size) {
      run = begin;
      run_size = size;
    }
  }
  bool compressed = run_size > 1;
  if (compressed && run == 0 && run_size == 6) {
    // IPv4-compatible: the last two groups in decimal; the first of them is not zero.
    return Concat("::(?:", kByteNotZero, "\\.", kByte, "|0\\.", kByteNotZero, ")\\.", kByte, "\\.",
                  kByte);
  }
  bool mapped = compressed && run == 0 && run_size == 5;
  std::string text;
  for (size_t i = 0; i < 8; ++i) {
    if (compressed && i == run) {
      text += i == 0 ? "::" : ":";
      i += run_size - 1;
      continue;
    }
    text += (nonzero >> i & 1) == 0 ? "0" : mapped && i == 5 ? kGroupButFfff : kGroup;
    text += i < 7 ? ":" : "";
  }
  return mapped ? Concat(text, "|::ffff:", kByte, "(?:\\.", kByte, "){3}") : text;
}

StatusOr<Language> CanonicalHosts() {
  std::string pattern = "[a-z0-9_-]+(?:\\.[a-z0-9_-]+)*|\\[(?:";
  for (unsigned nonzero = 0; nonzero < 256; ++nonzero) {
    pattern += nonzero == 0 ? "" : "|";
    pattern += AddressPattern(nonzero);
  }
  return Own(pattern + ")\\]");
}

// The domain's length is counted, because the path follows it. `path` is a pattern of what follows.
StatusOr<Language> TrustDomainThen(std::string_view before, std::string_view path) {
  return Own(
      Concat(before, "[a-z0-9._-]{1,", identity::SpiffeIdLimits::kTrustDomainBytesMax, "}", path));
}

constexpr std::string_view kIdPath = "(?:/[A-Za-z0-9._-]+)*";

StatusOr<Language> WithoutDotSegments(const Language& ids) {
  ASSIGN_OR_RETURN(Language with_dots, Own("spiffe://[^/]*(?:/[^/]*)*/\\.\\.?(?:/.*)?"));
  return Difference(ids, with_dots);
}

StatusOr<Language> CanonicalIds() {
  ASSIGN_OR_RETURN(Language ids, TrustDomainThen("spiffe://", kIdPath));
  return WithoutDotSegments(ids);
}

}  // namespace

StatusOr<CanonicalValues> IdsUncounted() {
  ASSIGN_OR_RETURN(Language ids, Own(Concat("spiffe://[a-z0-9._-]+", kIdPath)));
  ASSIGN_OR_RETURN(ids, WithoutDotSegments(ids));
  return CanonicalValues{.language = std::move(ids),
                         .bytes_max = identity::SpiffeIdLimits::kIdBytesMax};
}

StatusOr<CanonicalValues> CanonicalValuesOf(Field field, PathRelaxations relaxations) {
  StatusOr<Language> language = Language::Everything();
  size_t bytes_max = kAnyBytes;
  switch (field) {
    case Field::kId:
      language = CanonicalIds();
      bytes_max = identity::SpiffeIdLimits::kIdBytesMax;
      break;
    case Field::kTrustDomain:
      language = TrustDomainThen("", "");
      break;
    case Field::kSni:
      // RFC 6066 section 3 allows 255 bytes; the TLS library refuses a NUL among them, and rules
      // see the name in lower case.
      language = Own("[^\\x00A-Z]+");
      bytes_max = 255;
      break;
    case Field::kProtocol:
      language = Own("http|tcp");
      break;
    case Field::kMethod:
      language = Own("[A-Z][A-Z0-9-]{0,31}");
      break;
    case Field::kPath:
      language = CanonicalPaths(relaxations);
      bytes_max = CanonicalLimits::kPathBytesMax;
      break;
    case Field::kHost:
      language = CanonicalHosts();
      bytes_max = CanonicalLimits::kHostBytesMax;
      break;
    case Field::kHeader:
      // RFC 9110 section 5.5: visible bytes and obs-text, with spaces and tabs between them.
      language =
          Own("(?:[\\x21-\\x7E\\x80-\\xFF](?:[\\t\\x20-\\x7E\\x80-\\xFF]*"
              "[\\x21-\\x7E\\x80-\\xFF])?)?");
      break;
    case Field::kQuery:
      bytes_max = CanonicalLimits::kPathBytesMax;
      break;
    case Field::kClaim:
      break;
    case Field::kPeerIp:
    case Field::kPort:
      return InvalidArgument(FieldName(field), " is no text: it has no language");
  }
  RETURN_IF_ERROR(language.status());
  return CanonicalValues{.language = *std::move(language), .bytes_max = bytes_max};
}

}  // namespace countersign::authz::language
