#include "authz/check/assertions.h"

#include <utility>

#include "authz/engine/canonical.h"
#include "authz/prove/assertion.h"
#include "authz/prove/lint.h"
#include "authz/prove/witness.h"

namespace countersign::authz {
namespace {

std::string Violation(const prove::AssertionResult& result) {
  const prove::Counterexample& found = *result.violation;
  std::string by = found.judgement.rule.empty()
                       ? Concat(" (", ReasonName(found.judgement.reason), ")")
                       : Concat(" by rule ", found.judgement.rule);
  return Concat("assertion ", Quoted(result.name), " of policy set ", Quoted(result.set),
                " does not hold: ", found.judgement.allowed() ? "allowed" : "denied", by,
                ": request: ", prove::RequestText(found.request));
}

}  // namespace

prove::ProveOptions ProveOptionsFor(std::span<const Service> services, WallTime now) {
  prove::ProveOptions options;
  options.now = now;
  for (const Service& service : services) {
    for (const ServicePort& port : service.ports) {
      for (const std::string& name : port.allow_in_path) {
        // The loader let only known names in.
        if (auto relaxation = ParsePathRelaxation(name); relaxation.ok()) {
          options.relaxations.Allow(*relaxation);
        }
      }
    }
  }
  return options;
}

AssertionFindings CheckAssertions(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                  std::span<const Service> services, WallTime now) {
  AssertionFindings findings;
  auto fail = [&](const SourcePosition& where, std::string message) {
    findings.diagnostics.push_back(
        {Diagnostic::Severity::kError, where, std::move(message), "assertion"});
  };
  StatusOr<std::vector<prove::AssertionResult>> results =
      prove::CheckAssertions(sets, ProveOptionsFor(services, now));
  if (!results.ok()) {
    findings.gave_up = results.status().code() == StatusCode::kResourceExhausted;
    fail({}, Concat("no assertion is proved: ", Message(results.status())));
    return findings;
  }
  bool violated = false;
  for (const prove::AssertionResult& result : *results) {
    if (result.holds()) {
      ++findings.proved;
    } else if (result.violation) {
      violated = true;
      fail(result.where, Violation(result));
    } else {
      findings.gave_up = findings.gave_up || result.status.code() == StatusCode::kResourceExhausted;
      fail(result.where, Concat("assertion ", Quoted(result.name), " of policy set ",
                                Quoted(result.set), " is not proved: ", Message(result.status)));
    }
  }
  findings.gave_up = findings.gave_up && !violated;
  return findings;
}

std::vector<Diagnostic> ProvedLint(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                   std::span<const Service> services, WallTime now) {
  std::vector<Diagnostic> warnings;
  StatusOr<std::vector<prove::LintFinding>> findings =
      prove::LintRules(sets, ProveOptionsFor(services, now));
  if (!findings.ok()) {
    warnings.push_back({Diagnostic::Severity::kWarning,
                        {},
                        Concat("rules were not looked at: ", Message(findings.status())),
                        "lint"});
    return warnings;
  }
  for (prove::LintFinding& finding : *findings) {
    warnings.push_back(
        {Diagnostic::Severity::kWarning, finding.where, std::move(finding.message), "lint"});
  }
  return warnings;
}

}  // namespace countersign::authz
