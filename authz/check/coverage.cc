#include "authz/check/coverage.h"

#include <algorithm>
#include <map>

#include "authz/check/rule_parts.h"
#include "authz/check/test_request.h"

namespace countersign::authz {
namespace {

unsigned Percent(size_t part, size_t whole) {
  return whole == 0 ? 100 : static_cast<unsigned>(part * 100 / whole);
}

void CountCase(const RuleVariants& variants, const std::vector<bool>& truths,
               CoverageReport& report) {
  size_t predicate = 0;
  for (size_t i = 0; i < variants.variants().size(); ++i) {
    const RuleVariants::Variant& variant = variants.variants()[i];
    bool matched = truths[variant.first];
    report.rules[i].matched += matched ? 1 : 0;
    for (size_t part = 0; part < variant.parts.size(); ++part, ++predicate) {
      PredicateCoverage& seen = report.predicates[predicate];
      bool held = truths[RuleVariants::Alone(variant, part)];
      bool whole = truths[RuleVariants::Whole(variant, part)];
      bool rest = truths[RuleVariants::Without(variant, part)];
      seen.held = seen.held || held;
      seen.failed = seen.failed || (truths[variant.guard] && !held);
      seen.inside = seen.inside || whole;
      seen.outside = seen.outside || (rest && !whole);
    }
  }
}

CoverageReport EmptyReport(const RuleVariants& variants,
                           const std::vector<TestCaseResult>& results) {
  std::map<std::string_view, size_t> decided;
  for (const TestCaseResult& result : results) {
    ++decided[result.deciding_rule];
  }
  CoverageReport report;
  for (const RuleVariants::Variant& variant : variants.variants()) {
    auto found = decided.find(variant.rule);
    report.rules.push_back({variant.rule, variant.where, 0,
                            found == decided.end() ? 0 : found->second, variant.policy->dry_run});
    for (const RulePart& part : variant.parts) {
      PredicateCoverage& predicate = report.predicates.emplace_back();
      predicate.rule = variant.rule;
      predicate.predicate = part.label;
      predicate.where = part.where;
    }
  }
  return report;
}

}  // namespace

unsigned CoverageReport::RulePercent() const {
  auto matched = std::ranges::count_if(rules, [](const auto& rule) { return rule.matched > 0; });
  return Percent(static_cast<size_t>(matched), rules.size());
}

unsigned CoverageReport::FieldPercent() const {
  size_t sides = 0;
  for (const PredicateCoverage& each : predicates) {
    sides += (each.held ? 1U : 0U) + (each.failed ? 1U : 0U);
  }
  return Percent(sides, 2 * predicates.size());
}

unsigned CoverageReport::BoundaryPercent() const {
  size_t sides = 0;
  for (const PredicateCoverage& each : predicates) {
    sides += (each.inside ? 1U : 0U) + (each.outside ? 1U : 0U);
  }
  return Percent(sides, 2 * predicates.size());
}

StatusOr<CoverageReport> MeasureCoverage(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                         const std::vector<TestCaseResult>& results, WallTime now) {
  ASSIGN_OR_RETURN(RuleVariants variants, RuleVariants::Create(sets));
  CoverageReport report = EmptyReport(variants, results);
  for (const auto& set : sets) {
    for (const PolicyTestCase& test : set->tests) {
      TestRequest request(test.request);
      if (request.error() != CanonicalError::kNone) {
        continue;
      }
      std::vector<bool> truths = variants.Truths(request.canonical(), now);
      if (!truths.empty()) {
        CountCase(variants, truths, report);
      }
    }
  }
  return report;
}

}  // namespace countersign::authz
