// SimplePattern is the common shape of patterns: literals, classes with counts, and choices, where
// at each byte only one way to go on exists, so that no automaton is needed (SimplePrograms runs
// it). RE2 has checked the syntax of every pattern before.
//
// Exactly RE2's language for the whole value in Latin-1 with dot_nl; tests hold it against RE2.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace countersign::authz::engine {

using ByteSet = std::bitset<256>;

// SimplePattern is immutable; threads may share it.
class SimplePattern {
 public:
  // Parse gives nothing for a pattern that is not of the simple shape. `pattern` must be one that
  // RE2 accepts.
  static std::optional<SimplePattern> Parse(std::string_view pattern);

  // Prefixes are literals with one of which every match begins; a single empty one at worst.
  std::vector<std::string> Prefixes() const;

 private:
  friend class SimplePrograms;
  static constexpr uint32_t kUnbounded = 0xffffffff;
  enum class Kind : uint8_t {
    kLiteral,  // text_[begin, end).
    kRun,      // `least` to `most` bytes of sets_[begin].
    kChoice,   // One of alternatives_[begin, end), or none if `optional`.
  };
  struct Item {
    Kind kind = Kind::kLiteral;
    bool optional = false;
    uint32_t begin = 0;
    uint32_t end = 0;
    uint32_t least = 0;
    uint32_t most = 0;
  };
  struct Alternative {
    uint32_t begin = 0;  // Of items_.
    uint32_t end = 0;
  };
  class Parser;

  std::string_view Literal(const Item& item) const {
    return std::string_view(text_).substr(item.begin, item.end - item.begin);
  }
  // Whether greedy matching is exact: nothing that may follow begins like what may be repeated or
  // chosen. `follow` is what may come after the items.
  bool IsDeterministic(uint32_t begin, uint32_t end, const ByteSet& follow) const;
  bool ChoiceIsDeterministic(const Item& item, const ByteSet& follow) const;
  // What the items can begin with, `follow` included if they may be empty.
  ByteSet First(uint32_t begin, uint32_t end, ByteSet follow) const;
  ByteSet FirstOf(const Item& item) const;
  bool MayBeEmpty(uint32_t begin, uint32_t end) const;
  bool MayBeEmpty(const Item& item) const;
  bool IsLiteral(const Alternative& alternative) const;

  std::string text_;
  std::vector<ByteSet> sets_;
  std::vector<Item> items_;  // Of alternatives first; the pattern's own are the last.
  std::vector<Alternative> alternatives_;
  uint32_t top_begin_ = 0;
  uint32_t top_end_ = 0;
};

}  // namespace countersign::authz::engine
