#include "authz/check/assertions.h"

namespace countersign::authz {

std::vector<Diagnostic> CheckAssertions(const std::vector<std::shared_ptr<const PolicySet>>& sets) {
  std::vector<Diagnostic> findings;
  for (const auto& set : sets) {
    for (const PolicyAssertion& assertion : set->assertions) {
      findings.push_back(
          {Diagnostic::Severity::kError, assertion.where,
           Concat("assertion ", Quoted(assertion.name), " of policy set ", Quoted(set->name),
                  " is not proved: assertions need the prover, which is not in "
                  "this version"),
           "assertion"});
    }
  }
  return findings;
}

}  // namespace countersign::authz
