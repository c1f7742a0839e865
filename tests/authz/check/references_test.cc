// Names that documents speak of and nobody has.
#include "authz/check/references.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "base/status.h"

namespace countersign::authz {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Document(std::string_view kind, std::string_view name, std::string_view spec) {
  return Concat("---\napiVersion: countersign.dev/v1alpha1\nkind: ", kind,
                "\nmetadata: { name: ", name, " }\nspec: ", spec, "\n");
}

std::string Registered(std::string_view name, std::string_view id) {
  return Document("Registration", name,
                  Concat("{ id: '", id, "', nodes: [{ id: 'spiffe://shop.example/agent/n' }], ",
                         "selectors: { unix: { uid: 7 } } }"));
}

std::string Workload(std::string_view name) {
  return Registered(name, Concat("spiffe://shop.example/ns/prod/sa/", name));
}

const std::string kRegistrations = Workload("web") + Workload("orders") + Workload("billing");

std::string Set() {
  return Document("PolicySet", "shop",
                  "{ owner: { id: 'spiffe://shop.example/people/ana' }, scope: { under: "
                  "'spiffe://shop.example/ns' } }");
}

std::string Policy(std::string_view applies_to, std::string_view from) {
  return Set() + Document("AccessPolicy", "p",
                          Concat("{ appliesTo: ", applies_to, ", rules: [{ name: r, effect: deny, ",
                                 "from: ", from, " }] }"));
}

LoadResult LoadAll(const std::string& text) {
  const SourceFile file{.path = "f.yaml", .content = text};
  LoadResult loaded = Load({&file, 1});
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic);
  }
  return loaded;
}

std::vector<std::string> Found(const std::string& text) {
  LoadResult loaded = LoadAll(text);
  KnownNames known;
  known.Add(loaded);
  std::vector<std::string> out;
  for (const Diagnostic& finding : CheckReferences(loaded, known)) {
    EXPECT_EQ(finding.severity, Diagnostic::Severity::kWarning);
    EXPECT_GT(finding.where.line, 0u) << finding.message;
    out.push_back(finding.message);
  }
  return out;
}

const std::string kTest =
    "{ cases: [{ name: c, request: { caller: 'spiffe://shop.example/ns/prod/sa/CALLER', workload: "
    "'spiffe://shop.example/ns/prod/sa/WORKLOAD', method: GET, path: / }, expect: EXPECT }] }";

std::string CaseOf(std::string_view caller, std::string_view workload, std::string_view expect) {
  std::string spec = kTest;
  for (auto [word, value] : {std::pair<std::string_view, std::string_view>("CALLER", caller),
                             {"WORKLOAD", workload},
                             {"EXPECT", expect}}) {
    spec.replace(spec.find(word), word.size(), value);
  }
  return Set() + Document("PolicyTest", "t", spec);
}

TEST(ReferencesTest, ASlipInAnIdIsNamedWhereverItStands) {
  struct Row {
    const char* name;
    std::string document;
    const char* finding;
  };
  const Row rows[] = {
      {"appliesTo", Policy("{ id: 'spiffe://shop.example/ns/prod/sa/ordres' }", "anyone"),
       "policy shop/p: no registration gives out \"spiffe://shop.example/ns/prod/sa/ordres\" "
       "(did you mean \"spiffe://shop.example/ns/prod/sa/orders\"?)"},
      {"from", Policy("all", "[{ id: 'spiffe://shop.example/ns/prod/sa/wbe' }]"),
       "rule shop/p/r: no registration gives out \"spiffe://shop.example/ns/prod/sa/wbe\" "
       "(did you mean \"spiffe://shop.example/ns/prod/sa/web\"?)"},
      {"exception",
       Policy(
           "all",
           "[{ id: { present: true }, except: { id: 'spiffe://shop.example/ns/prod/sa/webb' } }]"),
       "(did you mean \"spiffe://shop.example/ns/prod/sa/web\"?)"},
      {"another segment", Policy("all", "[{ id: 'spiffe://shop.example/ns/prdo/sa/web' }]"),
       "(did you mean \"spiffe://shop.example/ns/prod/sa/web\"?)"},
      {"trust domain", Policy("all", "[{ id: 'spiffe://shop.exmaple/ns/prod/sa/any' }]"),
       "(did you mean trust domain \"shop.example\"?)"},
      {"a sibling like no other",
       Policy("all", "[{ id: 'spiffe://shop.example/ns/prod/sa/inventory' }]"),
       "no registration gives out \"spiffe://shop.example/ns/prod/sa/inventory\""},
      {"identity set",
       Policy("all", "[{ identitySet: s }]") +
           Document("IdentitySet", "s", "{ ids: ['spiffe://shop.example/ns/prod/sa/bilings'] }"),
       "sa/billing\"?)"},
      {"assertion's workloads",
       Set() + Document("PolicyAssertion", "a",
                        "{ workloads: { id: 'spiffe://shop.example/ns/prod/sa/billng' }, never: { "
                        "from: anyone } }"),
       "assertion \"a\": no registration gives out"},
      {"assertion's callers",
       Set() + Document("PolicyAssertion", "a",
                        "{ only: { from: [{ id: 'spiffe://shop.example/ns/prod/sa/wbe' }] } }"),
       "sa/web\"?)"},
      {"test's workload", CaseOf("web", "ordres", "deny"), "test \"c\": no registration gives out"},
      {"test's caller", CaseOf("wbe", "orders", "allow"), "sa/web\"?)"},
  };
  for (const Row& row : rows) {
    EXPECT_THAT(Found(kRegistrations + row.document), ElementsAre(HasSubstr(row.finding)))
        << row.name;
    EXPECT_THAT(Found(row.document), IsEmpty()) << row.name << " without registrations";
  }
}

