#include "authz/engine/simple_pattern.h"

#include <algorithm>

namespace countersign::authz::engine {
namespace {

constexpr size_t kPrefixesMax = 16;
constexpr int kDepthMax = 8;

bool IsWordByte(int c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

ByteSet SetWhere(bool (*holds)(int)) {
  ByteSet set;
  for (int c = 0; c < 256; ++c) {
    set[static_cast<size_t>(c)] = holds(c);
  }
  return set;
}

// The class that an escaped letter names, or nothing.
std::optional<ByteSet> NamedClass(char letter) {
  auto digit = [](int c) { return c >= '0' && c <= '9'; };
  auto space = [](int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; };
  switch (letter) {
    case 'd':
      return SetWhere(digit);
    case 'D':
      return ~SetWhere(digit);
    case 'w':
      return SetWhere(IsWordByte);
    case 'W':
      return ~SetWhere(IsWordByte);
    case 's':
      return SetWhere(space);
    case 'S':
      return ~SetWhere(space);
    default:
      return std::nullopt;
  }
}

// A backslash before ASCII punctuation takes its meaning away; before anything else it has one.
bool IsPlainEscape(char c) {
  auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte < 0x7F && !IsWordByte(byte);
}

}  // namespace

// Parser is a recursive descent over the pattern; `ok_` falls at the first thing that is not
// simple.
class SimplePattern::Parser {
 public:
  Parser(std::string_view pattern, SimplePattern& out) : rest_(pattern), out_(out) {}

  bool Run() {
    std::vector<Item> items = Sequence(0);
    out_.top_begin_ = static_cast<uint32_t>(out_.items_.size());
    out_.items_.insert(out_.items_.end(), items.begin(), items.end());
    out_.top_end_ = static_cast<uint32_t>(out_.items_.size());
    return ok_ && rest_.empty();
  }

 private:
  std::vector<Item> Sequence(int depth) {
    std::vector<Item> items;
    while (ok_ && !rest_.empty() && rest_.front() != ')' && rest_.front() != '|') {
      if (rest_.front() == '(') {
        Group(items, depth + 1);
      } else {
        Atom(items);
      }
    }
    return items;
  }

  void Group(std::vector<Item>& items, int depth) {
    rest_.remove_prefix(1);
    if (rest_.starts_with("?:")) {
      rest_.remove_prefix(2);
    } else if (rest_.starts_with('?') || depth > kDepthMax) {
      ok_ = false;
      return;
    }
    std::vector<std::vector<Item>> sequences = {Sequence(depth)};
    while (ok_ && rest_.starts_with('|')) {
      rest_.remove_prefix(1);
      sequences.push_back(Sequence(depth));
    }
    if (!ok_ || !rest_.starts_with(')')) {
      ok_ = false;
      return;
    }
    rest_.remove_prefix(1);
    Item choice;
    choice.kind = Kind::kChoice;
    if (rest_.starts_with('?')) {
      choice.optional = true;
      rest_.remove_prefix(1);
    }
    if (StartsQuantifier()) {
      ok_ = false;  // Repeated groups, and lazy or doubled quantifiers.
      return;
    }
    std::vector<Alternative> alternatives;
    for (const std::vector<Item>& sequence : sequences) {
      Alternative alternative;
      alternative.begin = static_cast<uint32_t>(out_.items_.size());
      out_.items_.insert(out_.items_.end(), sequence.begin(), sequence.end());
      alternative.end = static_cast<uint32_t>(out_.items_.size());
      alternatives.push_back(alternative);
    }
    choice.begin = static_cast<uint32_t>(out_.alternatives_.size());
    out_.alternatives_.insert(out_.alternatives_.end(), alternatives.begin(), alternatives.end());
    choice.end = static_cast<uint32_t>(out_.alternatives_.size());
    items.push_back(choice);
  }

  bool StartsQuantifier() const {
    return !rest_.empty() && (rest_.front() == '*' || rest_.front() == '+' ||
                              rest_.front() == '?' || rest_.front() == '{');
  }

  // One byte or class with its count.
  void Atom(std::vector<Item>& items) {
    ByteSet set;
    int literal = -1;
    char c = rest_.front();
    rest_.remove_prefix(1);
    switch (c) {
      case '.':
        set.set();
        break;
      case '[':
        Class(set);
        break;
      case '\\':
        Escape(set, &literal);
        break;
      case '^':
      case '$':
      case '*':
      case '+':
      case '?':
      case '{':
      case '}':
      case ']':
        ok_ = false;
        break;
      default:
        literal = static_cast<unsigned char>(c);
    }
    if (!ok_) {
      return;
    }
    if (!StartsQuantifier() && literal >= 0) {
      AddByte(items, static_cast<char>(literal));
      return;
    }
    if (literal >= 0) {
      set.set(static_cast<size_t>(literal));
    }
    Item run;
    run.kind = Kind::kRun;
    run.least = run.most = 1;
    Quantifier(run);
    run.begin = static_cast<uint32_t>(out_.sets_.size());
    out_.sets_.push_back(set);
    items.push_back(run);
  }

