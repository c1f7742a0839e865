#include "audit/replay/candidate.h"

#include <algorithm>
#include <cstring>

#include "audit/replay/recorded_request.h"
#include "base/crypto/hash.h"

namespace countersign::audit {
namespace {

using authz::Decision;
using authz::Field;
using authz::PolicySets;

WallTime TimeOf(const DecisionRecord& record) {
  return WallTime{std::chrono::nanoseconds(record.time_ns)};
}

// Nothing for a set that was made without a digest; no record can name it.
std::optional<Digest> DigestOf(const authz::PolicySet& set) {
  StatusOr<std::string> bytes = HexDecode(set.digest);
  Digest digest = {};
  if (!bytes.ok() || bytes->size() != digest.size()) {
    return std::nullopt;
  }
  std::memcpy(digest.data(), bytes->data(), digest.size());
  return digest;
}

std::vector<FieldKey> Picked(std::span<const FieldKey> keys, KeySet which) {
  std::vector<FieldKey> picked;
  for (size_t i = 0; i < keys.size(); ++i) {
    if ((which >> i & 1) != 0) {
      picked.push_back(keys[i]);
    }
  }
  return picked;
}

KeySet AllOf(std::span<const FieldKey> keys) {
  return keys.empty() ? 0 : ~KeySet{0} >> (64 - keys.size());
}

// Of the keys, those of which a second value makes a request ambiguous.
KeySet KeysOnce(const PolicySets& sets, std::span<const FieldKey> keys) {
  KeySet once = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].field != Field::kClaim && NamesOnce(sets, keys[i])) {
      once |= KeySet{1} << i;
    }
  }
  return once;
}

// The rules that match under one bound only.
KeySet KeysOfUncertain(std::span<const uint32_t> a, std::span<const uint32_t> b,
                       const std::vector<KeySet>& by_rule, KeySet lacking) {
  std::vector<uint32_t> uncertain;
  std::ranges::set_symmetric_difference(a, b, std::back_inserter(uncertain));
  KeySet keys = 0;
  for (uint32_t rule : uncertain) {
    keys |= by_rule[rule] & lacking;
  }
  return keys;
}

}  // namespace

std::string_view WhyLackingText(WhyLacking why) {
  switch (why) {
    case WhyLacking::kNeverRecorded:
      return "records never hold it";
    case WhyLacking::kVersionUnknown:
      return "the policies that made the records are not known: give them with --old";
    case WhyLacking::kNotNamed:
      return "no rule named it when the records were made";
    case WhyLacking::kListFull:
      return "the records hold as many headers as a record can";
  }
  return "unknown";
}

std::string Verdict::RuleName() const {
  return rule == authz::kNoRule ? Concat("(", authz::ReasonName(reason), ")")
                                : policy->RuleName(rule);
}

const authz::SourcePosition* Verdict::RuleWhere() const {
  return rule == authz::kNoRule ? nullptr : &policy->RuleWhere(rule);
}

std::vector<std::string> Verdict::FieldTexts() const {
  return keys == nullptr ? std::vector<std::string>() : audit::FieldTexts(*keys, fields);
}

std::vector<std::string> FieldTexts(const std::vector<FieldKey>& keys, KeySet fields) {
  std::vector<std::string> texts;
  for (const FieldKey& key : Picked(keys, fields)) {
    texts.push_back(FieldKeyText(key));
  }
  return texts;
}

StatusOr<Candidate::Compiled> Candidate::Compile(PolicySets sets) {
  Compiled compiled;
  ASSIGN_OR_RETURN(compiled.policy, authz::CompiledPolicy::Compile(std::move(sets)));
  compiled.scratch.Fit(*compiled.policy);
  return compiled;
}

StatusOr<Candidate> Candidate::Create(const PolicySets& sets,
                                      const std::vector<PolicySets>& versions,
                                      const ReplayLimits& limits) {
  ASSIGN_OR_RETURN(Compiled whole, Compile(sets));
  ASSIGN_OR_RETURN(GuardingPolicies guarding, GuardingPolicies::Create(sets));
  Candidate candidate(std::move(whole), std::move(guarding), limits);
  std::vector<PolicySets> known = versions;
  known.push_back(sets);
  for (const PolicySets& folder : known) {
    for (const auto& set : folder) {
      if (std::optional<Digest> digest = DigestOf(*set); digest.has_value()) {
        ASSIGN_OR_RETURN(GuardingPolicies version, GuardingPolicies::Create({set}));
        candidate.versions_.emplace_back(*digest, std::move(version));
      }
    }
  }
  return candidate;
}

StatusOr<Candidate::Workload> Candidate::Read(std::string_view id) const {
  Workload workload;
  workload.policies = guarding_.Of(id);
  workload.keys = NamedKeys(workload.policies);
  if (workload.keys.size() > limits_.named_keys_max) {
    return ResourceExhausted("the rules for ", id, " name ", workload.keys.size(),
                             " headers, query parameters and claims: a replay takes ",
                             limits_.named_keys_max);
  }
  workload.by_rule = KeysByRule(workload.policies, workload.keys);
  workload.once = KeysOnce(workload.policies, workload.keys);
  for (size_t i = 0; i < workload.keys.size(); ++i) {
    workload.recordable |= workload.keys[i].field == Field::kHeader ? KeySet{1} << i : 0;
  }
  for (const auto& [digest, version] : versions_) {
    KeySet& held = workload.held[digest];
    if (workload.recordable == 0) {
      continue;
    }
    // A proxy keeps what any of the policies that it was given names, and it was given these.
    ASSIGN_OR_RETURN(auto recording, authz::CompiledPolicy::Compile(version.Of(id)));
    for (size_t i = 0; i < workload.keys.size(); ++i) {
      bool named =
          workload.keys[i].field == Field::kHeader && recording->NamesHeader(workload.keys[i].key);
      held |= named ? KeySet{1} << i : 0;
    }
  }
  return workload;
}

