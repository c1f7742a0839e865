// Sets of values of one coordinate, as regions are made of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "authz/language/language.h"
#include "authz/prove/coordinate.h"
#include "authz/prove/space.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Phrase is how a part of a set is said: values in all of these languages and in none of the
// exceptions. Numbers are the Space's. An empty phrase is every value.
struct Phrase {
  std::vector<uint32_t> all_of;
  std::vector<uint32_t> except;
  bool operator==(const Phrase&) const = default;
};

// Outcome is what several values of one key come to: for each language whether some value is in it
// (bit 0) and whether all are (bit 1), a byte each.
using Outcome = std::string;

// RepeatedSet is a set of what can come several times: all whose outcome is listed. Without
// languages it is everything.
struct RepeatedSet {
  std::vector<uint32_t> languages;  // The Space's, ascending.
  std::set<Outcome> outcomes;
  auto operator<=>(const RepeatedSet&) const = default;
};

// ValueSet holds values of one coordinate. Two are the same set if `absent`, `language`, `repeated`
// and `mesh` are equal; the rest says it to people.
struct ValueSet {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t coordinate = 0;
  bool absent = false;
  uint32_t language = kNone;  // Of values that are there once, in the ValueTable.
  uint32_t repeated = kNone;  // In the ValueTable.
  std::optional<bool> mesh;   // Of the mesh coordinate alone.

  bool whole = false;                // The language is every value.
  std::vector<Phrase> phrases;       // Their union is exactly the language.
  std::vector<std::string> once;     // At most one: a value of the language that reads well.
  std::vector<std::string> several;  // Of the repeated set.
};

// ValueTable numbers languages and value sets. One thread.
class ValueTable {
 public:
  explicit ValueTable(Space& space) : space_(space) {}

  uint32_t AddLanguage(language::Language language);
  const language::Language& language(uint32_t number) const { return languages_[number]; }
  uint32_t AddRepeated(RepeatedSet set);
  const RepeatedSet& repeated(uint32_t number) const { return *repeated_[number]; }

  uint32_t Add(ValueSet set);
  const ValueSet& at(uint32_t number) const { return sets_[number]; }

  // Union joins two sets of one coordinate; nothing if their repeated values cannot be joined.
  StatusOr<std::optional<uint32_t>> Union(uint32_t a, uint32_t b);
  // IsEverything says that the set holds all that its coordinate can be.
  bool IsEverything(const ValueSet& set) const;

 private:
  Space& space_;
  std::vector<language::Language> languages_;
  std::unordered_multimap<uint64_t, uint32_t> language_numbers_;
  std::map<RepeatedSet, uint32_t> repeated_numbers_;
  std::vector<const RepeatedSet*> repeated_;
  std::vector<ValueSet> sets_;
  std::map<std::vector<uint32_t>, uint32_t> set_numbers_;
};

}  // namespace countersign::authz::prove
