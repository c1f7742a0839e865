#include "authz/prove/diff.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "authz/prove/explorer.h"
#include "authz/prove/items.h"
#include "authz/prove/region.h"
#include "authz/prove/witness.h"

namespace countersign::authz::prove {
namespace {

constexpr Roles kDenyBefore = 1;
constexpr Roles kAllowBefore = 2;
constexpr Roles kDenyAfter = 4;
constexpr Roles kAllowAfter = 8;
constexpr size_t kRoleSets = 16;

constexpr uint8_t kNewlyAllowed = 1;
constexpr uint8_t kNewlyDenied = 2;

Question DiffQuestion() {
  Question question;
  for (size_t yes = 0; yes < kRoleSets; ++yes) {
    bool before = (yes & kAllowBefore) != 0 && (yes & kDenyBefore) == 0;
    bool after = (yes & kAllowAfter) != 0 && (yes & kDenyAfter) == 0;
    question.marks.push_back(before == after ? 0 : after ? kNewlyAllowed : kNewlyDenied);
  }
  // What both versions say alike changes nothing by itself.
  question.in_focus = [](Roles roles) { return (roles & 3) != (roles >> 2 & 3); };
  return question;
}

// The engine must say what the proof says; anything else is our error and no proof.
Status Check(const Change& change) {
  if (change.before.allowed() == !change.newly_allowed &&
      change.after.allowed() == change.newly_allowed) {
    return absl::OkStatus();
  }
  return Internal("the engine contradicts the proof at ", RequestText(change.request),
                  ": please report it");
}

}  // namespace

// DiffRegions keeps what regions are made of.
class DiffRegions {
 public:
  explicit DiffRegions(const ProveOptions& options)
      : options_(options), space_(options.limits, options.relaxations) {}

  Status Find(const PolicySets& before, const PolicySets& after) {
    Diagram diagram;
    const Question question = DiffQuestion();
    for (RequestKind kind : {RequestKind::kHttp, RequestKind::kTcp}) {
      Items items;
      ItemMaker maker(space_, kind, options_.now);
      RETURN_IF_ERROR(
          maker.AddPolicies(before, {.deny = kDenyBefore, .allow = kAllowBefore}, items));
      RETURN_IF_ERROR(maker.AddPolicies(after, {.deny = kDenyAfter, .allow = kAllowAfter}, items));
      Explorer explorer(space_, values_, items.list(), question);
      ASSIGN_OR_RETURN(uint32_t root, explorer.Run(diagram));
      list_.Add(diagram, root, kind);
    }
    return list_.Merge();
  }

  Status Report(DiffReport& report) {
    size_t regions_max = options_.limits.regions_max;
    report.complete = list_.complete() && list_.regions().size() <= regions_max;
    for (uint8_t mark : {kNewlyAllowed, kNewlyDenied}) {
      for (const Region& region : list_.regions()) {
        if (region.mark != mark || report.changes.size() == regions_max) {
          continue;
        }
        Change& change = report.changes.emplace_back();
        change.newly_allowed = mark == kNewlyAllowed;
        change.conditions = list_.Conditions(region);
        ASSIGN_OR_RETURN(Witness witness, MakeWitness(region, space_, values_));
        change.request = std::move(witness.request);
        change.replayable = witness.replayable;
        reported_.push_back(&region);
      }
    }
    return absl::OkStatus();
  }

  bool Contains(size_t change, const CanonicalRequest& request) const {
    return list_.Contains(*reported_[change], request);
  }

 private:
  const ProveOptions options_;
  Space space_;
  ValueTable values_{space_};
  RegionList list_{space_, values_};
  std::vector<const Region*> reported_;  // By change.
};

StatusOr<DiffReport> DiffPolicies(const PolicySets& before, const PolicySets& after,
                                  const ProveOptions& options) {
  auto regions = std::make_shared<DiffRegions>(options);
  RETURN_IF_ERROR(regions->Find(before, after));
  DiffReport report;
  RETURN_IF_ERROR(regions->Report(report));
  report.regions = std::move(regions);
  if (report.same()) {
    return report;
  }
  std::vector<std::string> callees;
  for (const Change& change : report.changes) {
    callees.push_back(change.request.workload);
  }
  ASSIGN_OR_RETURN(Judge old_judge, Judge::Create(before, callees, options.now));
  ASSIGN_OR_RETURN(Judge new_judge, Judge::Create(after, callees, options.now));
  for (Change& change : report.changes) {
    change.before = old_judge.Decide(change.request);
    change.after = new_judge.Decide(change.request);
    RETURN_IF_ERROR(Check(change));
  }
  return report;
}

bool Contains(const DiffReport& report, size_t change, const CanonicalRequest& request) {
  return report.regions->Contains(change, request);
}

}  // namespace countersign::authz::prove
