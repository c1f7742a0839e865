#include "authz/language/forgotten_case.h"

#include <vector>

namespace countersign::authz::language {
namespace {

using Id = Expression::Id;
using Kind = Expression::Kind;

// Ending is a part with which an alternative ends.
struct Ending {
  Id id = 0;
  bool behind = false;  // Something stands before it.
  // It is an alternative of what an alternative ends in: RE2 may have made a class of it, but never
  // the letter in both cases.
  bool class_only = false;
};

// Calls visit(bytes, class_only) for each byte with which `choice` can end, in order.
template <class Visit>
void ForEachLastByte(const Expression& expression, Id choice, Visit visit) {
  std::vector<Ending> stack = {{choice}};
  while (!stack.empty()) {
    Ending ending = stack.back();
    stack.pop_back();
    const Expression::Node& node = expression.node(ending.id);
    if (node.kind == Kind::kBytes) {
      visit(expression.set(node.first), ending.class_only);
    } else if (node.kind == Kind::kAlternate) {
      std::span<const Id> children = expression.children(node);
      for (auto child = children.rbegin(); child != children.rend(); ++child) {
        stack.push_back({*child, ending.behind, ending.class_only || ending.behind});
      }
    } else if (node.kind == Kind::kConcat && !expression.children(node).empty()) {
      stack.push_back({expression.children(node).back(), true, ending.class_only});
    }
  }
}

}  // namespace

std::optional<ForgottenLetter> FindForgottenLetter(const Expression& expression,
                                                   std::span<const Id> choices) {
  std::optional<ForgottenLetter> found;
  ByteSet lower_only;  // Letters with which an alternative so far ends, without their upper case.
  for (size_t i = 0; i < choices.size() && !found; ++i) {
    ForEachLastByte(expression, choices[i], [&](const ByteSet& last, bool class_only) {
      for (int letter = 'a'; letter <= 'z' && !found; ++letter) {
        auto lower = static_cast<uint8_t>(letter);
        auto upper = static_cast<uint8_t>(letter - 'a' + 'A');
        if (!last.Contains(lower)) {
          continue;
        }
        if (!last.Contains(upper)) {
          lower_only.Add(lower);
        } else if (last.size() == 2 && !class_only && lower_only.Contains(lower)) {
          found = ForgottenLetter{.choice = i, .letter = static_cast<char>(lower)};
        }
      }
    });
  }
  return found;
}

}  // namespace countersign::authz::language
