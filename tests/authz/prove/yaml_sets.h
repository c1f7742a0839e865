// Policy sets from text, as a loader makes them; what is refused fails the test.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "authz/engine/compiled_policy.h"
#include "authz/kinds/loader.h"

namespace countersign::authz::prove {

inline PolicySets SetsFrom(const std::string& documents) {
  const SourceFile file{.path = "set.yaml", .content = documents};
  LoadResult loaded = Load({&file, 1});
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic);
  }
  return loaded.sets;
}

// ShopSet is one set with one policy for all workloads under prod; `rules` are its rules in YAML,
// indented by four blanks, `more` are further documents.
inline PolicySets ShopSet(const std::string& rules, const std::string& more = "") {
  return SetsFrom(
      "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: shop }\n"
      "spec:\n  owner: { id: 'spiffe://shop.example/people/ana' }\n"
      "  scope: { under: 'spiffe://shop.example/ns/prod' }\n---\n"
      "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
      "spec:\n  appliesTo: all\n  rules:\n" +
      rules + more);
}

inline std::string AssertionDocument(const std::string& spec) {
  return "---\napiVersion: countersign.dev/v1alpha1\nkind: PolicyAssertion\n"
         "metadata: { name: a }\nspec:\n" +
         spec;
}

}  // namespace countersign::authz::prove
