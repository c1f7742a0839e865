// Writes boundary cases for policy tests: for every predicate of every rule the requests just
// inside and just outside of it, with the verdicts of today, for the author to review.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "authz/model/policy.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::authz {

// Bounds on what one person can be asked to review.
struct GenerateLimits {
  static constexpr size_t kCasesMax = 500;             // Of one set.
  static constexpr size_t kMatchersPerPredicate = 8;   // A list of a thousand ids has no borders.
  static constexpr size_t kCasesPerSideOfMatcher = 1;  // The nearest.
};

// GeneratedTests is one PolicyTest document in YAML, named generated-borders.
struct GeneratedTests {
  std::string set;
  std::string yaml;
  size_t cases = 0;
  // Rules and their predicates for which no matching request was found.
  std::vector<std::string> without_request;
};

// GenerateTests gives one for each set with a case that no PolicyTest of the set has yet.
StatusOr<std::vector<GeneratedTests>> GenerateTests(
    const std::vector<std::shared_ptr<const PolicySet>>& sets, WallTime now);

}  // namespace countersign::authz
