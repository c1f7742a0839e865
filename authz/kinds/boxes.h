// Rules as unions of boxes: a box is one condition for each of some coordinates, all ANDed.
#pragma once

#include <vector>

#include "authz/model/policy.h"

namespace countersign::authz {

// Semantics 9: beyond this many boxes a rule reads as something else than it does.
inline constexpr size_t kBoxesPerRuleMax = 64;

// MergeEntries joins entries that differ in one condition alone into one whose condition has the
// values of both. The union stays the same.
void MergeEntries(std::vector<Entry>& entries);

// BoxCount counts the boxes of a rule or an assertion: entries of `from` times entries of `to`; an
// exception with n conditions splits its entry into n.
size_t BoxCount(const std::vector<Entry>& from, const std::vector<Entry>& to);

}  // namespace countersign::authz
