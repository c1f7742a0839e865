#include "authz/prove/assertion.h"

#include <algorithm>
#include <utility>

#include "authz/prove/explorer.h"
#include "authz/prove/region.h"
#include "authz/prove/witness.h"

namespace countersign::authz::prove {
namespace {

constexpr PolicyRoles kPolicy = {.deny = 1, .allow = 2};
constexpr ItemMaker::RegionRoles kAssertion = {.region = 4, .outside = 8};
constexpr size_t kRoleSets = 16;

using Form = PolicyAssertion::Form;

// Marks the cells that the assertion forbids.
Question AssertionQuestion(Form form) {
  Question question;
  for (size_t yes = 0; yes < kRoleSets; ++yes) {
    bool allowed = (yes & kPolicy.allow) != 0 && (yes & kPolicy.deny) == 0;
    bool meant = (yes & kAssertion.region) != 0 && (yes & kAssertion.outside) == 0;
    question.marks.push_back(meant && allowed == (form != Form::kAlways) ? 1 : 0);
  }
  question.in_focus = [](Roles roles) { return (roles & kAssertion.region) != 0; };
  question.first_only = true;
  return question;
}

}  // namespace

StatusOr<std::unique_ptr<AssertionChecker>> AssertionChecker::Create(PolicySets sets,
                                                                     const ProveOptions& options) {
  std::unique_ptr<AssertionChecker> checker(new AssertionChecker(std::move(sets), options));
  for (auto [kind, items] : {std::pair(RequestKind::kHttp, &checker->http_),
                             std::pair(RequestKind::kTcp, &checker->tcp_)}) {
    ItemMaker maker(checker->space_, kind, options.now);
    RETURN_IF_ERROR(maker.AddPolicies(checker->sets_, kPolicy, *items));
  }
  return checker;
}

Status AssertionChecker::Prove(const PolicySet& set, const PolicyAssertion& assertion,
                               AssertionResult& result) {
  space_.BeginQuestion();
  ValueTable values(space_);
  RegionList list(space_, values);
  Diagram diagram;
  const Question question = AssertionQuestion(assertion.form);
  for (RequestKind kind : {RequestKind::kHttp, RequestKind::kTcp}) {
    Items items = kind == RequestKind::kHttp ? http_ : tcp_;
    std::deque<Rule> rules;
    ItemMaker maker(space_, kind, options_.now);
    RETURN_IF_ERROR(maker.AddAssertion(assertion, set, kAssertion, rules, items));
    Explorer explorer(space_, values, items.list(), question);
    ASSIGN_OR_RETURN(uint32_t root, explorer.Run(diagram));
    list.Add(diagram, root, kind);
    if (!list.regions().empty()) {
      break;
    }
  }
  if (list.regions().empty()) {
    return absl::OkStatus();
  }
  const Region& region = list.regions().front();
  Counterexample found;
  found.conditions = list.Conditions(region);
  ASSIGN_OR_RETURN(Witness witness, MakeWitness(region, space_, values));
  found.request = std::move(witness.request);
  found.replayable = witness.replayable;
  ASSIGN_OR_RETURN(Judge judge, Judge::Create(sets_, {&found.request.workload, 1}, options_.now));
  found.judgement = judge.Decide(found.request);
  if (found.judgement.allowed() != (assertion.form != Form::kAlways)) {
    return Internal("the engine contradicts the proof at ", RequestText(found.request),
                    ": please report it");
  }
  result.violation = std::move(found);
  return absl::OkStatus();
}

AssertionResult AssertionChecker::Check(const PolicySet& set, const PolicyAssertion& assertion) {
  AssertionResult result;
  result.set = set.name;
  result.name = assertion.name;
  result.where = assertion.where;
  result.status = Prove(set, assertion, result);
  return result;
}

std::vector<AssertionResult> AssertionChecker::CheckAll() {
  std::vector<AssertionResult> results;
  for (const auto& set : sets_) {
    for (const PolicyAssertion& assertion : set->assertions) {
      results.push_back(Check(*set, assertion));
    }
  }
  return results;
}

StatusOr<std::vector<AssertionResult>> CheckAssertions(const PolicySets& sets,
                                                       const ProveOptions& options) {
  if (std::ranges::all_of(sets, [](const auto& set) { return set->assertions.empty(); })) {
    return std::vector<AssertionResult>();
  }
  ASSIGN_OR_RETURN(std::unique_ptr<AssertionChecker> checker,
                   AssertionChecker::Create(sets, options));
  return checker->CheckAll();
}

}  // namespace countersign::authz::prove
