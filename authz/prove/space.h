// Space holds what the questions about some policies share: their coordinates, the predicates over
// them, and the partitions that have been made. Everything is known by a small number.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "authz/language/partition.h"
#include "authz/model/field.h"
#include "authz/prove/coordinate.h"
#include "authz/prove/limits.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Repeated is what a predicate comes to where its key occurs more than once.
enum class Repeated : uint8_t { kNever, kAlways, kAny, kAll };

// Predicate is over one coordinate: a language for a value that is there once, and what it comes to
// otherwise.
struct Predicate {
  uint32_t coordinate = 0;
  uint32_t language = 0;
  bool on_absent = false;
  Repeated repeated = Repeated::kNever;
};

// Spent is what the partitions of a Space have cost so far.
struct Spent {
  size_t steps = 0;
  size_t states = 0;
};

// Space is for one thread. It fails with kResourceExhausted over a limit of ProverLimits.
class Space {
 public:
  explicit Space(const ProverLimits& limits, PathRelaxations relaxations = {})
      : limits_(limits), relaxations_(relaxations) {}
  Space(const Space&) = delete;
  Space& operator=(const Space&) = delete;

  const ProverLimits& limits() const { return limits_; }
  // BeginQuestion forgets partitions and what they cost; the limits are one question's.
  void BeginQuestion();

  // The language that no value is in.
  static constexpr uint32_t kNothing = 0;

  uint32_t CoordinateNumber(const Coordinate& coordinate);
  const Coordinate& coordinate(uint32_t number) const { return coordinates_[number]; }
  size_t coordinates() const { return coordinates_.size(); }

  // LanguageNumber gives the number of the condition's language; the automaton is made when it is
  // first asked for.
  uint32_t LanguageNumber(const Condition& condition);
  // Joined gives the number of the union; nothing if the languages are not said of one thing.
  std::optional<uint32_t> Joined(std::span<const uint32_t> languages);
  // Name is the condition as people read it: "under /orders".
  const std::string& Name(uint32_t language) const { return languages_[language].name; }
  // Literals are the values of a language that was given as a list of texts; nothing otherwise.
  std::optional<std::vector<std::string_view>> Literals(uint32_t language) const;
  StatusOr<const language::Language*> LanguageAt(uint32_t number);

  uint32_t PredicateNumber(const Predicate& predicate);
  const Predicate& predicate(uint32_t number) const { return predicates_[number]; }

  // Disjoint is true only if no value is in both; it looks at beginnings and literals alone.
  bool Disjoint(uint32_t a, uint32_t b);

  // PartitionOf cuts the values of `axis` by the languages (ascending numbers).
  StatusOr<language::Partition*> PartitionOf(Axis axis, const std::vector<uint32_t>& languages);
  // Values is every value that can reach a policy.
  StatusOr<const language::CanonicalValues*> Values(Axis axis);
  const Spent& spent() const { return spent_; }

 private:
  struct Entry {
    Condition condition;
    std::string name;
    std::optional<language::Language> language;
    std::string head;      // Every value begins with it.
    bool literal = false;  // And is it.
  };
  void FindHead(Entry& entry) const;

  const ProverLimits limits_;
  const PathRelaxations relaxations_;
  std::vector<Coordinate> coordinates_;
  std::map<Coordinate, uint32_t> coordinate_numbers_;
  std::deque<Entry> languages_ = std::deque<Entry>(1);  // Entries stay where they are.
  std::unordered_map<std::string, uint32_t> language_numbers_;
  std::vector<Predicate> predicates_;
  std::unordered_map<uint64_t, uint32_t> predicate_numbers_;
  std::map<Axis, language::CanonicalValues> values_;
  std::map<std::pair<Axis, std::vector<uint32_t>>, std::unique_ptr<language::Partition>>
      partitions_;
  Spent spent_;
};

}  // namespace countersign::authz::prove
