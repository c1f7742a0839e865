// Lays a policy file out in one way, without touching what it says: indentation by two, lists one
// step below their key, one blank after a colon and a comma, no trailing blanks, at most one empty
// line in a row. Comments, quotes, line breaks and the order of keys stay the author's.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign::authz::yaml {

// FormatText returns the laid-out text. Only white space changes, and the result is held against
// the text: the same trees, the same bytes apart from white space, and formatted again the same.
// Fails, with "LINE:COLUMN: " in front, on a text that Parse has a problem with and on a layout
// that it cannot keep (directives, a document that begins on the line of its `---`).
StatusOr<std::string> FormatText(std::string_view text);

}  // namespace countersign::authz::yaml
