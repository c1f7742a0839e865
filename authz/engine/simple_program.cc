#include "authz/engine/simple_program.h"

#include <cstring>

namespace countersign::authz::engine {
namespace {

constexpr size_t kNumberMax = 0xfffe;
constexpr size_t kUnboundedRun = 0xffff;
constexpr size_t kLiteralMax = 0xff;
constexpr size_t kRunBytes = 7;

size_t Get16(const uint8_t* code) { return static_cast<size_t>(code[0] | code[1] << 8); }

}  // namespace

std::optional<uint32_t> SimplePrograms::Add(const SimplePattern& pattern) {
  size_t begin = code_.size();
  if (!Encode(pattern, pattern.top_begin_, pattern.top_end_)) {
    code_.resize(begin);
    return std::nullopt;
  }
  return static_cast<uint32_t>(begin);
}

void SimplePrograms::Put16(size_t number) {
  code_.push_back(static_cast<uint8_t>(number));
  code_.push_back(static_cast<uint8_t>(number >> 8));
}

uint16_t SimplePrograms::NumberOf(const ByteSet& set) {
  if (auto known = set_numbers_.find(set); known != set_numbers_.end()) {
    return known->second;
  }
  if (sets_.size() == kNumberMax) {
    return uint16_t{kNumberMax};
  }
  auto number = static_cast<uint16_t>(sets_.size());
  sets_.push_back(set);
  set_numbers_.emplace(set, number);
  return number;
}

bool SimplePrograms::Encode(const SimplePattern& pattern, uint32_t begin, uint32_t end) {
  for (uint32_t i = begin; i < end; ++i) {
    const SimplePattern::Item& item = pattern.items_[i];
    if (item.kind == SimplePattern::Kind::kLiteral) {
      std::string_view literal = pattern.Literal(item);
      for (size_t at = 0; at < literal.size(); at += kLiteralMax) {
        std::string_view part = literal.substr(at, kLiteralMax);
        code_.push_back(kLiteral);
        code_.push_back(static_cast<uint8_t>(part.size()));
        code_.insert(code_.end(), part.begin(), part.end());
      }
    } else if (item.kind == SimplePattern::Kind::kRun) {
      uint16_t set = NumberOf(pattern.sets_[item.begin]);
      bool unbounded = item.most == SimplePattern::kUnbounded;
      if (set == kNumberMax || item.least > kNumberMax || (!unbounded && item.most > kNumberMax)) {
        return false;
      }
      code_.push_back(kRun);
      Put16(set);
      Put16(item.least);
      Put16(unbounded ? kUnboundedRun : item.most);
    } else if (!EncodeChoice(pattern, item)) {
      return false;
    }
  }
  code_.push_back(kEnd);
  return true;
}

bool SimplePrograms::EncodeChoice(const SimplePattern& pattern, const SimplePattern::Item& item) {
  code_.push_back(kChoice);
  code_.push_back(item.optional ? 1 : 0);
  size_t size_at = code_.size();
  Put16(0);
  auto set_size = [&](size_t at) {
    size_t size = code_.size() - at - 2;
    code_[at] = static_cast<uint8_t>(size);
    code_[at + 1] = static_cast<uint8_t>(size >> 8);
    return size <= kNumberMax;
  };
  for (uint32_t i = item.begin; i < item.end; ++i) {
    size_t alternative_at = code_.size();
    Put16(0);
    if (!Encode(pattern, pattern.alternatives_[i].begin, pattern.alternatives_[i].end) ||
        !set_size(alternative_at)) {
      return false;
    }
  }
  return set_size(size_at);
}

const char* SimplePrograms::Run(const uint8_t* code, const char* at, const char* end) const {
  for (;;) {
    switch (*code) {
      case kLiteral: {
        size_t size = code[1];
        if (static_cast<size_t>(end - at) < size || std::memcmp(code + 2, at, size) != 0) {
          return nullptr;
        }
        at += size;
        code += 2 + size;
        break;
      }
      case kRun:
        at = RunSet(code, at, end);
        code += kRunBytes;
        break;
      case kChoice:
        at = RunChoice(code, at, end);
        code += 4 + Get16(code + 2);
        break;
      default:
        return at;
    }
    if (at == nullptr) {
      return nullptr;
    }
  }
}

const char* SimplePrograms::RunSet(const uint8_t* code, const char* at, const char* end) const {
  const ByteSet& set = sets_[Get16(code + 1)];
  size_t least = Get16(code + 3);
  size_t most = Get16(code + 5);
  auto left = static_cast<size_t>(end - at);
  const char* stop = most == kUnboundedRun || most > left ? end : at + most;
  const char* begin = at;
  while (at != stop && set[static_cast<unsigned char>(*at)]) {
    ++at;
  }
  return static_cast<size_t>(at - begin) < least ? nullptr : at;
}

const char* SimplePrograms::RunChoice(const uint8_t* code, const char* at, const char* end) const {
  const uint8_t* alternative = code + 4;
  const uint8_t* stop = alternative + Get16(code + 2);
  while (alternative != stop) {
    if (const char* after = Run(alternative + 2, at, end)) {
      return after;
    }
    alternative += 2 + Get16(alternative);
  }
  return code[1] != 0 ? at : nullptr;
}

}  // namespace countersign::authz::engine
