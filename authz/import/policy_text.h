// Policy sets as YAML with comments, laid out as `policy fmt` does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authz/model/policy.h"
#include "base/status.h"

namespace countersign::authz::import {

// CommentedPolicy is an AccessPolicy and what is said before it and before each of its rules, each
// a line without "#"; empty: nothing.
struct CommentedPolicy {
  AccessPolicy policy;
  std::string comment;
  std::vector<std::string> rule_comments;  // One a rule.
};

// CommentedSet is a policy set. A second condition on kId in an entry becomes an IdentitySet.
struct CommentedSet {
  std::string name;
  std::string owner;
  Matcher scope;
  std::vector<std::string> comments;
  std::vector<CommentedPolicy> policies;
};

// WriteSets prints the sets as one YAML text. It fails only if the text cannot be laid out, which
// is a defect.
StatusOr<std::string> WriteSets(const std::vector<CommentedSet>& sets);

}  // namespace countersign::authz::import
