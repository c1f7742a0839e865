// ObservedService: who called a workload how, and the fewest rules that say so.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audit/record/decision_record.h"
#include "audit/replay/path_tree.h"
#include "base/status.h"

namespace countersign::audit {

// PathWord is one path of a policy file: a template or literal, or a word with an argument where
// the bytes of a literal mean something else.
struct PathWord {
  enum class Form : uint8_t { kBare, kExact, kRe2 };
  Form form = Form::kBare;
  std::string text;
  auto operator<=>(const PathWord&) const = default;
};
PathWord WordOf(const ObservedPath& path);

// SuggestedEntry is one entry of `to`: methods and paths, or ports of raw connections.
struct SuggestedEntry {
  std::vector<std::string> methods;
  std::vector<PathWord> paths;
  std::vector<uint16_t> tcp_ports;
  auto operator<=>(const SuggestedEntry&) const = default;
};

// SuggestedRule allows its callers each of its entries.
struct SuggestedRule {
  std::string name;                  // As policy files name rules.
  std::vector<std::string> callers;  // SPIFFE IDs; "" is a caller without identity.
  std::vector<SuggestedEntry> to;
};

struct ObservedLimits {
  PathTreeLimits paths;
  size_t callers_max = 2000;     // Of one workload: more is no list that a person reviews. Error.
  size_t methods_max = 64;       // Error.
  size_t entries_per_rule = 32;  // A rule may have 64 boxes.
};

// ObservedService is for one thread.
class ObservedService {
 public:
  explicit ObservedService(const ObservedLimits& limits) : limits_(limits), paths_(limits.paths) {}

  // Add takes an allowed request. Fails over a limit.
  Status Add(const DecisionRecord& record);
  // Rules gives one rule for all callers that do the same things, in the order of their names.
  std::vector<SuggestedRule> Rules() const;

 private:
  using Call = std::pair<std::string, std::string>;  // Caller and method.
  std::map<std::string, std::vector<SuggestedEntry>> EntriesByCaller() const;

  ObservedLimits limits_;
  PathTree paths_;
  std::map<Call, uint32_t> numbers_;
  std::vector<Call> calls_;                        // By number.
  std::map<std::string, std::set<uint16_t>> tcp_;  // Ports by caller.
  std::set<std::string> callers_;
  std::set<std::string> methods_;
};

}  // namespace countersign::audit
