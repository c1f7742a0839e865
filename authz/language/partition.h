// Partition cuts the values of a field into the classes that some languages tell apart: the atoms
// of every question about policies. Two values are in one class exactly if each of the languages
// holds both or neither.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/language/canonical_language.h"
#include "authz/language/language.h"
#include "base/status.h"

namespace countersign::authz::language {

// PartitionLimits bounds one joint automaton. Counts, not time: the same question always gets the
// same answer.
struct PartitionLimits {
  // States of the joint automaton; a row of its table is about 60 entries of four bytes.
  size_t states_max = 150'000;
  // Moves of one language's automaton while the joint one is built; about two nanoseconds each.
  size_t steps_max = 200'000'000;
};

// Partition owns everything; it borrows nothing from the languages. One thread.
class Partition {
 public:
  struct Class {
    std::vector<uint32_t> inside;  // Numbers of the languages that hold the class, ascending.
    std::string shortest;          // A value; of several the one that reads best.
  };

  // Create walks the languages' automata together, within `values`. A class without a value of at
  // most values.bytes_max bytes is left out. Fails with kResourceExhausted over a limit: patterns
  // without a fixed beginning multiply.
  static StatusOr<Partition> Create(const CanonicalValues& values,
                                    std::span<const Language* const> languages,
                                    const PartitionLimits& limits = {});

  const std::vector<Class>& classes() const { return classes_; }
  // ClassOf gives the class of a value; nothing for what is no value of the field.
  std::optional<uint32_t> ClassOf(std::string_view text) const;
  // LanguageOf holds the values of the classes whose numbers are given. The first call prepares the
  // way back through the automaton.
  Language LanguageOf(std::span<const uint32_t> classes);
  size_t states() const { return class_of_state_.size(); }
  size_t steps() const { return steps_; }  // Spent to make it.

 private:
  friend class PartitionBuilder;
  static constexpr uint32_t kNone = UINT32_MAX;
  ByteClasses bytes_;
  std::vector<uint32_t> next_;            // [state * bytes_.size() + byte class], or kNone.
  std::vector<uint32_t> class_of_state_;  // The class of a value that ends here, or kNone.
  std::vector<Class> classes_;
  size_t steps_ = 0;
  // For each state the states that lead to it: from_[back_[state]] up to back_[state + 1].
  std::vector<uint32_t> back_;
  std::vector<uint32_t> from_;
  std::vector<std::vector<uint32_t>> states_of_class_;
  std::vector<uint32_t> number_;  // Scratch: kNone between two calls.
  void PrepareWayBack();
};

}  // namespace countersign::authz::language
