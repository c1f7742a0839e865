// From checked `from`, `to` and `when` to typed entries and conditions, for rules and assertions.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "authz/kinds/document.h"
#include "authz/model/policy.h"

namespace countersign::authz {

// IdentitySetMembers is one IdentitySet of the set that is built.
struct IdentitySetMembers {
  std::vector<Matcher> ids;
  size_t index = 0;  // In PolicySet::identity_sets.
};

// SetScratch is what the builders of one policy set share.
struct SetScratch {
  std::map<std::string, IdentitySetMembers, std::less<>> identity_sets;
  size_t resolved_ids = 0;  // Members that rules and assertions hold so far.
};

// EntryBuilder borrows everything. Findings go to the document.
class EntryBuilder {
 public:
  EntryBuilder(CheckedDocument& document, SetScratch& scratch, PolicySet& set)
      : document_(document), scratch_(scratch), set_(set) {}

  // Entries reads the items of a `from` or `to`.
  std::vector<Entry> Entries(const Value& list);
  // When reads all families of a `when`.
  std::vector<Condition> When(const Value& when);

 private:
  std::vector<Condition> Conditions(const Value& entry);
  Condition ResolveIdentitySets(const Value& names);
  void Grpc(const Value& grpc, const Value& entry, std::vector<Condition>& conditions);

  CheckedDocument& document_;
  SetScratch& scratch_;
  PolicySet& set_;
};

// SubjectOf reads the word form of a `from`.
Subject SubjectOf(std::string_view word);

// CheckMeetsScope reports a matcher over workloads that lies outside the set's scope; `key` names
// the field.
void CheckMeetsScope(const Value& matcher, std::string_view key, const PolicySet& set,
                     CheckedDocument& document);

}  // namespace countersign::authz
