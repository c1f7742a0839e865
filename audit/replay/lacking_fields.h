// What a record may lack of a request: headers, query parameters and claims, by their keys; and
// what policies say of a request of which these are not known.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/model/field.h"

namespace countersign::audit {

// FieldKey is one keyed coordinate: a header, a query parameter or a claim.
struct FieldKey {
  authz::Field field = authz::Field::kHeader;
  std::string key;
  auto operator<=>(const FieldKey&) const = default;
};
std::string FieldKeyText(const FieldKey& key);  // "headers x-tenant".

// NamedKeys are those that enforced rules of the sets name, sorted.
std::vector<FieldKey> NamedKeys(const authz::PolicySets& sets);

// NamesOnce says whether an enforced rule names the key without `many`: then a request in which it
// comes twice is refused.
bool NamesOnce(const authz::PolicySets& sets, const FieldKey& key);

// KeySet has a bit for each of a list of at most 64 keys.
using KeySet = uint64_t;

// KeysByRule says which of `keys` each rule names, rules numbered as the engine does.
std::vector<KeySet> KeysByRule(const authz::PolicySets& sets, std::span<const FieldKey> keys);

enum class Bound : uint8_t { kMostAllowed, kLeastAllowed };

// Bounded are the sets with every condition over one of `lacking` replaced by what lets the most
// (the least) HTTP requests through. Whatever values the fields have, each sent at most once: what
// kLeastAllowed allows is allowed, and what kMostAllowed denies is denied. (Verdicts grow with
// matching allow rules and shrink with matching denies; each condition is bounded by itself.)
authz::PolicySets Bounded(const authz::PolicySets& sets, std::span<const FieldKey> lacking,
                          Bound bound);

}  // namespace countersign::audit
