// PolicyAssertion documents: what each becomes, what is refused and where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/kinds/explain_kind.h"
#include "authz/kinds/printer.h"
#include "tests/authz/kinds/load_helper.h"

namespace countersign::authz {
namespace {

using testing::HasSubstr;
using Form = PolicyAssertion::Form;

constexpr std::string_view kGuardrail =
    "apiVersion: countersign.dev/v1alpha1\n"
    "kind: PolicySet\n"
    "metadata: { name: security }\n"
    "spec: { owner: { id: spiffe://td/eve }, guardrail: true }\n"
    "---\n";

constexpr std::string_view kScoped =
    "apiVersion: countersign.dev/v1alpha1\n"
    "kind: PolicySet\n"
    "metadata: { name: shop }\n"
    "spec: { owner: { id: spiffe://td/ana }, scope: { under: spiffe://td/ns/prod } }\n"
    "---\n";

// A guardrail set with one assertion; its spec begins at line 10.
std::string Asserting(std::string_view spec) {
  return Concat(kGuardrail, Head("PolicyAssertion", spec));
}

PolicyAssertion Only(std::string_view spec) {
  auto set = OnlySet(Asserting(spec));
  EXPECT_EQ(set->assertions.size(), 1u) << spec;
  return set->assertions.empty() ? PolicyAssertion() : set->assertions.front();
}

TEST(PolicyAssertionTest, NeverWithEveryPartIsTyped) {
  PolicyAssertion assertion = Only(
      "  workloads: [{ under: spiffe://td/ns/prod }, spiffe://td/ledger]\n"
      "  never:\n"
      "    from: { allExcept: [{ id: spiffe://td/billing, except: { peerIp: 10.0.0.0/8 } }] }\n"
      "    to: [{ path: /refunds/** }, { grpc: { service: shop.Refunds } }]\n"
      "    when: { headers: { X-Tenant: acme }, query: { page: { present: false } } }\n");
  EXPECT_EQ(assertion.name, "x");
  EXPECT_EQ(assertion.form, Form::kNever);
  EXPECT_EQ(assertion.subject, Subject::kEntries);
  EXPECT_TRUE(assertion.all_except);
  ASSERT_EQ(assertion.workloads.size(), 2u);
  ASSERT_EQ(assertion.from.size(), 1u);
  EXPECT_EQ(assertion.from[0].all_of[0].any_of[0].text, "spiffe://td/billing");
  ASSERT_EQ(assertion.from[0].except.size(), 1u);
  EXPECT_EQ(assertion.from[0].except[0][0].field, Field::kPeerIp);
  ASSERT_EQ(assertion.to.size(), 2u);
  ASSERT_EQ(assertion.when.size(), 2u);
  EXPECT_EQ(assertion.when[0].key, "x-tenant");
  EXPECT_EQ(assertion.where.file, "f.yaml");
  EXPECT_EQ(assertion.where.line, 6u);
}

TEST(PolicyAssertionTest, EachFormAndEachSubjectIsTyped) {
  struct Row {
    const char* spec;
    Form form;
    Subject subject;
    bool all_except;
  };
  for (const Row& row : {
           Row{"  never: { from: anyone }\n", Form::kNever, Subject::kAnyone, false},
           Row{"  always: { from: mesh }\n", Form::kAlways, Subject::kMesh, false},
           Row{"  only: { from: authenticated, to: [{ path: /a }] }\n", Form::kOnly,
               Subject::kAuthenticated, false},
           Row{"  only: { from: [{ id: spiffe://td/a }] }\n", Form::kOnly, Subject::kEntries,
               false},
           Row{"  only: { from: { allExcept: [{ id: spiffe://td/a }] } }\n", Form::kOnly,
               Subject::kEntries, true},
       }) {
    PolicyAssertion assertion = Only(row.spec);
    EXPECT_EQ(assertion.form, row.form) << row.spec;
    EXPECT_EQ(assertion.subject, row.subject) << row.spec;
    EXPECT_EQ(assertion.all_except, row.all_except) << row.spec;
    EXPECT_EQ(assertion.from.empty(), row.subject != Subject::kEntries) << row.spec;
    EXPECT_TRUE(assertion.workloads.empty()) << row.spec;
  }
}

TEST(PolicyAssertionTest, NamesTheIdentitySetsOfItsSet) {
  auto set = OnlySet(
      Asserting("  only: { from: [{ identitySet: staff }] }\n") +
      "---\napiVersion: countersign.dev/v1alpha1\nkind: IdentitySet\nmetadata: { name: staff }\n"
      "spec: { ids: [spiffe://td/ana, { under: spiffe://td/people }] }\n");
  ASSERT_EQ(set->assertions.size(), 1u);
  EXPECT_EQ(set->assertions[0].from[0].all_of[0].any_of.size(), 2u);
  EXPECT_TRUE(set->identity_sets[0].used);
}

TEST(PolicyAssertionTest, AScopedSetMayAssertAboutItsOwnWorkloads) {
  std::string spec = "  workloads: { id: spiffe://td/ns/prod/a }\n  never: { from: anyone }\n";
  EXPECT_EQ(OnlySet(Concat(kScoped, Head("PolicyAssertion", spec)))->assertions.size(), 1u);
  LoadResult other = LoadText(Concat(
      kScoped, Head("PolicyAssertion",
                    "  workloads: { id: spiffe://td/ns/stage/a }\n  never: { from: anyone }\n")));
  EXPECT_THAT(Findings(other), HasSubstr("f.yaml:10:14: workloads \"spiffe://td/ns/stage/a\" lies "
                                         "outside the scope of policy set \"shop\""));
  EXPECT_TRUE(other.sets.empty());
}

TEST(PolicyAssertionTest, RefusalsNameTheirPlace) {
  struct Row {
    const char* name;
    std::string spec;
    const char* finding;
  };
  std::string boxes = "  never:\n    from: [";
  for (int i = 0; i < 65; ++i) {
    boxes += Concat("{ id: spiffe://td/a", i, ", peerIp: 10.0.0.", i, " },");
  }
  for (const Row& row : std::vector<Row>{
           {"nothing", "  {}\n", "f.yaml:10:3: spec must not be empty"},
           {"no form", "  workloads: spiffe://td/a\n",
            "f.yaml:10:3: an assertion needs one of never, always and only"},
           {"two forms", "  never: { from: anyone }\n  only: { from: mesh }\n",
            "f.yaml:11:9: an assertion has exactly one of never, always and only"},
           {"three forms",
            "  never: { from: anyone }\n  only: { from: mesh }\n  always: { from: mesh }\n",
            "an assertion has exactly one of"},
           {"misspelt form", "  nevr: { from: anyone }\n",
            "f.yaml:10:3: unknown key \"nevr\" (did you mean \"never\"?)"},
           {"no from", "  never: { to: [{ path: / }] }\n",
            "f.yaml:10:10: required key \"from\" is missing in never"},
           {"misspelt word", "  never: { from: anyon }\n",
            "f.yaml:10:18: from: unknown word \"anyon\" (did you mean \"anyone\"?)"},
           {"misspelt allExcept", "  never: { from: { allExept: [{ id: spiffe://td/a }] } }\n",
            "f.yaml:10:20: unknown key \"allExept\" (did you mean \"allExcept\"?)"},
           {"an entry without its list", "  never: { from: { id: spiffe://td/a } }\n",
            "f.yaml:10:20: from must be a list, or {allExcept: LIST}: unknown key \"id\" here"},
           {"a key beside allExcept",
            "  never: { from: { allExcept: [{ id: spiffe://td/a }], peerIp: 10.0.0.1 } }\n",
            "unknown key \"peerIp\" here"},
           {"allExcept of a word", "  never: { from: { allExcept: mesh } }\n",
            "f.yaml:10:31: allExcept must be a list of entries, not a single value"},
           {"allExcept of nobody", "  never: { from: { allExcept: [] } }\n",
            "f.yaml:10:31: from must not be an empty list"},
           {"allExcept without a value", "  never: { from: { allExcept: } }\n",
            "allExcept must be a list of entries, not nothing"},
           {"allExcept of an empty entry", "  never: { from: { allExcept: [{}] } }\n",
            "from must not be empty"},
           {"from of an empty map", "  never: { from: {} }\n", "from must not be empty"},
           {"to is not complemented",
            "  never: { from: anyone, to: { allExcept: [{ path: / }] } }\n",
            "f.yaml:10:30: to must be a list"},
           {"an entry of exceptions alone",
            "  never: { from: [{ except: { id: spiffe://td/a } }] }\n",
            "an entry needs a key beside except"},
           {"unknown identity set", "  never: { from: [{ identitySet: staff }] }\n",
            "policy set \"security\" has no IdentitySet \"staff\""},
           {"only anyone", "  only: { from: anyone, to: [{ path: / }] }\n",
            "f.yaml:10:17: only with from: anyone holds for every policy"},
           {"many",
            "  never: { from: anyone, when: { headers: { x-a: { prefix: a, many: true } } } }\n",
            "f.yaml:10:50: many: true on \"x-a\" has no place in an assertion"},
           {"claims", "  never: { from: anyone, when: { claims: { iss: a } } }\n",
            "claims need a TokenIssuer"},
           {"a path that cannot be", "  never: { from: anyone, to: [{ path: /%41 }] }\n",
            "can never match"},
           {"an effect", "  effect: deny\n  never: { from: anyone }\n", "unknown key \"effect\""},
           {"a workload that says nothing",
            "  workloads: { present: true }\n  never: { from: anyone }\n",
            "workloads: present says nothing about ids"},
           {"more than 64 boxes", boxes + "]\n", "assertion \"x\" needs 65 boxes: at most 64"},
       }) {
    LoadResult result = LoadText(Asserting(row.spec));
    EXPECT_FALSE(result.ok()) << row.name;
    EXPECT_TRUE(result.sets.empty()) << row.name;
    EXPECT_THAT(Findings(result), HasSubstr(row.finding)) << row.name;
  }
}

TEST(PolicyAssertionTest, CanonicalFormSurvivesStorageAndPrinting) {
  auto set = OnlySet(
      Asserting("  workloads: { under: spiffe://td/ns }\n"
                "  never: { from: { allExcept: [{ id: spiffe://td/b }, { id: spiffe://td/a }] }, "
                "to: [{ methods: [POST, GET] }] }\n"));
  ASSERT_EQ(set->canonical_documents.size(), 2u);
  EXPECT_EQ(set->canonical_documents[1],
            "{\"apiVersion\":\"countersign.dev/v1alpha1\",\"kind\":\"PolicyAssertion\","
            "\"metadata\":{\"name\":\"x\"},\"spec\":{\"never\":{\"from\":{\"allExcept\":"
            "[{\"id\":[\"spiffe://td/a\"]},{\"id\":[\"spiffe://td/b\"]}]},"
            "\"to\":[{\"methods\":[\"GET\",\"POST\"]}]},"
            "\"workloads\":[{\"under\":\"spiffe://td/ns\"}]}}");
  auto stored = LoadPolicySet(set->canonical_documents);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ((*stored)->digest, set->digest);
  auto yaml = ToYaml(set->canonical_documents[1]);
  ASSERT_TRUE(yaml.ok());
  EXPECT_EQ(OnlySet(Concat(kGuardrail, *yaml))->digest, set->digest) << *yaml;
}

TEST(PolicyAssertionTest, DigestKnowsFormCallersAndComplement) {
  std::string first = OnlySet(Asserting("  never: { from: [{ id: spiffe://td/a }] }\n"))->digest;
  for (const char* spec :
       {"  always: { from: [{ id: spiffe://td/a }] }\n",
        "  only: { from: [{ id: spiffe://td/a }] }\n",
        "  never: { from: { allExcept: [{ id: spiffe://td/a }] } }\n",
        "  never: { from: [{ id: spiffe://td/b }] }\n", "  never: { from: mesh }\n",
        "  workloads: spiffe://td/w\n  never: { from: [{ id: spiffe://td/a }] }\n"}) {
    EXPECT_NE(OnlySet(Asserting(spec))->digest, first) << spec;
  }
  EXPECT_EQ(OnlySet(Asserting("  # a comment\n  never:\n    from:\n      - id: [spiffe://td/a]\n"))
                ->digest,
            first);
}

TEST(PolicyAssertionTest, ExplainShowsFormsAndComplement) {
  auto kind = ExplainField("policyassertion");
  ASSERT_TRUE(kind.ok()) << kind.status();
  EXPECT_THAT(*kind, HasSubstr("spec <object> -required-"));
  auto from = ExplainField("policyassertion.spec.never.from");
  ASSERT_TRUE(from.ok()) << from.status();
  EXPECT_THAT(*from, HasSubstr("or {allExcept: LIST}> -required-"));
  EXPECT_THAT(*from, HasSubstr("identitySet"));
  EXPECT_TRUE(ExplainField("policyassertion.spec.only.when.headers").ok());
}

}  // namespace
}  // namespace countersign::authz
