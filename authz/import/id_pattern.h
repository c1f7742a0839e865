// What Istio's fields say about a caller's SPIFFE ID, each in its own form, so that two of them
// that must both hold can be joined into one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/import/istio_source.h"
#include "authz/model/field.h"
#include "base/status.h"

namespace countersign::authz::import {

// IdPattern is one predicate over a SPIFFE ID.
class IdPattern {
 public:
  enum class Kind : uint8_t {
    kAny,          // Every ID.
    kExact,        // first.
    kPrefix,       // Begins with first.
    kTrustDomain,  // Of the trust domain first, with a path.
    kRe2,          // The pattern first, over the whole ID.
    kRooted,       // The pattern first + second: first stands for any beginning, up to a '/'.
  };

  // Principals are written without "spiffe://"; the mesh's own trust domain is expanded to its
  // aliases where Istio does so.
  static StatusOr<std::vector<IdPattern>> FromPrincipal(std::string_view value,
                                                        const ImportOptions& options);
  static IdPattern FromNamespace(std::string_view value);
  // `ns` is the policy's namespace, for an account that names none.
  static StatusOr<IdPattern> FromServiceAccount(std::string_view value, std::string_view ns);
  static StatusOr<std::vector<IdPattern>> FromTrustDomain(std::string_view value,
                                                          const ImportOptions& options);

  Kind kind() const { return kind_; }
  Matcher ToMatcher() const;

  // Both gives the pattern of what `a` and `b` both match: none or one. An error says that there is
  // no such pattern among the forms above.
  static StatusOr<std::vector<IdPattern>> Both(const IdPattern& a, const IdPattern& b);
  bool operator==(const IdPattern&) const = default;

 private:
  IdPattern(Kind kind, std::string first, std::string second = {})
      : kind_(kind), first_(std::move(first)), second_(std::move(second)) {}
  bool Matches(std::string_view id) const;
  std::string Pattern() const;
  // The literal that every match begins with, if the kind is exactly that.
  std::string PrefixText() const;
  Kind kind_;
  std::string first_;
  std::string second_;
};

using IdPatterns = std::vector<IdPattern>;

// JoinAll gives lists that together say what `lists` say: every list must hold, one pattern of a
// list is enough. As few lists as possible; an empty list matches nothing. Fails over
// ImportLimits::kJoinedValuesMax.
StatusOr<std::vector<IdPatterns>> JoinAll(std::vector<IdPatterns> lists);

}  // namespace countersign::authz::import
