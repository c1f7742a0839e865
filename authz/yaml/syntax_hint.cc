#include "authz/yaml/syntax_hint.h"

#include <yaml-cpp/exceptions.h>

#include "base/status.h"

namespace countersign::authz::yaml {
namespace {

constexpr size_t kShownBytesMax = 120;  // Nobody copies more from a message.

bool IsBlank(char c) { return c == ' ' || c == '\t'; }
bool IsOpen(char c) { return c == '[' || c == '{'; }
bool IsClose(char c) { return c == ']' || c == '}'; }

// The line of that number, from 1, without its break; empty if there is none.
std::string_view LineOf(std::string_view text, uint32_t number) {
  for (uint32_t line = 1; line < number; ++line) {
    size_t end = text.find('\n');
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  text = text.substr(0, text.find('\n'));
  return text.ends_with('\r') ? text.substr(0, text.size() - 1) : text;
}

// The text around a place that its author meant as one value: up to a blank, and within a flow
// collection up to a comma or the collection's own bracket. Empty if its brackets are not in pairs:
// then something else was meant.
std::string_view TextAround(std::string_view line, size_t at) {
  size_t begin = at;
  size_t depth = 0;
  for (; begin > 0 && !IsBlank(line[begin - 1]); --begin) {
    char before = line[begin - 1];
    if (depth == 0 && (IsOpen(before) || before == ',')) {
      break;
    }
    depth = IsClose(before) ? depth + 1 : IsOpen(before) ? depth - 1 : depth;
  }
  if (depth > 0) {
    return {};
  }
  size_t end = at;
  for (; end < line.size() && !IsBlank(line[end]); ++end) {
    if (depth == 0 && (IsClose(line[end]) || line[end] == ',')) {
      break;
    }
    depth = IsOpen(line[end]) ? depth + 1 : IsClose(line[end]) ? depth - 1 : depth;
  }
  return depth > 0 ? std::string_view() : line.substr(begin, end - begin);
}

std::string QuoteIt(std::string_view text) {
  if (text.size() > kShownBytesMax) {
    return "quote it";
  }
  std::string out = "quote it: '";
  for (char c : text) {
    out += Concat(c == '\'' ? "'" : "", std::string_view(&c, 1));
  }
  return out + "'";
}

// What a value in single quotes would mend, or nothing.
std::string QuotingHint(std::string_view line, size_t at) {
  if (at >= line.size()) {
    return "";
  }
  std::string_view text = TextAround(line, at);
  char c = line[at];
  bool starts = text.data() == line.data() + at;
  if (starts && text.size() > 1 && (c == '@' || c == '`' || c == '%' || c == '*')) {
    return Concat("a text that begins with '", line.substr(at, 1), "': ", QuoteIt(text));
  }
  bool stops = c == '?' || IsOpen(c) || (at > 0 && IsClose(line[at - 1]));
  size_t sign = text.find_first_of("[]{}?");
  if (!stops || starts || sign == std::string_view::npos) {
    return "";
  }
  return Concat("'", text.substr(sign, 1), "' in a text within {...} or [...]: ", QuoteIt(text));
}

}  // namespace

Problem SyntaxProblem(std::string_view text, const Problem& found) {
  if (found.where.line == 0 || found.where.column == 0) {
    return {found.where, Concat("not YAML: ", found.message)};
  }
  std::string_view line = LineOf(text, found.where.line);
  size_t at = found.where.column - 1;
  auto problem = [&](size_t offset, std::string_view words) {
    return Problem{{found.where.line, static_cast<uint32_t>(offset) + 1},
                   Concat("not YAML: ", words)};
  };
  if (size_t indent = line.find_first_not_of(' '); indent != std::string_view::npos &&
                                                   line[indent] == '\t' &&
                                                   found.message.starts_with("illegal")) {
    return problem(indent, "a tab in the indent: indent with blanks");
  }
  // yaml-cpp stops behind the two bytes.
  if (found.message.starts_with(YAML::ErrorMsg::INVALID_ESCAPE) && at >= 2 && at <= line.size()) {
    return problem(at - 2, Concat("\"", line.substr(at - 2, 2), "\" in double quotes: use single ",
                                  "quotes, where a backslash is itself"));
  }
  if (std::string hint = QuotingHint(line, at); !hint.empty()) {
    return problem(at, hint);
  }
  return {found.where, Concat("not YAML: ", found.message)};
}

}  // namespace countersign::authz::yaml