  void AddByte(std::vector<Item>& items, char byte) {
    auto end = static_cast<uint32_t>(out_.text_.size());
    out_.text_.push_back(byte);
    if (!items.empty() && items.back().kind == Kind::kLiteral && items.back().end == end) {
      ++items.back().end;
      return;
    }
    Item& item = items.emplace_back();
    item.begin = end;
    item.end = end + 1;
  }

  void Quantifier(Item& run) {
    if (!StartsQuantifier()) {
      return;
    }
    char c = rest_.front();
    rest_.remove_prefix(1);
    run.least = c == '+' ? 1 : 0;
    run.most = c == '?' ? 1 : kUnbounded;
    if (c == '{' && !Count(run)) {
      ok_ = false;
    }
    if (StartsQuantifier()) {
      ok_ = false;
    }
  }

  // After '{': "m}", "m,}" or "m,n}".
  bool Count(Item& run) {
    if (!Number(&run.least)) {
      return false;
    }
    run.most = run.least;
    if (rest_.starts_with(',')) {
      rest_.remove_prefix(1);
      run.most = kUnbounded;
      if (!rest_.starts_with('}') && !Number(&run.most)) {
        return false;
      }
    }
    if (!rest_.starts_with('}')) {
      return false;
    }
    rest_.remove_prefix(1);
    return run.least <= run.most;
  }

  bool Number(uint32_t* number) {
    size_t digits = 0;
    *number = 0;
    while (digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9' && digits < 5) {
      *number = *number * 10 + static_cast<uint32_t>(rest_[digits++] - '0');
    }
    rest_.remove_prefix(digits);
    return digits > 0 && digits < 5;
  }

  void Escape(ByteSet& set, int* literal) {
    if (rest_.empty()) {
      ok_ = false;
      return;
    }
    char c = rest_.front();
    rest_.remove_prefix(1);
    if (IsPlainEscape(c)) {
      *literal = static_cast<unsigned char>(c);
    } else if (std::optional<ByteSet> named = NamedClass(c)) {
      set |= *named;
    } else {
      ok_ = false;
    }
  }

  // After '[', up to and with ']'. Only what is the same in every dialect.
  void Class(ByteSet& set) {
    bool negated = rest_.starts_with('^');
    if (negated) {
      rest_.remove_prefix(1);
    }
    bool first = true;
    while (ok_ && !rest_.empty() && rest_.front() != ']') {
      ClassPart(set, first);
      first = false;
    }
    if (!ok_ || rest_.empty() || first) {
      ok_ = false;
      return;
    }
    rest_.remove_prefix(1);
    if (negated) {
      set.flip();
    }
  }

  void ClassPart(ByteSet& set, bool first) {
    int low = ClassByte(set, first);
    if (!ok_ || low < 0) {
      return;
    }
    int high = low;
    if (rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') {
      rest_.remove_prefix(1);
      ByteSet ignored;
      high = ClassByte(ignored, false);
      if (high < low) {
        ok_ = false;
        return;
      }
    }
    for (int c = low; c <= high; ++c) {
      set.set(static_cast<size_t>(c));
    }
  }

  // A byte of a class; -1 for a named class, which goes into `set`.
  int ClassByte(ByteSet& set, bool first) {
    char c = rest_.front();
    if (c == '[' || (c == '-' && !first && rest_.size() > 1 && rest_[1] != ']')) {
      ok_ = false;
      return -1;
    }
    rest_.remove_prefix(1);
    if (c != '\\') {
      return static_cast<unsigned char>(c);
    }
    int literal = -1;
    Escape(set, &literal);
    return literal;
  }

