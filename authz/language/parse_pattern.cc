#include "authz/language/parse_pattern.h"

#include <algorithm>
#include <optional>

#include "authz/language/byte_classes.h"
#include "authz/language/forgotten_case.h"
#include "authz/language/pattern_reader.h"

namespace countersign::authz::language {
namespace {

using Id = Expression::Id;

struct Flags {
  bool fold_case = false;   // i
  bool lines = false;       // m
  bool dot_newline = true;  // s
  Case letter_case() const { return fold_case ? Case::kIgnore : Case::kRespect; }
};

// Parser is a recursive descent; one use.
class Parser {
 public:
  Parser(std::string_view pattern, const LanguageLimits& limits, Expression& out)
      : reader_(pattern), limits_(limits), out_(out) {}

  Status Run() {
    Id root = Alternation(0);
    if (!reader_.failed() && !reader_.AtEnd()) {
      reader_.Fail(reader_.at(), "this ) closes nothing: write \\) for the byte itself");
    }
    RETURN_IF_ERROR(reader_.status());
    out_.set_root(root);
    return absl::OkStatus();
  }

 private:
  // Up to the end or the ')' of the group. Flags set within last until there, across '|'.
  Id Alternation(size_t depth) {
    if (depth > limits_.pattern_depth_max) {
      reader_.FailTooLarge(
          Concat("groups nest deeper than pattern_depth_max = ", limits_.pattern_depth_max));
      return 0;
    }
    std::vector<Id> choices;
    std::vector<size_t> begins;
    do {
      begins.push_back(reader_.at());
      choices.push_back(Sequence(depth));
    } while (!reader_.failed() && reader_.TakeIf("|"));
    if (!reader_.failed() && choices.size() > 1) {
      RefuseForgottenCase(choices, begins);
    }
    return Combine(choices, &Expression::Alternate);
  }

  // What could differ between proof and judgement must not be there.
  void RefuseForgottenCase(std::span<const Id> choices, std::span<const size_t> begins) {
    if (auto found = FindForgottenLetter(out_, choices)) {
      reader_.Fail(begins[found->choice],
                   Concat("this alternative ends in '", std::string_view(&found->letter, 1),
                          "' of either case and one before it in the lower case alone, where RE2 ",
                          "forgets the upper case: put the one that ignores case first"));
    }
  }

  Id Sequence(size_t depth) {
    std::vector<Id> items;
    repeated_ = false;
    while (!reader_.failed() && !reader_.AtEnd() && reader_.Peek() != '|' &&
           reader_.Peek() != ')') {
      bool after_repeat = repeated_;
      repeated_ = false;
      if (!Item(items, depth)) {
        Repetition(items, after_repeat);
      }
    }
    return Combine(items, &Expression::Concat);
  }

  // Reads one item; false if a repetition operator is here.
  bool Item(std::vector<Id>& items, size_t depth) {
    switch (reader_.Peek()) {
      case '(':
        Group(items, depth);
        return true;
      case '[':
        items.push_back(Keep(out_.Bytes(ReadByteClass(reader_, flags_.letter_case()))));
        return true;
      case '.':
        reader_.Take();
        items.push_back(
            Keep(out_.Bytes(flags_.dot_newline ? ByteSet::All() : ByteSet::Of('\n').Complement())));
        return true;
      case '^':
        reader_.Take();
        items.push_back(Assert(flags_.lines ? Assertion::kBeginLine : Assertion::kBeginText));
        return true;
      case '$':
        reader_.Take();
        items.push_back(Assert(flags_.lines ? Assertion::kEndLine : Assertion::kEndText));
        return true;
      case '\\':
        Backslash(items);
        return true;
      case '*':
      case '+':
      case '?':
        return false;
      case '{':
        if (CountHere(nullptr)) {
          return false;
        }
        break;
      default:
        break;
    }
    items.push_back(Byte(static_cast<uint8_t>(reader_.Take())));
    return true;
  }

