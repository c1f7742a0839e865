// SimplePrograms holds simple patterns as code in one run of bytes, so that a decision that runs
// one touches the fewest lines of memory: literals stand in the code, classes are shared.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "authz/engine/simple_pattern.h"

namespace countersign::authz::engine {

// SimplePrograms is filled while compiling and immutable afterwards; threads may share it then.
class SimplePrograms {
 public:
  // Add gives the place of the pattern's code; nothing if a part of it is too long for the code.
  std::optional<uint32_t> Add(const SimplePattern& pattern);

  // Matches judges the whole value.
  bool Matches(uint32_t at, std::string_view value) const {
    const char* end = value.data() + value.size();
    return Run(code_.data() + at, value.data(), end) == end;
  }

 private:
  // kLiteral: size, bytes. kRun: set, least, most (16 bits each; most 0xffff: unbounded). kChoice:
  // optional, size of all alternatives (16 bits); each alternative: its size (16 bits), its code.
  enum Op : uint8_t { kEnd, kLiteral, kRun, kChoice };

  bool Encode(const SimplePattern& pattern, uint32_t begin, uint32_t end);
  bool EncodeChoice(const SimplePattern& pattern, const SimplePattern::Item& item);
  void Put16(size_t number);
  uint16_t NumberOf(const ByteSet& set);
  // The place in the value behind what the code matches, or null.
  const char* Run(const uint8_t* code, const char* at, const char* end) const;
  const char* RunSet(const uint8_t* code, const char* at, const char* end) const;
  const char* RunChoice(const uint8_t* code, const char* at, const char* end) const;

  std::vector<uint8_t> code_;
  std::vector<ByteSet> sets_;
  std::unordered_map<ByteSet, uint16_t> set_numbers_;
};

}  // namespace countersign::authz::engine