  std::string_view rest_;
  SimplePattern& out_;
  bool ok_ = true;
};

std::optional<SimplePattern> SimplePattern::Parse(std::string_view pattern) {
  SimplePattern simple;
  if (!Parser(pattern, simple).Run() ||
      !simple.IsDeterministic(simple.top_begin_, simple.top_end_, ByteSet())) {
    return std::nullopt;
  }
  simple.text_.shrink_to_fit();
  simple.sets_.shrink_to_fit();
  simple.items_.shrink_to_fit();
  simple.alternatives_.shrink_to_fit();
  return simple;
}

bool SimplePattern::MayBeEmpty(const Item& item) const {
  switch (item.kind) {
    case Kind::kLiteral:
      return item.begin == item.end;
    case Kind::kRun:
      return item.least == 0;
    case Kind::kChoice:
      break;
  }
  return item.optional ||
         std::any_of(alternatives_.begin() + item.begin, alternatives_.begin() + item.end,
                     [this](const Alternative& one) { return MayBeEmpty(one.begin, one.end); });
}

bool SimplePattern::MayBeEmpty(uint32_t begin, uint32_t end) const {
  return std::all_of(items_.begin() + begin, items_.begin() + end,
                     [this](const Item& item) { return MayBeEmpty(item); });
}

ByteSet SimplePattern::FirstOf(const Item& item) const {
  ByteSet first;
  if (item.kind == Kind::kLiteral) {
    first.set(static_cast<unsigned char>(text_[item.begin]));
  } else if (item.kind == Kind::kRun) {
    first = item.most == 0 ? first : sets_[item.begin];
  } else {
    for (uint32_t i = item.begin; i < item.end; ++i) {
      first |= First(alternatives_[i].begin, alternatives_[i].end, ByteSet());
    }
  }
  return first;
}

ByteSet SimplePattern::First(uint32_t begin, uint32_t end, ByteSet follow) const {
  ByteSet first = follow;
  for (uint32_t i = end; i > begin; --i) {
    const Item& item = items_[i - 1];
    first = MayBeEmpty(item) ? first | FirstOf(item) : FirstOf(item);
  }
  return first;
}

bool SimplePattern::IsLiteral(const Alternative& alternative) const {
  return alternative.end - alternative.begin == 1 &&
         items_[alternative.begin].kind == Kind::kLiteral;
}

bool SimplePattern::IsDeterministic(uint32_t begin, uint32_t end, const ByteSet& follow) const {
  for (uint32_t i = begin; i < end; ++i) {
    const Item& item = items_[i];
    ByteSet after = First(i + 1, end, follow);
    if (item.kind == Kind::kRun && item.least != item.most && (sets_[item.begin] & after).any()) {
      return false;
    }
    if (item.kind == Kind::kChoice && !ChoiceIsDeterministic(item, after)) {
      return false;
    }
  }
  return true;
}

// At most one alternative can match at a place, and if one begins to, skipping it is no way on.
bool SimplePattern::ChoiceIsDeterministic(const Item& item, const ByteSet& follow) const {
  for (uint32_t i = item.begin; i < item.end; ++i) {
    const Alternative& one = alternatives_[i];
    if (MayBeEmpty(one.begin, one.end) || !IsDeterministic(one.begin, one.end, follow)) {
      return false;
    }
    ByteSet first = First(one.begin, one.end, ByteSet());
    if (item.optional && (first & follow).any()) {
      return false;
    }
    for (uint32_t k = item.begin; k < i; ++k) {
      const Alternative& other = alternatives_[k];
      bool apart = (first & First(other.begin, other.end, ByteSet())).none();
      if (!apart && IsLiteral(one) && IsLiteral(other)) {
        std::string_view a = Literal(items_[one.begin]);
        std::string_view b = Literal(items_[other.begin]);
        apart = !a.starts_with(b) && !b.starts_with(a);
      }
      if (!apart) {
        return false;
      }
    }
  }
  return true;
}

std::vector<std::string> SimplePattern::Prefixes() const {
  std::vector<std::string> prefixes = {""};
  for (uint32_t i = top_begin_; i < top_end_; ++i) {
    const Item& item = items_[i];
    if (item.kind == Kind::kLiteral) {
      for (std::string& prefix : prefixes) {
        prefix.append(Literal(item));
      }
      continue;
    }
    bool literals =
        item.kind == Kind::kChoice && !item.optional &&
        std::all_of(alternatives_.begin() + item.begin, alternatives_.begin() + item.end,
                    [this](const Alternative& one) { return IsLiteral(one); });
    if (!literals || prefixes.size() * (item.end - item.begin) > kPrefixesMax) {
      break;
    }
    std::vector<std::string> longer;
    for (const std::string& prefix : prefixes) {
      for (uint32_t k = item.begin; k < item.end; ++k) {
        longer.push_back(prefix);
        longer.back().append(Literal(items_[alternatives_[k].begin]));
      }
    }
    prefixes = std::move(longer);
  }
  return prefixes;
}

}  // namespace countersign::authz::engine
