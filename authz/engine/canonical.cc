// Canonical paths and queries (docs/policy.md, canonical values). Hosts are in canonical_host.cc.
#include "authz/engine/canonical.h"

#include <array>
#include <utility>

namespace countersign::authz {
namespace {

constexpr int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// RFC 3986 section 2.3: unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~".
constexpr bool IsUnreserved(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

constexpr bool IsControlOrSpace(unsigned char c) { return c <= 0x20 || c == 0x7F; }

// Decoded value of the escape at text[at] ('%'), or -1.
int EscapeAt(std::string_view text, size_t at) {
  if (at + 2 >= text.size()) {
    return -1;
  }
  int high = HexValue(text[at + 1]);
  int low = HexValue(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

CanonicalError CheckEscaped(unsigned char decoded, PathRelaxations allow) {
  if (decoded == '/' && !allow.Allows(PathRelaxation::kEncodedSlash)) {
    return CanonicalError::kEncodedSlash;
  }
  if (decoded == '\\' && !allow.Allows(PathRelaxation::kEncodedBackslash)) {
    return CanonicalError::kEncodedBackslash;
  }
  if (decoded == 0 && !allow.Allows(PathRelaxation::kEncodedNul)) {
    return CanonicalError::kEncodedNul;
  }
  return CanonicalError::kNone;
}

CanonicalError CheckRaw(unsigned char c, PathRelaxations allow) {
  if (IsControlOrSpace(c)) {
    return CanonicalError::kControlByte;
  }
  if (c == '\\' && !allow.Allows(PathRelaxation::kBackslash)) {
    return CanonicalError::kBackslash;
  }
  if (c == ';' && !allow.Allows(PathRelaxation::kSemicolon)) {
    return CanonicalError::kSemicolon;
  }
  if (c > 0x7F && !allow.Allows(PathRelaxation::kHighByte)) {
    return CanonicalError::kHighByte;
  }
  return CanonicalError::kNone;
}

// PathWriter appends characters to the canonical path and resolves each segment as it ends.
class PathWriter {
 public:
  explicit PathWriter(char* out) : out_(out) { out_[size_++] = '/'; }

  void Put(char c) {
    if (c == '/') {
      EndSegment();
      return;
    }
    out_[size_++] = c;
  }
  std::string_view Finish() {
    ResolveDots();
    return {out_, size_};
  }

 private:
  // After each segment the output ends in one '/'; an empty segment adds none.
  void EndSegment() {
    if (ResolveDots() || size_ == segment_) {
      return;
    }
    out_[size_++] = '/';
    segment_ = size_;
  }
  // RFC 3986 section 5.2.4, for the segment that began at segment_. "/.." above the root stays at
  // the root.
  bool ResolveDots() {
    std::string_view segment(out_ + segment_, size_ - segment_);
    if (segment == ".") {
      size_ = segment_;
      return true;
    }
    if (segment != "..") {
      return false;
    }
    size_ = segment_ - 1;
    while (size_ > 0 && out_[size_ - 1] != '/') {
      --size_;
    }
    size_ = size_ == 0 ? 1 : size_;
    segment_ = size_;
    return true;
  }

  char* out_;
  size_t size_ = 0;
  size_t segment_ = 1;  // Where the segment that is being written begins.
};

CanonicalTarget Refuse(CanonicalError error) { return {.error = error}; }

}  // namespace

std::string_view CanonicalErrorName(CanonicalError error) {
  static constexpr std::array<std::string_view, 17> kNames = {"none",
                                                              "empty",
                                                              "too_long",
                                                              "not_absolute",
                                                              "fragment",
                                                              "bad_escape",
                                                              "encoded_slash",
                                                              "encoded_backslash",
                                                              "encoded_nul",
                                                              "backslash",
                                                              "semicolon",
                                                              "high_byte",
                                                              "control_byte",
                                                              "bad_host",
                                                              "bad_port",
                                                              "too_many_parameters",
                                                              "buffer_too_small"};
  auto index = static_cast<size_t>(error);
  return index < kNames.size() ? kNames[index] : "unknown";
}

StatusOr<PathRelaxation> ParsePathRelaxation(std::string_view name) {
  static constexpr std::pair<std::string_view, PathRelaxation> kNames[] = {
      {"encoded-slash", PathRelaxation::kEncodedSlash},
      {"encoded-backslash", PathRelaxation::kEncodedBackslash},
      {"encoded-nul", PathRelaxation::kEncodedNul},
      {"backslash", PathRelaxation::kBackslash},
      {"semicolon", PathRelaxation::kSemicolon},
      {"high-byte", PathRelaxation::kHighByte}};
  for (const auto& [known, relaxation] : kNames) {
    if (name == known) {
      return relaxation;
    }
  }
  return InvalidArgument("unknown path relaxation ", Quoted(name),
                         "; one of encoded-slash, encoded-backslash, encoded-nul, backslash, "
                         "semicolon, high-byte");
}

CanonicalTarget CanonicalizePath(std::string_view target, PathRelaxations relaxations,
                                 std::span<char> buffer) noexcept {
  if (target.empty()) {
    return Refuse(CanonicalError::kEmpty);
  }
  if (target.size() > CanonicalLimits::kPathBytesMax) {
    return Refuse(CanonicalError::kTooLong);
  }
  if (target.front() != '/') {
    return Refuse(CanonicalError::kNotAbsolute);
  }
  // A fragment never belongs in a request target (RFC 9112 section 3.2).
  if (target.find('#') != std::string_view::npos) {
    return Refuse(CanonicalError::kFragment);
  }
  if (buffer.size() < target.size()) {
    return Refuse(CanonicalError::kBufferTooSmall);
  }
  CanonicalTarget result;
  size_t question = target.find('?');
  if (question != std::string_view::npos) {
    result.has_query = true;
    result.query = target.substr(question + 1);
    for (char c : result.query) {
      if (IsControlOrSpace(static_cast<unsigned char>(c))) {
        return Refuse(CanonicalError::kControlByte);
      }
    }
  }
  std::string_view path = target.substr(0, question);
  PathWriter writer(buffer.data());
  for (size_t i = 1; i < path.size(); ++i) {
    if (path[i] != '%') {
      CanonicalError error = CheckRaw(static_cast<unsigned char>(path[i]), relaxations);
      if (error != CanonicalError::kNone) {
        return Refuse(error);
      }
      writer.Put(path[i]);
      continue;
    }
    int decoded = EscapeAt(path, i);
    if (decoded < 0) {
      return Refuse(CanonicalError::kBadEscape);
    }
    CanonicalError error = CheckEscaped(static_cast<unsigned char>(decoded), relaxations);
    if (error != CanonicalError::kNone) {
      return Refuse(error);
    }
    if (IsUnreserved(static_cast<unsigned char>(decoded))) {
      writer.Put(static_cast<char>(decoded));
    } else {
      static constexpr char kDigits[] = "0123456789ABCDEF";
      writer.Put('%');
      writer.Put(kDigits[decoded >> 4]);
      writer.Put(kDigits[decoded & 15]);
    }
    i += 2;
  }
  result.path = writer.Finish();
  return result;
}

namespace {

// Decodes one name or value to `out`; returns the bytes written, or SIZE_MAX on a bad escape.
size_t DecodeParameter(std::string_view text, char* out) {
  size_t size = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out[size++] = ' ';
    } else if (text[i] != '%') {
      out[size++] = text[i];
    } else {
      int decoded = EscapeAt(text, i);
      if (decoded < 0) {
        return SIZE_MAX;
      }
      out[size++] = static_cast<char>(decoded);
      i += 2;
    }
  }
  return size;
}

}  // namespace

ParsedQuery ParseQuery(std::string_view query, std::span<char> bytes,
                       std::span<NameValue> out) noexcept {
  if (query.size() > CanonicalLimits::kPathBytesMax) {
    return {.error = CanonicalError::kTooLong};
  }
  if (bytes.size() < query.size()) {
    return {.error = CanonicalError::kBufferTooSmall};
  }
  char* at = bytes.data();
  size_t count = 0;
  while (!query.empty()) {
    size_t end = query.find('&');
    std::string_view piece = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (piece.empty()) {
      continue;
    }
    if (count == out.size() || count == CanonicalLimits::kQueryParametersMax) {
      return {.error = CanonicalError::kTooManyParameters};
    }
    size_t equals = piece.find('=');
    size_t name_size = DecodeParameter(piece.substr(0, equals), at);
    if (name_size == SIZE_MAX) {
      return {.error = CanonicalError::kBadEscape};
    }
    std::string_view name(at, name_size);
    at += name_size;
    std::string_view raw_value =
        equals == std::string_view::npos ? std::string_view() : piece.substr(equals + 1);
    size_t value_size = DecodeParameter(raw_value, at);
    if (value_size == SIZE_MAX) {
      return {.error = CanonicalError::kBadEscape};
    }
    out[count++] = {.name = name, .value = {at, value_size}};
    at += value_size;
  }
  return {.parameters = out.first(count)};
}

}  // namespace countersign::authz
