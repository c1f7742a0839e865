#include "authz/yaml/format.h"

#include <algorithm>

#include "authz/yaml/layout.h"
#include "authz/yaml/parse.h"

namespace countersign::authz::yaml {
namespace {

bool SameNode(const Node& a, const Node& b);

bool SameMember(const Member& a, const Member& b) {
  return a.key == b.key && SameNode(a.value, b.value);
}

bool SameNode(const Node& a, const Node& b) {
  return a.kind == b.kind && a.quoted == b.quoted && a.text == b.text &&
         std::ranges::equal(a.items, b.items, SameNode) &&
         std::ranges::equal(a.members, b.members, SameMember);
}

bool SameTrees(const Stream& a, const Stream& b) {
  auto same = [](const Document& x, const Document& y) { return SameNode(x.root, y.root); };
  return b.problems.empty() && std::ranges::equal(a.documents, b.documents, same);
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string WithoutBlanks(std::string_view text) {
  std::string out(text);
  std::erase_if(out, IsBlank);
  return out;
}

}  // namespace

StatusOr<std::string> FormatText(std::string_view text) {
  Stream before = Parse(text);
  if (!before.problems.empty()) {
    const Problem& problem = before.problems.front();
    return InvalidArgument(problem.where.line, ":", problem.where.column, ": ", problem.message);
  }
  ASSIGN_OR_RETURN(std::string once, LayOut(text));
  StatusOr<std::string> twice = LayOut(once);
  bool proved = SameTrees(before, Parse(once)) && WithoutBlanks(text) == WithoutBlanks(once) &&
                twice.ok() && *twice == once;
  if (!proved) {
    return InvalidArgument("1:1: this layout cannot be formatted without a change of meaning; the ",
                           "file is left as it is");
  }
  return once;
}

}  // namespace countersign::authz::yaml
