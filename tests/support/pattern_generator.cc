#include "tests/support/pattern_generator.h"

#include <algorithm>
#include <array>

#include "base/status.h"

namespace countersign::authz::language {
namespace {

constexpr std::string_view kLetters = "abcKkSs01_-./\n \x80\xB5\xE5\xC5\xFF\xDF\xD7";
constexpr std::string_view kMeta = "\\.+*?()|[]{}^$-,:=<>!PQEi";
constexpr std::array<std::string_view, 26> kEscapes = {
    "\\d", "\\D", "\\s",     "\\S",        "\\w",         "\\W",   "\\n", "\\t",  "\\x41",
    "\\.", "\\/", "\\x{e5}", "\\x{0}",     "\\012",       "\\0",   "\\C", "\\pL", "\\PL",
    "\\a", "\\v", "\\p{Lu}", "\\p{Greek}", "\\P{^Latin}", "\\xff", "\\_", "\\pN"};
constexpr std::array<std::string_view, 10> kClassItems = {
    "[:alpha:]", "[:^digit:]", "[:word:]", "[:space:]",  "[:punct:]",
    "\\d",       "\\W",        "\\pL",     "\\p{Greek}", "[:^upper:]"};
constexpr std::array<std::string_view, 9> kAsserts = {"^",   "$", "\\b", "\\B", "\\A",
                                                      "\\z", "^", "$",   "\\b"};
constexpr std::array<std::string_view, 10> kGroups = {
    "(", "(?:", "(?i:", "(?-s:", "(?m:", "(?i-s:", "(?P<n>", "(?U:", "(?sm:", "(?-i:"};
constexpr std::array<std::string_view, 7> kFlags = {"(?i)", "(?-i)", "(?m)", "(?-s)",
                                                    "(?s)", "(?U)",  "(?-m)"};
constexpr std::array<std::string_view, 9> kRepeats = {"*",   "+",    "?",     "*?",   "{2}",
                                                      "{0}", "{1,}", "{0,2}", "{2,3}"};

template <class Words>
std::string_view Pick(Random& random, const Words& words) {
  return words[random.Below(static_cast<uint32_t>(words.size()))];
}

// Writer adds parts until its budget of parts is used.
class Writer {
 public:
  explicit Writer(Random& random)
      : random_(random), left_(2 + static_cast<int>(random.Below(10))) {}

  std::string Run() {
    Alternation(0);
    return std::move(out_);
  }

 private:
  void Alternation(int depth) {
    do {
      uint32_t items = 1 + random_.Below(4);
      for (uint32_t i = 0; i < items && left_ > 0; ++i) {
        Item(depth);
      }
    } while (left_ > 0 && random_.OneIn(depth == 0 ? 5 : 2) && Put("|"));
  }

  void Item(int depth) {
    --left_;
    switch (random_.Below(16)) {
      case 0:
      case 1:
      case 2:
        if (depth < 6) {
          out_ += Pick(random_, kGroups);
          Alternation(depth + 1);
          out_ += ')';
          break;
        }
        [[fallthrough]];
      case 3:
      case 4:
        out_ += '.';
        break;
      case 5:
      case 6:
        Class();
        break;
      case 7:
      case 8:
        out_ += Pick(random_, kEscapes);
        break;
      case 9:
        out_ += Pick(random_, kAsserts);
        break;
      case 10:
        if (random_.OneIn(3)) {
          out_ += Pick(random_, kFlags);
          return;
        }
        out_ += random_.OneIn(4) ? "\\Qa.*\\E" : "/";
        break;
      default:
        for (uint32_t bytes = 1 + random_.Below(3); bytes > 0; --bytes) {
          Byte();
        }
    }
    if (random_.OneIn(3)) {
      out_ += random_.OneIn(20) ? "{3,12}" : Pick(random_, kRepeats);
    }
  }

  void Byte() {
    char c = kLetters[random_.Below(kLetters.size())];
    if (c == '.') {
      out_ += '\\';
    }
    out_ += c;
  }

  void Class() {
    out_ += random_.OneIn(3) ? "[^" : "[";
    for (uint32_t items = 1 + random_.Below(3); items > 0; --items) {
      if (random_.OneIn(4)) {
        out_ += Pick(random_, kClassItems);
        continue;
      }
      auto first = static_cast<uint8_t>(kLetters[random_.Below(kLetters.size())]);
      out_ += static_cast<char>(first);
      if (random_.OneIn(2)) {
        out_ += '-';
        out_ += static_cast<char>(std::min(255U, first + random_.Below(40)));
      }
    }
    out_ += ']';
  }

  bool Put(std::string_view text) {
    out_ += text;
    return true;
  }

