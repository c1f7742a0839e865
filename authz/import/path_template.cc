#include "authz/import/path_template.h"

#include <algorithm>

#include "authz/import/text_pattern.h"
#include "authz/kinds/path_text.h"

namespace countersign::authz::import {
namespace {

constexpr std::string_view kSegmentByte = "a-zA-Z0-9._~%!$&'()+,;:@-";

bool IsSegmentByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("._~%!$&'()+,;:@-").find(c) != std::string_view::npos;
}

}  // namespace

StatusOr<std::string> TemplatePattern(std::string_view path) {
  if (!path.starts_with('/')) {
    return InvalidArgument("path template ", Quoted(path), " must begin with '/'");
  }
  std::string pattern;
  std::string literal;  // The template with an 'x' for each operator, to be checked as a path.
  bool rest_seen = false;
  for (size_t at = 1; at <= path.size();) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view segment = path.substr(at, end - at);
    bool one = segment == "{*}";
    bool rest = segment == "{**}";
    if ((one || rest) && rest_seen) {
      return InvalidArgument("path template ", Quoted(path), " has an operator behind {**}");
    }
    rest_seen = rest_seen || rest;
    if (!one && !rest && !std::ranges::all_of(segment, IsSegmentByte)) {
      return InvalidArgument("path template ", Quoted(path), " may have {*} and {**} as whole ",
                             "segments only, and no '*' or '=' elsewhere");
    }
    pattern += one    ? Concat("/[", kSegmentByte, "]+")
               : rest ? Concat("/[/", kSegmentByte, "]*")
                      : Concat("/", QuotePattern(segment));
    literal += Concat("/", one || rest ? "x" : segment);
    at = end + 1;
  }
  RETURN_IF_ERROR(CheckLiteralPath(literal));
  return pattern;
}

}  // namespace countersign::authz::import
