// The layout of YAML text line by line, for FormatText alone, which checks what comes out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace countersign::authz::yaml {

// LayOut expects text that Parse reads without a problem.
StatusOr<std::string> LayOut(std::string_view text);

// FlowLine lays out one line of a flow collection or of a quoted text, which may go on in the next
// line. It is made where the value begins and lives until Done().
class FlowLine {
 public:
  // Append adds the line's text, from its first token on, to `out`; a comment ends it.
  void Append(std::string_view line, std::string& out);
  bool Done() const { return depth_ == 0 && quote_ == 0; }
  bool InQuote() const { return quote_ != 0; }

 private:
  size_t AppendQuoted(std::string_view line, size_t at, std::string& out);
  void AppendToken(std::string_view line, size_t at, std::string_view blanks, std::string& out);
  size_t depth_ = 0;
  char quote_ = 0;
  char before_ = 0;           // The token before: a bracket, ',', ':' or 'x' for a text; 0: none.
  bool after_quote_ = false;  // The text before was quoted, so that a ':' ends a key.
};

}  // namespace countersign::authz::yaml