StatusOr<Candidate::Workload*> Candidate::Find(std::string_view id) {
  if (last_.second != nullptr && last_.first == id) {
    return last_.second;
  }
  auto found = workloads_.find(id);
  if (found == workloads_.end()) {
    if (workloads_.size() == limits_.workloads_max) {
      return ResourceExhausted("records about more than ", limits_.workloads_max,
                               " workloads: narrow the window with --since and --until");
    }
    ASSIGN_OR_RETURN(Workload workload, Read(id));
    found = workloads_.emplace(id, std::move(workload)).first;
  }
  last_ = {found->first, &found->second};
  return last_.second;
}

Candidate::Lack Candidate::LackOf(const DecisionRecord& record, const Workload& workload) {
  KeySet held = 0;
  Lack lack = {.full = record.headers.size() >= RecordLimits::kHeadersMax,
               .known = !record.policies.empty()};
  for (const PolicyVersion& version : record.policies) {
    auto found = workload.held.find(version.digest);
    lack.known = lack.known && found != workload.held.end();
    held |= found != workload.held.end() ? found->second : 0;
  }
  for (const authz::NameValue& header : record.headers) {
    // One that is there was named, and then all its values are there.
    for (size_t i = 0; i < workload.keys.size(); ++i) {
      bool same = workload.keys[i].field == Field::kHeader && workload.keys[i].key == header.name;
      held |= same ? KeySet{1} << i : 0;
    }
  }
  lack.keys = AllOf(workload.keys) & ~(lack.full ? 0 : held);
  return lack;
}

WhyLacking Candidate::Why(const Lack& lack, KeySet fields, const Workload& workload) {
  if ((fields & ~workload.recordable) != 0) {
    return WhyLacking::kNeverRecorded;
  }
  return lack.full    ? WhyLacking::kListFull
         : lack.known ? WhyLacking::kNotNamed
                      : WhyLacking::kVersionUnknown;
}

StatusOr<Candidate::Bounds*> Candidate::BoundsFor(KeySet& lacking, Workload& workload) const {
  auto found = workload.bounds.find(lacking);
  if (found == workload.bounds.end() && workload.bounds.size() >= limits_.lacks_max) {
    lacking = AllOf(workload.keys);  // Less is judged, nothing wrongly.
    found = workload.bounds.find(lacking);
  }
  if (found == workload.bounds.end()) {
    std::vector<FieldKey> keys = Picked(workload.keys, lacking);
    Bounds bounds;
    ASSIGN_OR_RETURN(bounds.most, Compile(Bounded(workload.policies, keys, Bound::kMostAllowed)));
    ASSIGN_OR_RETURN(bounds.least, Compile(Bounded(workload.policies, keys, Bound::kLeastAllowed)));
    found = workload.bounds.emplace(lacking, std::move(bounds)).first;
  }
  return &found->second;
}

StatusOr<Verdict> Candidate::JudgeLacking(const DecisionRecord& record, Lack lack,
                                          Workload& workload) const {
  ASSIGN_OR_RETURN(Bounds * bounds, BoundsFor(lack.keys, workload));
  authz::CanonicalRequest request = RequestOf(record);
  Decision most = bounds->most.policy->Decide(request, TimeOf(record), bounds->most.scratch);
  Decision least = bounds->least.policy->Decide(request, TimeOf(record), bounds->least.scratch);
  const bool allowed = least.effect == authz::Effect::kAllow;
  const Compiled& by = allowed ? bounds->least : bounds->most;
  const Decision& sure = allowed ? least : most;
  Verdict verdict{.judged = most.effect == least.effect,
                  .effect = sure.effect,
                  .reason = sure.reason,
                  .policy = by.policy.get(),
                  .rule = sure.deciding_rule,
                  .fields = allowed ? lack.keys & workload.once : 0,
                  .keys = &workload.keys,
                  .why = WhyLacking::kNotNamed};
  if (record.reason == authz::Reason::kAmbiguousField && verdict.fields != 0) {
    verdict.judged = false;  // Something came twice, and it may have been one of these.
    verdict.effect = authz::Effect::kDeny;
  } else if (!verdict.judged) {
    verdict.effect = authz::Effect::kDeny;
    verdict.fields = KeysOfUncertain(most.matched, least.matched, workload.by_rule, lack.keys);
    // None is uncertain only if the engine met a limit on one side.
    verdict.fields = verdict.fields == 0 ? lack.keys : verdict.fields;
  }
  verdict.why = Why(lack, verdict.fields, workload);
  return verdict;
}

StatusOr<Verdict> Candidate::Judge(const DecisionRecord& record) {
  Decision decision = policy_->Decide(RequestOf(record), TimeOf(record), scratch_);
  Verdict verdict{.effect = decision.effect,
                  .reason = decision.reason,
                  .policy = policy_.get(),
                  .rule = decision.deciding_rule};
  // Raw connections have none of these fields, and what is known already makes this one ambiguous.
  if (record.kind == authz::RequestKind::kTcp ||
      decision.reason == authz::Reason::kAmbiguousField) {
    return verdict;
  }
  ASSIGN_OR_RETURN(Workload * workload, Find(record.callee));
  if (workload->keys.empty()) {
    return verdict;
  }
  Lack lack = LackOf(record, *workload);
  return lack.keys == 0 ? verdict : JudgeLacking(record, lack, *workload);
}

}  // namespace countersign::audit