TEST(ReferencesTest, WhatIsRegisteredOrNotOursToKnowIsLeftAlone) {
  for (const char* from :
       {"spiffe://shop.example/ns/prod/sa/web", "spiffe://shop.example/people/ana",
        "spiffe://partner.example/ns/prod/sa/web", "spiffe://shop.example/ns/stage/sa/web"}) {
    EXPECT_THAT(Found(kRegistrations + Policy("all", Concat("[{ id: '", from, "' }]"))), IsEmpty())
        << from;
  }
  EXPECT_THAT(Found(kRegistrations +
                    Policy("all", "[{ id: { under: 'spiffe://shop.example/ns/prod/sa/wbe' } }]")),
              IsEmpty());
  // A stranger on purpose.
  EXPECT_THAT(Found(kRegistrations + CaseOf("web2", "orders", "deny")), IsEmpty());
  // Words of two letters are near to everything.
  EXPECT_THAT(Found(Registered("a", "spiffe://shop.example/db/x") +
                    Policy("all", "[{ id: 'spiffe://shop.example/cb/x' }]")),
              IsEmpty());
}

TEST(ReferencesTest, AnIdIsNamedOnceAFile) {
  std::string from = "[{ id: 'spiffe://shop.example/ns/prod/sa/wbe' }]";
  EXPECT_THAT(Found(kRegistrations + Policy("all", from) +
                    Document("AccessPolicy", "q",
                             Concat("{ appliesTo: all, rules: [{ name: r, effect: deny, from: ",
                                    from, " }] }"))),
              ElementsAre(HasSubstr("rule shop/p/r")));
}

const std::string kService = Document(
    "Service", "ordres",
    "{ workload: { id: 'spiffe://shop.example/ns/prod/sa/ordres' }, ports: [{ name: http, "
    "protocol: "
    "http, listen: '127.0.0.1:8443', application: '127.0.0.1:80' }], reach: [{ from: [{ id: "
    "'spiffe://shop.example/ns/prod/sa/wbe' }], listen: '127.0.0.1:18443', port: http }] }");
const std::string kRoute =
    Document("Route", "r", "{ service: orders, rules: [{ timeout: { request: 1s } }] }");

TEST(ReferencesTest, ServicesAndRoutesNameWhatIsThere) {
  EXPECT_THAT(Found(kRegistrations + kService + kRoute),
              ElementsAre(AllOf(HasSubstr("service ordres: no registration gives out the ID"),
                                HasSubstr("nobody can serve it yet (did you mean")),
                          AllOf(HasSubstr("service ordres, reach: "), HasSubstr("sa/web\"?)")),
                          HasSubstr("route r: there is no service \"orders\" yet")));
  EXPECT_THAT(Found(kService), IsEmpty());
  EXPECT_THAT(Found(kRoute), IsEmpty());
}

TEST(ReferencesTest, WhoKnowsEverythingMissesWhatNoFileHas) {
  LoadResult loaded = LoadAll(kService + kRoute);
  KnownNames known;
  known.extent = KnownNames::Extent::kEverything;
  known.services.insert("another");
  EXPECT_EQ(CheckReferences(loaded, known).size(), 2u);
  known.services.insert("orders");
  known.workload_ids.insert("spiffe://shop.example/ns/prod/sa/ordres");
  known.workload_ids.insert("spiffe://shop.example/ns/prod/sa/wbe");
  EXPECT_THAT(CheckReferences(loaded, known), IsEmpty());
}

TEST(ReferencesTest, LongIdsAndManyFindingsAreBounded) {
  std::string id = "spiffe://shop.example";
  for (size_t i = 0; i < 900; ++i) {
    id += "/a";
  }
  std::string entries;
  for (size_t i = 0; i < 300; ++i) {
    entries += Concat(entries.empty() ? "" : ", ", "'", id, "/n", i, "'");
  }
  LoadResult loaded = LoadAll(Policy("all", Concat("[{ id: [", entries, "] }]")));
  KnownNames known;
  known.workload_ids.insert(id + "/web");
  std::clock_t start = std::clock();
  EXPECT_EQ(CheckReferences(loaded, known).size(), LoaderLimits::kDiagnosticsMax);
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 2.0);
}

}  // namespace
}  // namespace countersign::authz
