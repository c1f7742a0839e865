// From checked documents to typed ones: what the field table cannot say (rules between fields,
// names that must exist, limits over a whole rule). Findings go to the documents.
#pragma once

#include <span>

#include "authz/kinds/document.h"
#include "authz/kinds/entry_builder.h"
#include "authz/kinds/registration.h"
#include "authz/kinds/route.h"
#include "authz/kinds/service.h"
#include "authz/model/policy.h"

namespace countersign::authz {

// BuildPolicySet makes a set of its PolicySet document and the others of the set. The result is of
// use only if no document is broken afterwards.
PolicySet BuildPolicySet(CheckedDocument& set_document,
                         std::span<CheckedDocument* const> documents);

Registration BuildRegistration(CheckedDocument& document);
Service BuildService(CheckedDocument& document);
Route BuildRoute(CheckedDocument& document);

// BuildAssertion reads one PolicyAssertion document of `set`.
PolicyAssertion BuildAssertion(CheckedDocument& document, SetScratch& scratch, PolicySet& set);

// BuildTests reads one PolicyTest document; `rules` are the names SET/POLICY/RULE of its own
// set, sorted.
std::vector<PolicyTestCase> BuildTests(CheckedDocument& document, std::string_view set,
                                       std::span<const std::string> rules);

// BuildCondition makes a condition of a checked field, whose row says which coordinate it is.
Condition BuildCondition(const Value& value, std::string_view key, CheckedDocument& document);

}  // namespace countersign::authz
