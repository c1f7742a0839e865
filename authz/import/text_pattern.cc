#include "authz/import/text_pattern.h"

#include <algorithm>
#include <map>
#include <memory>

namespace countersign::authz::import {
namespace {

// Trie of the texts that a complement must not match, read from one end. It owns its children.
struct Trie {
  bool ends = false;       // A text ends here: it alone is excluded.
  bool all_below = false;  // A prefix (or suffix) ends here: everything from here on is excluded.
  std::map<char, std::unique_ptr<Trie>> next;
};

void Insert(Trie& root, std::string_view text, bool all_below) {
  Trie* at = &root;
  for (char c : text) {
    std::unique_ptr<Trie>& child = at->next[c];
    if (child == nullptr) {
      child = std::make_unique<Trie>();
    }
    at = child.get();
  }
  at->ends = true;
  at->all_below = at->all_below || all_below;
}

std::string ClassByte(char c) {
  bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '/' || c == '_' || c == '.' || c == ':' || c == ' ';
  return plain ? std::string(1, c) : QuotePattern(std::string_view(&c, 1));
}

// What may follow this node so that no excluded text comes of it; empty: nothing may. With
// `backward` the node is read from the end of the text.
std::string Rest(const Trie& node, bool backward) {
  if (node.all_below) {
    return "";
  }
  std::string others = "[^";
  std::string alternatives;
  for (const auto& [c, child] : node.next) {
    others += ClassByte(c);
    std::string below = Rest(*child, backward);
    if (!below.empty()) {
      std::string byte = QuotePattern(std::string_view(&c, 1));
      alternatives += Concat("|", backward ? below + byte : byte + below);
    }
  }
  others = node.next.empty() ? "." : others + "]";
  std::string first = backward ? Concat(".*", others) : Concat(others, ".*");
  return Concat("(?:", first, alternatives, node.ends ? ")" : ")?");
}

}  // namespace

std::string QuotePattern(std::string_view text) {
  constexpr std::string_view kSpecial = "\\.+*?()|[]{}^$";
  std::string out;
  for (char c : text) {
    if (kSpecial.find(c) != std::string_view::npos || c == '-') {
      out += '\\';
    }
    out += c;
  }
  return out;
}

TextForm ReadForm(std::string_view value) {
  using Kind = TextForm::Kind;
  if (value == "*") {
    return {Kind::kPresent, ""};
  }
  if (value.starts_with('*')) {
    return {Kind::kSuffix, std::string(value.substr(1))};
  }
  if (value.ends_with('*')) {
    return {Kind::kPrefix, std::string(value.substr(0, value.size() - 1))};
  }
  return {Kind::kExact, std::string(value)};
}

Matcher ToMatcher(const TextForm& form) {
  bool star = form.text.find('*') != std::string::npos;
  switch (form.kind) {
    case TextForm::Kind::kPresent:
      return {Matcher::Kind::kPresent, "", {}, 0};
    case TextForm::Kind::kExact:
      return {Matcher::Kind::kExact, form.text, {}, 0};
    case TextForm::Kind::kPrefix:
      return star ? Matcher{Matcher::Kind::kRe2, QuotePattern(form.text) + ".*", {}, 0}
                  : Matcher{Matcher::Kind::kPrefix, form.text, {}, 0};
    default:
      return star ? Matcher{Matcher::Kind::kRe2, ".*" + QuotePattern(form.text), {}, 0}
                  : Matcher{Matcher::Kind::kSuffix, form.text, {}, 0};
  }
}

StatusOr<std::string> ComplementPattern(std::span<const TextForm> forms) {
  bool backward = std::ranges::any_of(
      forms, [](const TextForm& form) { return form.kind == TextForm::Kind::kSuffix; });
  Trie root;
  for (const TextForm& form : forms) {
    bool prefix = form.kind == TextForm::Kind::kPrefix;
    if (form.kind == TextForm::Kind::kPresent || (backward && prefix)) {
      return InvalidArgument(
          "RE2 has no negation: what must not match may be texts with *tails, or ",
          "texts with heads*, not both");
    }
    std::string text = form.text;
    if (backward) {
      std::ranges::reverse(text);
    }
    Insert(root, text, form.kind != TextForm::Kind::kExact);
  }
  std::string pattern = Rest(root, backward);
  if (pattern.size() > 1024) {
    return InvalidArgument("what must not match makes a pattern of ", pattern.size(),
                           " bytes, 1024 are allowed: name what must match instead");
  }
  return pattern;
}

}  // namespace countersign::authz::import