  void Backslash(std::vector<Id>& items) {
    if (reader_.TakeIf("\\b")) {
      items.push_back(Assert(Assertion::kWordBoundary));
    } else if (reader_.TakeIf("\\B")) {
      items.push_back(Assert(Assertion::kNotWordBoundary));
    } else if (reader_.TakeIf("\\A")) {
      items.push_back(Assert(Assertion::kBeginText));
    } else if (reader_.TakeIf("\\z")) {
      items.push_back(Assert(Assertion::kEndText));
    } else if (reader_.TakeIf("\\C")) {
      items.push_back(Keep(out_.Bytes(ByteSet::All())));
    } else if (reader_.TakeIf("\\Q")) {
      // Up to \E or the end, every byte means itself.
      while (!reader_.AtEnd() && !reader_.TakeIf("\\E")) {
        items.push_back(Byte(static_cast<uint8_t>(reader_.Take())));
      }
    } else if (reader_.AtUnicodeClass()) {
      items.push_back(Keep(out_.Bytes(reader_.UnicodeClass(flags_.letter_case()))));
    } else if (std::optional<ByteSet> perl = reader_.PerlClassHere(flags_.letter_case())) {
      items.push_back(Keep(out_.Bytes(*perl)));
    } else {
      items.push_back(Byte(reader_.Escape()));
    }
  }

  void Group(std::vector<Id>& items, size_t depth) {
    size_t begin = reader_.at();
    reader_.Take();
    Flags outer = flags_;
    if (reader_.StartsWith("?P<")) {
      GroupName(begin);
    } else if (reader_.TakeIf("?") && FlagsOnly(begin)) {
      return;  // "(?i)": until the end of the group around it.
    }
    if (reader_.failed()) {
      return;
    }
    Id inside = Alternation(depth + 1);
    if (!reader_.TakeIf(")")) {
      reader_.Fail(begin, "this ( has no closing )");
    }
    flags_ = outer;
    repeated_ = false;
    items.push_back(inside);
  }

  // (?P<name>: letters of Latin-1, digits and '_'. The name itself means nothing here.
  void GroupName(size_t begin) {
    reader_.Skip(3);
    size_t end = std::min(reader_.rest().find('>'), reader_.rest().size());
    std::string_view name = reader_.rest().substr(0, end);
    reader_.Skip(end);
    ByteSet allowed = WordBytes() | *UnicodeGroup("L", Case::kRespect);
    bool good = !name.empty() && std::ranges::all_of(name, [&](char c) {
      return allowed.Contains(static_cast<uint8_t>(c));
    });
    if (!reader_.TakeIf(">") || !good) {
      reader_.Fail(begin, "a group's name is (?P<name>...), of letters, digits and _");
    }
  }

  // Reads flags after "(?". True: they stand alone, "(?i)"; false: a group follows, "(?i:".
  bool FlagsOnly(size_t begin) {
    bool value = true;
    bool some = false;
    Flags flags = flags_;
    for (;;) {
      char c = reader_.Take();
      switch (c) {
        case 'i':
          flags.fold_case = value;
          break;
        case 'm':
          flags.lines = value;
          break;
        case 's':
          flags.dot_newline = value;
          break;
        case 'U':  // Which match is preferred means nothing for the whole value.
          break;
        case ':':
        case ')':
          if (!value && !some) {
            break;
          }
          flags_ = flags;
          return c == ')';
        default:
          break;
      }
      bool is_flag = c == 'i' || c == 'm' || c == 's' || c == 'U';
      some = some || is_flag;
      if (c == '-' && value) {
        value = false;
        some = false;
      } else if (!is_flag) {
        BadGroup(begin);
        return true;
      }
    }
  }

  void BadGroup(size_t begin) {
    std::string_view text = reader_.Since(begin);
    std::string_view hint = "";
    if (text == "(?=" || text == "(?!") {
      hint = ": look-ahead is not supported; write an allow and a deny, or except";
    } else if (text == "(?<") {
      hint = reader_.Peek() == '=' || reader_.Peek() == '!' ? ": look-behind is not supported"
                                                            : ": a named group is (?P<name>...)";
    } else if (text == "(?>") {
      hint = ": atomic groups are not supported";
    } else if (text == "(?#") {
      hint = ": comments are not supported";
    }
    reader_.Fail(begin, Concat("group ", Quoted(text), " is not supported", hint));
  }

