// ByteClasses: bytes that nothing tells apart.
#include "authz/language/dfa.h"

namespace countersign::authz::language {

ByteClasses ByteClasses::FromLabels(const std::array<uint32_t, 256>& labels) {
  // A table of labels with twice the room that they can need; the first free place takes one.
  struct Known {
    uint32_t label = 0;
    int32_t number = -1;
  };
  std::array<Known, 512> known = {};
  ByteClasses classes;
  classes.size_ = 0;
  for (size_t byte = 0; byte < labels.size(); ++byte) {
    uint32_t at = labels[byte] * 0x9E3779B1U >> 23;
    while (known[at].number >= 0 && known[at].label != labels[byte]) {
      at = (at + 1) % known.size();
    }
    if (known[at].number < 0) {
      known[at] = {.label = labels[byte], .number = static_cast<int32_t>(classes.size_++)};
    }
    classes.class_of_[byte] = static_cast<uint8_t>(known[at].number);
  }
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
