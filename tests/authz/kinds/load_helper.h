// Loads documents from text in tests, and shows findings as people see them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "authz/kinds/loader.h"

namespace countersign::authz {

inline constexpr std::string_view kSetHead =
    "apiVersion: countersign.dev/v1alpha1\n"
    "kind: PolicySet\n"
    "metadata: { name: shop }\n"
    "spec: { owner: { id: spiffe://td/ana }, scope: { under: spiffe://td } }\n"
    "---\n"
    "apiVersion: countersign.dev/v1alpha1\n"
    "kind: AccessPolicy\n"
    "metadata: { name: p }\n"
    "spec:\n";

// Head puts apiVersion, kind and a name before `spec`.
inline std::string Head(std::string_view kind, std::string_view spec) {
  return Concat("apiVersion: countersign.dev/v1alpha1\nkind: ", kind,
                "\nmetadata: { name: x }\nspec:\n", spec);
}

inline LoadResult LoadText(std::string_view text, std::string_view path = "f.yaml") {
  std::vector<SourceFile> files = {{std::string(path), std::string(text)}};
  return Load(files);
}

inline std::string Findings(const LoadResult& result) {
  std::string out;
  for (const Diagnostic& diagnostic : result.diagnostics) {
    out += FormatDiagnostic(diagnostic) + "\n";
  }
  return out;
}

// OnlySet loads text that must hold one good policy set.
inline std::shared_ptr<const PolicySet> OnlySet(std::string_view text) {
  LoadResult result = LoadText(text);
  EXPECT_TRUE(result.ok()) << Findings(result) << text;
  EXPECT_EQ(result.sets.size(), 1u) << text;
  return result.sets.empty() ? std::make_shared<PolicySet>() : result.sets.front();
}

// WithRule is a set whose only policy has one rule with these lines (indented by six blanks).
inline std::string WithRule(std::string_view lines) {
  return Concat(kSetHead, "  appliesTo: all\n  rules:\n    - name: r\n", lines);
}
inline std::string WithFrom(std::string_view from) {
  return WithRule(Concat("      effect: allow\n      from: ", from, "\n"));
}
inline std::string WithTo(std::string_view to) {
  return WithRule(Concat("      effect: allow\n      from: anyone\n      to: [", to, "]\n"));
}
inline std::string WithWhen(std::string_view when) {
  return WithRule(Concat("      effect: allow\n      from: anyone\n      when: ", when, "\n"));
}

}  // namespace countersign::authz
