// Candidate: policies that did not make the records, asked what they would have said.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/record/decision_record.h"
#include "audit/replay/guarding.h"
#include "audit/replay/lacking_fields.h"
#include "audit/replay/limits.h"
#include "authz/engine/compiled_policy.h"
#include "base/status.h"

namespace countersign::audit {

// WhyLacking says why a record does not hold a field.
enum class WhyLacking : uint8_t {
  kNeverRecorded,   // Query parameters and claims.
  kVersionUnknown,  // What the policies that made the record named is not known.
  kNotNamed,        // It is known, and they did not name the header.
  kListFull,        // The record holds as many headers as a record can.
};
std::string_view WhyLackingText(WhyLacking why);

// Verdict is what the candidate says of one record, at the record's own time. It borrows the
// candidate.
struct Verdict {
  bool judged = true;  // False: it hangs on the fields below.
  authz::Effect effect = authz::Effect::kDeny;
  authz::Reason reason = authz::Reason::kEngineFault;
  const authz::CompiledPolicy* policy = nullptr;  // Whose rule number it is.
  uint32_t rule = authz::kNoRule;
  // Fields that the record lacks. Judged: the allow rests on each having come at most once, as
  // fields that a rule names must. Else: the verdict hangs on them.
  KeySet fields = 0;
  const std::vector<FieldKey>* keys = nullptr;  // What the bits of `fields` stand for.
  WhyLacking why = WhyLacking::kNotNamed;       // Where fields are lacking.

  std::string RuleName() const;                    // "set/policy/rule", or "(no_rule_matched)".
  const authz::SourcePosition* RuleWhere() const;  // Null: no rule decided.
  std::vector<std::string> FieldTexts() const;     // "headers x-tenant".
};

// FieldTexts names those of `keys` that are in `fields`: "headers x-tenant".
std::vector<std::string> FieldTexts(const std::vector<FieldKey>& keys, KeySet fields);

// Candidate is for one thread.
class Candidate {
 public:
  // `versions` are policies, folder by folder, of which it is known which headers they had
  // recorded; the candidate's own are among them unsaid. Fails as CompiledPolicy::Compile does.
  static StatusOr<Candidate> Create(const authz::PolicySets& sets,
                                    const std::vector<authz::PolicySets>& versions,
                                    const ReplayLimits& limits);

  // Judge fails over a limit only. `record` must be one that policies judged (IsOfPolicy).
  StatusOr<Verdict> Judge(const DecisionRecord& record);
  const authz::CompiledPolicy& policy() const { return *policy_; }

 private:
  struct Compiled {
    std::shared_ptr<const authz::CompiledPolicy> policy;
    authz::DecisionScratch scratch;
  };
  // The most and the least that is allowed, whatever the lacking fields hold.
  struct Bounds {
    Compiled most;
    Compiled least;
  };
  // What is kept of a workload from its first record on.
  struct Workload {
    authz::PolicySets policies;  // Those that guard it.
    std::vector<FieldKey> keys;  // That their enforced rules name.
    KeySet recordable = 0;       // Headers: the others are never recorded.
    KeySet once = 0;             // Those that make a request ambiguous when they come twice.
    std::vector<KeySet> by_rule;
    std::map<Digest, KeySet> held;  // What a policy set's version had recorded.
    std::map<KeySet, Bounds> bounds;
  };
  struct Lack {
    KeySet keys = 0;
    bool full = false;   // The record's list of headers.
    bool known = false;  // What was named when it was made.
  };

  Candidate(Compiled whole, GuardingPolicies guarding, ReplayLimits limits)
      : policy_(std::move(whole.policy)),
        scratch_(std::move(whole.scratch)),
        guarding_(std::move(guarding)),
        limits_(limits) {}
  static StatusOr<Compiled> Compile(authz::PolicySets sets);
  StatusOr<Workload*> Find(std::string_view workload);
  StatusOr<Workload> Read(std::string_view workload) const;
  static Lack LackOf(const DecisionRecord& record, const Workload& workload);
  static WhyLacking Why(const Lack& lack, KeySet fields, const Workload& workload);
  // May widen `lacking`.
  StatusOr<Bounds*> BoundsFor(KeySet& lacking, Workload& workload) const;
  StatusOr<Verdict> JudgeLacking(const DecisionRecord& record, Lack lack, Workload& workload) const;

  std::shared_ptr<const authz::CompiledPolicy> policy_;
  authz::DecisionScratch scratch_;
  GuardingPolicies guarding_;
  ReplayLimits limits_;
  std::vector<std::pair<Digest, GuardingPolicies>> versions_;  // One set each.
  std::map<std::string, Workload, std::less<>> workloads_;
  std::pair<std::string, Workload*> last_;  // Most records are about the workload of the last one.
};

}  // namespace countersign::audit
