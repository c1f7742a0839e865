#include "authz/yaml/layout.h"

namespace countersign::authz::yaml {
namespace {

bool IsOpen(char c) { return c == '[' || c == '{'; }
bool IsClose(char c) { return c == ']' || c == '}'; }
bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// Two tokens of a flow collection that are not both text; 0 is the line's beginning.
struct Neighbours {
  char before;
  char after;
};

bool BlankBetween(const Neighbours& tokens) {
  auto [before, after] = tokens;
  if (before == 0 || after == ',' || before == '[' || after == ']') {
    return false;
  }
  if (before == '{') {
    return after != '}';
  }
  return after == '}' || before == ',' || before == ':';
}

}  // namespace

void FlowLine::Append(std::string_view line, std::string& out) {
  before_ = before_ == 0 || quote_ != 0 ? before_ : '\n';  // The break itself is the blank.
  for (size_t at = 0; at < line.size();) {
    if (quote_ != 0) {
      at = AppendQuoted(line, at, out);
      continue;
    }
    size_t token = at;
    while (token < line.size() && IsBlank(line[token])) {
      ++token;
    }
    if (token == line.size()) {
      return;
    }
    std::string_view blanks = line.substr(at, token - at);
    if (line[token] == '#' && (!blanks.empty() || token == 0)) {
      out += Concat(blanks, line.substr(token));
      return;
    }
    AppendToken(line, token, blanks, out);
    at = quote_ != 0 ? AppendQuoted(line, token + 1, out) : token + 1;
  }
}

// One byte that is not blank, with the blanks that belong before it.
void FlowLine::AppendToken(std::string_view line, size_t at, std::string_view blanks,
                           std::string& out) {
  char c = line[at];
  char next = at + 1 < line.size() ? line[at + 1] : ' ';
  bool flow = depth_ > 0;
  bool starts_text = !flow || before_ == 0 || before_ == '\n' || before_ == ',' || before_ == ':' ||
                     IsOpen(before_);
  bool ends_key = flow && c == ':' &&
                  (IsBlank(next) || next == ',' || IsOpen(next) || IsClose(next) || after_quote_);
  bool mark = ends_key || IsOpen(c) || (flow && (IsClose(c) || c == ','));
  bool within_text = before_ == 'x' && !mark;
  if (within_text) {
    out += blanks;
  } else if (!ends_key && BlankBetween({before_ == '\n' ? char{0} : before_, c})) {
    out += ' ';
  }
  out += c;
  after_quote_ = false;
  if (IsOpen(c)) {
    ++depth_;
  } else if (flow && IsClose(c)) {
    --depth_;
  } else if ((c == '"' || c == '\'') && starts_text) {
    quote_ = c;
  }
  before_ = mark ? c : 'x';
}

// From behind an opening quote, or from the line's start within one, to behind the closing one.
size_t FlowLine::AppendQuoted(std::string_view line, size_t at, std::string& out) {
  for (; at < line.size(); ++at) {
    char c = line[at];
    out += c;
    bool pair = at + 1 < line.size() && ((quote_ == '"' && c == '\\') ||
                                         (quote_ == '\'' && c == '\'' && line[at + 1] == '\''));
    if (pair) {
      out += line[++at];
    } else if (c == quote_) {
      quote_ = 0;
      before_ = 'x';
      after_quote_ = true;
      return at + 1;
    }
  }
  return at;
}

}  // namespace countersign::authz::yaml
