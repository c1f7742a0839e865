#include "authz/kinds/path_text.h"

#include <algorithm>

namespace countersign::authz {
namespace {

bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// The value of an upper-case hexadecimal digit, or -1.
int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// An escape that the end cuts short is as good as its beginning.
std::string_view WithoutCutEscape(std::string_view path) {
  size_t at = path.rfind('%');
  bool cut = at != std::string_view::npos && path.size() - at < 3 &&
             std::ranges::all_of(path.substr(at + 1), [](char c) { return HexValue(c) >= 0; });
  return cut ? path.substr(0, at) : path;
}

Status CheckEscapes(std::string_view path) {
  for (size_t at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 1)) {
    int high = at + 2 < path.size() ? HexValue(path[at + 1]) : -1;
    int low = at + 2 < path.size() ? HexValue(path[at + 2]) : -1;
    if (high < 0 || low < 0) {
      return InvalidArgument("path ", Quoted(path),
                             " can never match: a canonical path has escapes ",
                             "of two upper-case hexadecimal digits");
    }
    if (char byte = static_cast<char>(high * 16 + low); IsUnreserved(byte)) {
      return InvalidArgument("path ", Quoted(path), " can never match: %", path.substr(at + 1, 2),
                             " is '", std::string(1, byte), "' in a canonical path");
    }
  }
  return absl::OkStatus();
}

// Calls `visit` with each segment after the first '/', until it returns an error.
template <class Visit>
Status ForEachSegment(std::string_view path, Visit visit) {
  for (size_t start = 1; start <= path.size();) {
    size_t end = std::min(path.find('/', start), path.size());
    RETURN_IF_ERROR(visit(path.substr(start, end - start), end == path.size()));
    start = end + 1;
  }
  return absl::OkStatus();
}

bool IsVariable(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}' &&
         std::ranges::all_of(segment.substr(1, segment.size() - 2),
                             [](char c) { return IsUnreserved(c) && c != '.' && c != '~'; });
}

Status CheckBytes(std::string_view path) {
  for (char c : path) {
    if (c <= 0x20 || c == 0x7f) {  // Bytes over 0x7F are negative.
      return InvalidArgument("path ", Quoted(path),
                             " can never match: write bytes outside printable ASCII as %XX");
    }
    if (c == '?' || c == '#') {
      return InvalidArgument("path ", Quoted(path), " can never match: query and fragment are not ",
                             "part of a path", c == '?' ? " (use when.query)" : "");
    }
  }
  return absl::OkStatus();
}

}  // namespace

Status CheckLiteralPath(std::string_view path) {
  if (!path.starts_with('/')) {
    return InvalidArgument("path ", Quoted(path), " must begin with /");
  }
  RETURN_IF_ERROR(CheckBytes(path));
  RETURN_IF_ERROR(CheckEscapes(path));
  return ForEachSegment(path, [&](std::string_view segment, bool last) -> Status {
    bool dots = segment == "." || segment == "..";
    if (dots || (segment.empty() && !last)) {
      return InvalidArgument("path ", Quoted(path), " can never match: a canonical path has no ",
                             dots ? "dot segments" : "empty segments");
    }
    return absl::OkStatus();
  });
}

Status CheckPathPart(std::string_view part, PathPart place) {
  RETURN_IF_ERROR(CheckBytes(part));
  bool prefix = place == PathPart::kPrefix;
  RETURN_IF_ERROR(CheckEscapes(prefix ? WithoutCutEscape(part) : part));
  bool dots = part.find("/./") != std::string_view::npos ||
              part.find("/../") != std::string_view::npos ||
              (!prefix && (part.ends_with("/.") || part.ends_with("/..")));
  if (dots || part.find("//") != std::string_view::npos) {
    return InvalidArgument("path part ", Quoted(part), " can never match: a canonical path has no ",
                           dots ? "dot segments" : "empty segments");
  }
  return absl::OkStatus();
}

Status ParsePathTemplate(std::string_view text, Matcher& out) {
  bool below = text == "/**" || (text.size() > 3 && text.ends_with("/**"));
  std::string_view stem = below ? text.substr(0, text.size() - 3) : text;
  if (stem.find('*') != std::string_view::npos) {
    return InvalidArgument("'*' in ", Quoted(text), " is not a wildcard: use {x} for one segment, ",
                           "/** at the end, {under: ...} or {re2: ...}; {exact: ...} means the ",
                           "character itself");
  }
  if (below && stem.empty()) {
    stem = "/";
  }
  RETURN_IF_ERROR(CheckLiteralPath(stem));
  if (below && stem.size() > 1 && stem.ends_with('/')) {
    return InvalidArgument("path ", Quoted(text), " has an empty segment before /**");
  }
  bool has_variable = false;
  RETURN_IF_ERROR(ForEachSegment(stem, [&](std::string_view segment, bool /*last*/) -> Status {
    bool braces = segment.find_first_of("{}") != std::string_view::npos;
    has_variable = has_variable || braces;
    if (braces && !IsVariable(segment)) {
      return InvalidArgument("in ", Quoted(text), " a {name} must be a whole segment; use {re2: ",
                             "...} for parts of one, {exact: ...} for braces themselves");
    }
    return absl::OkStatus();
  }));
  if (has_variable) {
    out.kind = Matcher::Kind::kTemplate;
    out.text = std::string(text);
  } else {
    out.kind = below ? Matcher::Kind::kUnder : Matcher::Kind::kExact;
    out.text = std::string(stem);
  }
  return absl::OkStatus();
}

}  // namespace countersign::authz
