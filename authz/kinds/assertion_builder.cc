// PolicyAssertion documents.
#include <array>

#include "authz/kinds/boxes.h"
#include "authz/kinds/builders.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

struct FormWord {
  std::string_view key;
  PolicyAssertion::Form form;
};
constexpr FormWord kForms[] = {{"never", PolicyAssertion::Form::kNever},
                               {"always", PolicyAssertion::Form::kAlways},
                               {"only", PolicyAssertion::Form::kOnly}};

// The one form that the author wrote, or null with an error.
const Value* FindForm(CheckedDocument& document, PolicyAssertion& assertion) {
  const Value* found = nullptr;
  for (const FormWord& word : kForms) {
    const Value* value = document.spec.Get(word.key);
    if (value == nullptr) {
      continue;
    }
    if (found != nullptr) {
      document.Error(value->where,
                     "an assertion has exactly one of never, always and only: write a document "
                     "for each");
      return nullptr;
    }
    found = value;
    assertion.form = word.form;
  }
  if (found == nullptr && !document.broken) {
    document.Error(document.spec.where, "an assertion needs one of never, always and only");
  }
  return found;
}

// A proof speaks of one value for each header and query key.
void RefuseMany(const Value& when, CheckedDocument& document) {
  for (const auto& [family, keys] : when.members) {
    for (const auto& [key, value] : keys.members) {
      for (const Value& item : value.items) {
        if (item.many) {
          document.Error(item.where, Concat("many: true on ", Quoted(key),
                                            " has no place in an assertion, which speaks of "
                                            "requests that carry it once"));
        }
      }
    }
  }
}

void BuildRegion(const Value& value, EntryBuilder& entries, CheckedDocument& document,
                 PolicyAssertion& assertion) {
  if (const Value* from = value.Get("from"); from != nullptr && from->is_word) {
    assertion.subject = SubjectOf(from->text);
    if (assertion.form == PolicyAssertion::Form::kOnly && assertion.subject == Subject::kAnyone) {
      document.Error(from->where,
                     "only with from: anyone holds for every policy: name the callers");
    }
  } else if (from != nullptr) {
    assertion.all_except = from->all_except;
    assertion.from = entries.Entries(*from);
  }
  if (const Value* to = value.Get("to"); to != nullptr) {
    assertion.to = entries.Entries(*to);
  }
  if (const Value* when = value.Get("when"); when != nullptr) {
    RefuseMany(*when, document);
    assertion.when = entries.When(*when);
  }
  MergeEntries(assertion.from);
  MergeEntries(assertion.to);
  if (size_t boxes = BoxCount(assertion.from, assertion.to); boxes > kBoxesPerRuleMax) {
    document.Error(value.where, Concat("assertion ", Quoted(assertion.name), " needs ", boxes,
                                       " boxes: at most ", kBoxesPerRuleMax,
                                       " are allowed; split it into several assertions"));
  }
}

}  // namespace

PolicyAssertion BuildAssertion(CheckedDocument& document, SetScratch& scratch, PolicySet& set) {
  PolicyAssertion assertion;
  assertion.name = document.name;
  assertion.where = document.Position();
  if (const Value* workloads = document.spec.Get("workloads"); workloads != nullptr) {
    for (const Value& item : workloads->items) {
      assertion.workloads.push_back(item.matcher);
      CheckMeetsScope(item, "workloads", set, document);
    }
  }
  if (const Value* form = FindForm(document, assertion); form != nullptr) {
    EntryBuilder entries(document, scratch, set);
    BuildRegion(*form, entries, document, assertion);
  }
  return assertion;
}

}  // namespace countersign::authz
