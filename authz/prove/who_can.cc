#include "authz/prove/who_can.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "authz/prove/explorer.h"
#include "authz/prove/region.h"
#include "authz/prove/witness.h"

namespace countersign::authz::prove {
namespace {

constexpr PolicyRoles kPolicy = {.deny = 1, .allow = 2};
constexpr ItemMaker::RegionRoles kPart = {.region = 4, .outside = 8};
constexpr size_t kRoleSets = 16;

Question AllowedQuestion() {
  Question question;
  for (size_t yes = 0; yes < kRoleSets; ++yes) {
    bool allowed = (yes & kPolicy.allow) != 0 && (yes & kPolicy.deny) == 0;
    bool meant = (yes & kPart.region) != 0 && (yes & kPart.outside) == 0;
    question.marks.push_back(meant && allowed ? 1 : 0);
  }
  question.in_focus = [](Roles roles) { return (roles & kPart.region) != 0; };
  return question;
}

}  // namespace

StatusOr<AllowedReport> WhoCan(const PolicySets& sets, const PolicyAssertion& part,
                               const ProveOptions& options) {
  Space space(options.limits, options.relaxations);
  ValueTable values(space);
  RegionList list(space, values);
  Diagram diagram;
  PolicySet everywhere;
  everywhere.scope.kind = Matcher::Kind::kPresent;
  const Question question = AllowedQuestion();
  for (RequestKind kind : {RequestKind::kHttp, RequestKind::kTcp}) {
    Items items;
    std::deque<Rule> rules;
    ItemMaker maker(space, kind, options.now);
    RETURN_IF_ERROR(maker.AddPolicies(sets, kPolicy, items));
    RETURN_IF_ERROR(maker.AddAssertion(part, everywhere, kPart, rules, items));
    Explorer explorer(space, values, items.list(), question);
    ASSIGN_OR_RETURN(uint32_t root, explorer.Run(diagram));
    list.Add(diagram, root, kind);
  }
  RETURN_IF_ERROR(list.Merge());
  AllowedReport report;
  std::vector<std::string> callees;
  report.complete = list.complete() && list.regions().size() <= options.limits.regions_max;
  for (const Region& region : list.regions()) {
    if (report.regions.size() == options.limits.regions_max) {
      break;
    }
    Counterexample& found = report.regions.emplace_back();
    found.conditions = list.Conditions(region);
    ASSIGN_OR_RETURN(Witness witness, MakeWitness(region, space, values));
    found.request = std::move(witness.request);
    found.replayable = witness.replayable;
    callees.push_back(found.request.workload);
  }
  ASSIGN_OR_RETURN(Judge judge, Judge::Create(sets, callees, options.now));
  for (Counterexample& found : report.regions) {
    found.judgement = judge.Decide(found.request);
    if (!found.judgement.allowed()) {
      return Internal("the engine contradicts the proof at ", RequestText(found.request),
                      ": please report it");
    }
  }
  return report;
}

}  // namespace countersign::authz::prove
