#include "audit/replay/suggest.h"

#include <algorithm>
#include <set>

#include "audit/replay/candidate.h"
#include "audit/replay/policy_draft.h"

namespace countersign::audit {
namespace {

constexpr size_t kServicesNamed = 20;

bool IsObserved(const DecisionRecord& record, std::string_view service) {
  return record.service == service && record.effect == authz::Effect::kAllow;
}

// "shop orders" becomes the name "shop-orders".
std::string PolicyName(std::string_view service) {
  std::string name;
  for (char c : service.substr(0, 40)) {
    char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    bool good = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    name += good ? lower : '-';
  }
  name.erase(0, name.find_first_not_of('-'));
  name.erase(name.find_last_not_of('-') + 1);
  return name.empty() ? "suggested" : name;
}

class Suggester {
 public:
  Suggester(const SuggestQuestion& question, WindowLogs logs)
      : question_(question), logs_(std::move(logs)) {}

  StatusOr<Suggestion> Run() {
    RETURN_IF_ERROR(Learn());
    RETURN_IF_ERROR(Draft());
    RETURN_IF_ERROR(Assert());
    RETURN_IF_ERROR(NameStaying());
    return std::move(suggestion_);
  }

 private:
  Status Learn() {
    ASSIGN_OR_RETURN(suggestion_.window, logs_.ForEachDecision([&](const DecisionRecord& record) {
      if (services_.size() < kServicesNamed && record.effect == authz::Effect::kAllow) {
        services_.emplace(record.service);
      }
      return IsObserved(record, question_.service) ? Observe(record) : absl::OkStatus();
    }));
    if (!workloads_.empty()) {
      return absl::OkStatus();
    }
    std::string seen;
    for (const std::string& service : services_) {
      seen += Concat(seen.empty() ? "" : ", ", Quoted(service));
    }
    return NotFound("no request to a service ", Quoted(question_.service),
                    " was let through in the window",
                    seen.empty() ? "" : Concat("; there are ", seen));
  }

  Status Observe(const DecisionRecord& record) {
    ++suggestion_.observed;
    auto found = workloads_.find(record.callee);
    if (found == workloads_.end()) {
      if (workloads_.size() == question_.limits.workloads_max) {
        return ResourceExhausted("more than ", question_.limits.workloads_max,
                                 " workloads stand behind the service ", question_.service);
      }
      found =
          workloads_.emplace(std::string(record.callee), ObservedService(question_.limits.observed))
              .first;
    }
    return found->second.Add(record);
  }

  Status Draft() {
    if (question_.present.has_value()) {
      suggestion_.after = *question_.present;
    }
    size_t number = 0;
    for (const auto& [workload, observed] : workloads_) {
      std::string name = PolicyName(question_.service);
      name += ++number == 1 ? "" : Concat("-", number);
      SuggestedPolicy& policy = suggestion_.policies.emplace_back();
      policy.workload = workload;
      if (Status status = DraftOne(name, observed, policy); !status.ok()) {
        return Annotate(status, "what was observed cannot be written as a policy: ");
      }
    }
    return absl::OkStatus();
  }

  Status DraftOne(const std::string& name, const ObservedService& observed,
                  SuggestedPolicy& policy) {
    std::vector<SuggestedRule> rules = observed.Rules();
    if (!question_.present.has_value()) {
      policy.name = name;
      policy.document = DraftDocument(name, policy.workload, rules);
      ASSIGN_OR_RETURN(authz::PolicySets lone, LoneSet(policy.document, policy.workload));
      suggestion_.after.push_back(lone.front());
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(Placed placed,
                     Place(suggestion_.after, {name, policy.workload, std::move(rules)}));
    policy.set = placed.set;
    policy.name = placed.name;
    policy.document = placed.document;
    policy.former = placed.former;
    suggestion_.after = std::move(placed.sets);
    return absl::OkStatus();
  }

  // Judges every observed request by what is suggested.
  Status Assert() {
    std::vector<authz::PolicySets> versions;
    if (question_.present.has_value()) {
      versions.push_back(*question_.present);
    }
    ASSIGN_OR_RETURN(Candidate candidate,
                     Candidate::Create(suggestion_.after, versions, question_.limits.replay));
    return logs_
        .ForEachDecision([&](const DecisionRecord& record) {
          return IsObserved(record, question_.service) ? AssertOne(record, candidate)
                                                       : absl::OkStatus();
        })
        .status();
  }

  Status AssertOne(const DecisionRecord& record, Candidate& candidate) {
    ASSIGN_OR_RETURN(Verdict verdict, candidate.Judge(record));
    if (!verdict.judged) {
      ++suggestion_.unjudged;
    } else if (verdict.effect == authz::Effect::kAllow) {
      ++suggestion_.admitted;
    } else if (question_.present.has_value() && verdict.reason != authz::Reason::kNoRuleMatched) {
      ++suggestion_.denied_by[verdict.RuleName()];
    } else {
      return Internal("the suggestion does not admit decision ", DecisionIdText(record.id), " ",
                      verdict.RuleName(), ": please report it");
    }
    return absl::OkStatus();
  }

  Status NameStaying() {
    ASSIGN_OR_RETURN(GuardingPolicies guarding, GuardingPolicies::Create(suggestion_.after));
    std::set<std::string> staying;
    std::set<std::string> ours;
    for (const SuggestedPolicy& policy : suggestion_.policies) {
      ours.insert(Concat(policy.set, "/", policy.name));
      for (const auto& set : guarding.Of(policy.workload)) {
        for (const authz::AccessPolicy& other : set->policies) {
          staying.insert(Concat(set->name, "/", other.name));
        }
      }
    }
    std::ranges::set_difference(staying, ours, std::back_inserter(suggestion_.staying));
    if (!question_.present.has_value()) {
      suggestion_.staying.clear();
    }
    return absl::OkStatus();
  }

  const SuggestQuestion& question_;
  WindowLogs logs_;
  std::map<std::string, ObservedService, std::less<>> workloads_;
  std::set<std::string> services_;
  Suggestion suggestion_;
};

}  // namespace

StatusOr<Suggestion> Suggest(const SuggestQuestion& question) {
  ASSIGN_OR_RETURN(WindowLogs logs, WindowLogs::Open(question.window));
  return Suggester(question, std::move(logs)).Run();
}

}  // namespace countersign::audit