  Random& random_;
  int left_;
  std::string out_;
};

}  // namespace

namespace {

// Tokens in any order: mostly refused, and so must both be of one mind.
std::string GenerateSoup(Random& random) {
  static constexpr std::array<std::string_view, 34> kTokens = {
      "a",   "K",   "\\",  "(",   ")",   "[",   "]",     "[^",  "^", "-",   "{",    "}",
      "*",   "?",   "+",   "|",   "{2}", "{1,", "{0,3}", "(?",  "i", ":",   "P<n>", "\\p{",
      "Lu}", "\\x", "\\Q", "\\E", "[:",  ":]",  "0",     "\\d", ".", "\xE5"};
  std::string soup;
  for (uint32_t tokens = 1 + random.Below(9); tokens > 0; --tokens) {
    soup += Pick(random, kTokens);
  }
  return soup;
}

}  // namespace

std::string GeneratePattern(Random& random) {
  if (random.OneIn(6)) {
    return GenerateSoup(random);
  }
  std::string pattern = Writer(random).Run();
  if (random.OneIn(20)) {
    // Alternatives that begin alike, behind an anchor: RE2 takes such things apart.
    char c = kLetters[random.Below(kLetters.size())];
    std::string same(1, c == '.' ? 'a' : c);
    pattern = Concat("^(?:", same, pattern, "|", same, Writer(random).Run(), ")");
  }
  if (random.OneIn(16)) {
    // Damage: a byte of the syntax somewhere, or a byte taken out.
    uint32_t at = random.Below(static_cast<uint32_t>(pattern.size() + 1));
    if (random.OneIn(2) && at < pattern.size()) {
      pattern.erase(at, 1);
    } else {
      pattern.insert(at, 1, kMeta[random.Below(kMeta.size())]);
    }
  }
  return pattern;
}

BorderTexts::BorderTexts(const Language& language) : dfa_(language.dfa()) {
  members_.resize(dfa_.classes.size());
  for (int byte = 0; byte < 256; ++byte) {
    auto value = static_cast<uint8_t>(byte);
    members_[dfa_.classes[value]].push_back(value);
    if (byte > 0 && dfa_.classes[value] != dfa_.classes[static_cast<uint8_t>(byte - 1)]) {
      edges_.push_back(static_cast<uint8_t>(byte - 1));
      edges_.push_back(value);
    }
  }
  // Shortest distances by rounds; the automata here are small.
  distance_.assign(dfa_.states(), UINT32_MAX);
  for (uint32_t state = 0; state < dfa_.states(); ++state) {
    distance_[state] = dfa_.accepts[state] != 0 ? 0 : UINT32_MAX;
  }
  size_t width = dfa_.classes.size();
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t state = 0; state < dfa_.states(); ++state) {
      for (size_t i = 0; i < width; ++i) {
        uint32_t there = distance_[dfa_.next[state * width + i]];
        if (there != UINT32_MAX && there + 1 < distance_[state]) {
          distance_[state] = there + 1;
          changed = true;
        }
      }
    }
  }
}

uint8_t BorderTexts::ByteOf(Random& random, size_t byte_class) const {
  const std::vector<uint8_t>& members = members_[byte_class];
  switch (random.Below(4)) {
    case 0:
      return members.front();
    case 1:
      return members.back();
    default:
      return members[random.Below(static_cast<uint32_t>(members.size()))];
  }
}

void BorderTexts::Accepted(Random& random, std::string& text) const {
  text.clear();
  if (distance_[0] == UINT32_MAX) {
    return;
  }
  size_t width = dfa_.classes.size();
  uint32_t wander = random.Below(24);
  for (uint32_t state = 0; text.size() < 4096;) {
    if (dfa_.accepts[state] != 0 && (text.size() >= wander || random.OneIn(8))) {
      return;
    }
    // Any way on at first, then only towards acceptance.
    auto start = random.Below(static_cast<uint32_t>(width));
    size_t chosen = width;
    for (size_t i = 0; i < width; ++i) {
      size_t candidate = (start + i) % width;
      uint32_t there = distance_[dfa_.next[state * width + candidate]];
      if (there != UINT32_MAX && (text.size() < wander || there < distance_[state])) {
        chosen = candidate;
        break;
      }
    }
    if (chosen == width) {
      return;
    }
    text.push_back(static_cast<char>(ByteOf(random, chosen)));
    state = dfa_.next[state * width + chosen];
  }
}

void BorderTexts::Mutate(Random& random, std::string& text) const {
  static constexpr std::array<std::string_view, 8> kForeign = {
      "\n", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\xE2\x84\xAA", " ", "_"};
  auto size = static_cast<uint32_t>(text.size());
  uint32_t at = random.Below(size + 1);
  auto edge = [&] {
    return edges_.empty()
               ? static_cast<char>(random.Below(256))
               : static_cast<char>(edges_[random.Below(static_cast<uint32_t>(edges_.size()))]);
  };
  switch (random.Below(8)) {
    case 0:
      text.insert(at, 1, edge());
      break;
    case 1:
      text.insert(at, Pick(random, kForeign));
      break;
    case 2:
      text.resize(at);
      break;
    case 3:
      text.insert(at, text.substr(0, at));
      break;
    case 4:
      text.push_back(random.OneIn(2) ? '\n' : edge());
      break;
    default:
      if (at == size) {
        text.push_back('\0');
      } else if (random.OneIn(3)) {
        text.erase(at, 1);
      } else if (random.OneIn(2)) {
        text[at] = edge();
      } else {
        text[at] = static_cast<char>(text[at] + (random.OneIn(2) ? 1 : -1));
      }
  }
}

void BorderTexts::Next(Random& random, std::string& text) {
  // A third accepted, a third one step beside, the rest further away.
  uint32_t mutations = random.Below(3);
  Accepted(random, text);
  for (uint32_t i = 0; i < mutations * (random.OneIn(4) ? 2 : 1); ++i) {
    Mutate(random, text);
  }
}

}  // namespace countersign::authz::language
