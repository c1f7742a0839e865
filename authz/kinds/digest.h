// The digest of a policy set (semantics 13 of docs/policy.md).
#pragma once

#include <span>
#include <string>

namespace countersign::authz {

// PolicyDigest is the lower-case hex SHA-256 over "countersign-policy/1", a NUL, and each canonical
// document followed by a line feed, in the order given: the PolicySet first, then AccessPolicies,
// IdentitySets, PolicyTests and PolicyAssertions, each by name.
std::string PolicyDigest(std::span<const std::string> canonical_documents);

}  // namespace countersign::authz
