// ByteClasses: bytes that nothing tells apart.
#include <unordered_map>

#include "authz/language/dfa.h"

namespace countersign::authz::language {

ByteClasses ByteClasses::FromLabels(const std::array<uint32_t, 256>& labels) {
  ByteClasses classes;
  std::unordered_map<uint32_t, uint8_t> numbers;
  for (size_t byte = 0; byte < labels.size(); ++byte) {
    auto [found, inserted] =
        numbers.try_emplace(labels[byte], static_cast<uint8_t>(numbers.size()));
    classes.class_of_[byte] = found->second;
  }
  classes.size_ = static_cast<uint32_t>(numbers.size());
  return classes;
}

void ByteClasses::Split(const ByteSet& set) {
  std::array<uint32_t, 256> labels = {};
  for (size_t byte = 0; byte < labels.size(); ++byte) {
    labels[byte] = class_of_[byte] * 2U + (set.Contains(static_cast<uint8_t>(byte)) ? 1 : 0);
  }
  *this = FromLabels(labels);
}

std::vector<uint8_t> ByteClasses::First() const {
  std::vector<uint8_t> first;
  for (size_t byte = 0; byte < class_of_.size(); ++byte) {
    if (class_of_[byte] == first.size()) {
      first.push_back(static_cast<uint8_t>(byte));
    }
  }
  return first;
}

}  // namespace countersign::authz::language