  void Repetition(std::vector<Id>& items, bool after_repeat) {
    size_t begin = reader_.at();
    Expression::Count count;
    bool counted = reader_.Peek() == '{';
    if (counted) {
      CountHere(&count);
    } else {
      char c = reader_.Take();
      count.least = c == '+' ? 1 : 0;
      count.most = c == '?' ? 1 : kUnbounded;
    }
    reader_.TakeIf("?");  // Lazy: the same texts match.
    std::string_view text = reader_.Since(begin);
    bool unbounded = count.most == kUnbounded;
    if (after_repeat) {
      reader_.Fail(begin, Concat("repetition ", Quoted(text), " follows a repetition: write ",
                                 "(?:...) around what is repeated twice"));
    } else if (counted && (count.least > kRepeatMax || (!unbounded && count.most > kRepeatMax))) {
      reader_.Fail(begin, Concat("repetition ", Quoted(text), " counts beyond ", kRepeatMax));
    } else if (count.most < count.least) {
      reader_.Fail(begin, Concat("repetition ", Quoted(text), " ends before it begins"));
    } else if (items.empty()) {
      reader_.Fail(begin, Concat("repetition ", Quoted(text), " has nothing before it"));
    }
    if (reader_.failed()) {
      return;
    }
    Id repeated = items.back();
    uint32_t product = product_[repeated];
    items.back() = out_.Repeat(repeated, count);
    uint32_t factor = counted ? (unbounded ? count.least : count.most) : 1;
    // No overflow: a product that is kept is at most kRepeatMax but for factors of 1.
    product_.resize(out_.size(), 1);
    product_[items.back()] = product * std::max(factor, 1U);
    if (factor >= 2 && product_[items.back()] > kRepeatMax) {
      reader_.Fail(begin, Concat("repetition ", Quoted(text), " makes more than ", kRepeatMax,
                                 " together with the repetitions within"));
    }
    repeated_ = true;
  }

  // Reads "{3}", "{3,}" or "{3,5}" into `count` if one is here; without `count` only looks. A '{'
  // that begins no count is a byte.
  bool CountHere(Expression::Count* count) {
    std::string_view rest = reader_.rest();
    size_t used = 1;
    Expression::Count found;
    std::optional<uint32_t> least = Number(rest, used);
    if (!least) {
      return false;
    }
    found.least = found.most = *least;
    if (rest.substr(used).starts_with(',')) {
      ++used;
      found.most = kUnbounded;
      if (!rest.substr(used).starts_with('}')) {
        std::optional<uint32_t> most = Number(rest, used);
        if (!most) {
          return false;
        }
        found.most = *most;
      }
    }
    if (!rest.substr(used).starts_with('}')) {
      return false;
    }
    if (count != nullptr) {
      *count = found;
      reader_.Skip(used + 1);
    }
    return true;
  }

  // Digits without a leading zero; large values are cut to one that is beyond every limit.
  static std::optional<uint32_t> Number(std::string_view text, size_t& at) {
    auto digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
    if (!digit(at) || (text[at] == '0' && digit(at + 1))) {
      return std::nullopt;
    }
    uint32_t number = 0;
    for (; digit(at); ++at) {
      if (number >= 100'000'000) {
        return std::nullopt;
      }
      number = number * 10 + static_cast<uint32_t>(text[at] - '0');
    }
    return number;
  }

  Id Byte(uint8_t byte) {
    ByteSet set = ByteSet::Of(byte);
    return Keep(out_.Bytes(flags_.fold_case ? FoldCase(set) : set));
  }
  Id Assert(Assertion assertion) { return Keep(out_.Assert(assertion)); }
  Id Keep(Id id) {
    product_.resize(out_.size(), 1);
    return id;
  }
  Id Combine(const std::vector<Id>& parts, Id (Expression::*make)(std::span<const Id>)) {
    if (reader_.failed()) {
      return 0;  // Some of the parts may not be there.
    }
    uint32_t product = 1;
    for (Id part : parts) {
      product = std::max(product, product_[part]);
    }
    Id id = (out_.*make)(parts);
    product_.resize(out_.size(), 1);
    product_[id] = product;
    return id;
  }

  PatternReader reader_;
  const LanguageLimits& limits_;
  Expression& out_;
  Flags flags_;
  bool repeated_ = false;          // The item before was a repetition.
  std::vector<uint32_t> product_;  // Of each node: the largest product of nested counts.
};

}  // namespace

StatusOr<Expression> ParsePattern(std::string_view pattern, const LanguageLimits& limits) {
  if (pattern.size() > limits.pattern_bytes_max) {
    return ResourceExhausted("pattern ", Quoted(pattern), " has ", pattern.size(),
                             " bytes, more than pattern_bytes_max = ", limits.pattern_bytes_max);
  }
  Expression expression;
  RETURN_IF_ERROR(Parser(pattern, limits, expression).Run());
  return expression;
}

}  // namespace countersign::authz::language
