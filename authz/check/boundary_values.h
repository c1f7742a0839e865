// Values on both sides of a matcher's border, for boundary cases of policy tests.
#pragma once

#include <string>
#include <vector>

#include "authz/model/field.h"

namespace countersign::authz {

// NearValues are texts in and around what the matcher matches, nearest first. Which side each is
// on, and whether a request can carry it at all, is for the caller to try. "" means absent.
std::vector<std::string> NearValues(const Matcher& matcher, Field field);

}  // namespace countersign::authz
