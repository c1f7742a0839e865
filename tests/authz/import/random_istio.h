// Random AuthorizationPolicies, and requests drawn around what they say.
#pragma once

#include <random>

#include "tests/authz/import/istio_model.h"

namespace countersign::authz::import::testing {

// RandomIstio draws from one seed, always the same.
class RandomIstio {
 public:
  explicit RandomIstio(unsigned seed) : random_(seed) {}

  std::vector<SourcePolicy> Policies();
  static std::vector<SourceWorkload> Workloads();
  // A request to one of the workloads, with values at and beside those of the policies.
  Request Draw(const std::vector<SourcePolicy>& policies);

 private:
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  bool Chance(size_t percent) { return Below(100) < percent; }
  const std::string& Of(const Strings& list) { return list[Below(list.size())]; }
  Strings Some(const Strings& list, size_t most);
  Field FieldOf(const Strings& list);
  SourceRule Rule();
  Fields Source();
  Fields Operation();
  // A value of this field in some policy, changed a little at its borders; or one of `others`.
  std::string Near(const std::vector<SourcePolicy>& policies, const std::string& name,
                   const Strings& others);
  std::mt19937 random_;
};

}  // namespace countersign::authz::import::testing
