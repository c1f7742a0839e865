// What good policy documents mean in types.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/kinds/boxes.h"
#include "authz/model/ip_text.h"
#include "tests/authz/kinds/load_helper.h"

namespace countersign::authz {
namespace {

const Rule& OnlyRule(const std::shared_ptr<const PolicySet>& set) {
  static const Rule kNone;
  EXPECT_EQ(set->policies.size(), 1u);
  bool one = set->policies.size() == 1 && set->policies[0].rules.size() == 1;
  EXPECT_TRUE(one);
  return one ? set->policies[0].rules[0] : kNone;
}

Matcher OnlyMatcher(const std::string& text) {
  auto set = OnlySet(text);
  const Rule& rule = OnlyRule(set);
  const std::vector<Entry>& entries = rule.from.empty() ? rule.to : rule.from;
  if (!rule.when.empty()) {
    return rule.when[0].any_of.at(0);
  }
  EXPECT_EQ(entries.size(), 1u) << text;
  return entries.empty() ? Matcher() : entries[0].all_of.at(0).any_of.at(0);
}

TEST(PolicyMeaningTest, EachFormOfAPredicate) {
  using Kind = Matcher::Kind;
  struct Row {
    const char* name;
    std::string text;
    Kind kind;
    std::string value;
  };
  const Row rows[] = {
      {"literal id", WithFrom("[{ id: spiffe://td/a }]"), Kind::kExact, "spiffe://td/a"},
      {"ids below", WithFrom("[{ id: { under: spiffe://td } }]"), Kind::kUnder, "spiffe://td"},
      {"id by prefix", WithFrom("[{ id: { prefix: spiffe://td/a- } }]"), Kind::kPrefix,
       "spiffe://td/a-"},
      {"id by suffix", WithFrom("[{ id: { suffix: /sa/web } }]"), Kind::kSuffix, "/sa/web"},
      {"id by pattern", WithFrom("[{ id: { re2: 'spiffe://td/[a-z]+' } }]"), Kind::kRe2,
       "spiffe://td/[a-z]+"},
      {"no identity", WithFrom("[{ id: { present: false } }]"), Kind::kAbsent, ""},
      {"some identity", WithFrom("[{ id: { present: true } }]"), Kind::kPresent, ""},
      {"literal path", WithTo("{ path: /orders }"), Kind::kExact, "/orders"},
      {"root", WithTo("{ path: / }"), Kind::kExact, "/"},
      {"last slash", WithTo("{ path: /a/ }"), Kind::kExact, "/a/"},
      {"template", WithTo("{ path: '/orders/{id}' }"), Kind::kTemplate, "/orders/{id}"},
      {"template and below", WithTo("{ path: '/o/{id}/**' }"), Kind::kTemplate, "/o/{id}/**"},
      {"double star is under", WithTo("{ path: /x/** }"), Kind::kUnder, "/x"},
      {"everything", WithTo("{ path: /** }"), Kind::kUnder, "/"},
      {"braces by exact", WithTo("{ path: { exact: '/a/{b}' } }"), Kind::kExact, "/a/{b}"},
      {"star by exact", WithTo("{ path: { exact: '/a/*' } }"), Kind::kExact, "/a/*"},
      {"upper-case escape", WithTo("{ path: /a%2Fb }"), Kind::kExact, "/a%2Fb"},
      {"header", WithWhen("{ headers: { X-Tenant: 010 } }"), Kind::kExact, "010"},
      {"query", WithWhen("{ query: { page: 'yes' } }"), Kind::kExact, "yes"},
      {"method", WithTo("{ methods: GET }"), Kind::kExact, "GET"},
      {"protocol", WithTo("{ protocol: tcp }"), Kind::kExact, "tcp"},
      {"host", WithTo("{ host: { suffix: .shop } }"), Kind::kSuffix, ".shop"},
      {"sni", WithTo("{ sni: orders }"), Kind::kExact, "orders"},
      {"trust domain", WithFrom("[{ trustDomain: partner.example }]"), Kind::kExact,
       "partner.example"},
  };
  for (const Row& row : rows) {
    Matcher matcher = OnlyMatcher(row.text);
    EXPECT_EQ(static_cast<int>(matcher.kind), static_cast<int>(row.kind)) << row.name;
    EXPECT_EQ(matcher.text, row.value) << row.name;
  }
}

TEST(PolicyMeaningTest, RangesAreMaskedAndIpv4IsMapped) {
  struct Row {
    const char* text;
    const char* meaning;
    int bits;
  };
  for (const Row& row :
       {Row{"10.9.8.7/16", "10.9.0.0/16", 112}, Row{"10.1.2.3", "10.1.2.3/32", 128},
        Row{"0.0.0.0/0", "0.0.0.0/0", 96}, Row{"'fd00::5/8'", "fd00::/8", 8},
        Row{"'::ffff:10.1.2.3/104'", "10.0.0.0/8", 104}, Row{"'::/0'", "::/0", 0},
        Row{"255.255.255.255/1", "128.0.0.0/1", 97}}) {
    Matcher matcher = OnlyMatcher(WithFrom(Concat("[{ peerIp: ", row.text, " }]")));
    EXPECT_EQ(matcher.kind, Matcher::Kind::kIp);
    EXPECT_EQ(FormatIpRange(matcher.range), row.meaning);
    EXPECT_EQ(matcher.range.prefix_bits, row.bits) << row.text;
  }
}

TEST(PolicyMeaningTest, WordsForFrom) {
  EXPECT_EQ(OnlyRule(OnlySet(WithFrom("anyone"))).subject, Subject::kAnyone);
  EXPECT_EQ(OnlyRule(OnlySet(WithFrom("authenticated"))).subject, Subject::kAuthenticated);
  EXPECT_EQ(OnlyRule(OnlySet(WithFrom("mesh"))).subject, Subject::kMesh);
  EXPECT_EQ(OnlyRule(OnlySet(WithFrom("[{ id: spiffe://td/a }]"))).subject, Subject::kEntries);
}

TEST(PolicyMeaningTest, KeysOfAnEntryAreConditionsInTheOrderOfFields) {
  auto set = OnlySet(WithTo("{ path: [/a, /b], methods: [GET, HEAD], port: 80, protocol: http }"));
  const Rule& rule = OnlyRule(set);
  ASSERT_EQ(rule.to.size(), 1u);
  std::vector<Field> fields;
  for (const Condition& condition : rule.to[0].all_of) {
    fields.push_back(condition.field);
  }
  EXPECT_THAT(fields,
              testing::ElementsAre(Field::kPort, Field::kProtocol, Field::kMethod, Field::kPath));
  EXPECT_EQ(rule.to[0].all_of[3].any_of.size(), 2u);
  EXPECT_EQ(rule.to[0].all_of[0].any_of[0].port, 80);
}

TEST(PolicyMeaningTest, ExceptSubtractsFromItsOwnEntry) {
  auto set =
      OnlySet(WithFrom("[{ id: spiffe://td/a, except: { peerIp: 10.0.0.0/8 } },"
                       " { id: { under: spiffe://td/b }, except: [{ id: spiffe://td/b/x }, { "
                       "peerIp: 10.0.0.1 }] }]"));
  const Rule& rule = OnlyRule(set);
  ASSERT_EQ(rule.from.size(), 2u);  // Entries stand in the order of their canonical JSON.
  EXPECT_EQ(rule.from[0].except.size(), 2u);
  EXPECT_EQ(rule.from[1].except.size(), 1u);
}

TEST(PolicyMeaningTest, GrpcMeansItsPathAndPost) {
  auto set = OnlySet(WithTo("{ grpc: { service: shop.Orders, methods: [List, Get] } }"));
  const Rule& rule = OnlyRule(set);
  ASSERT_EQ(rule.to.at(0).all_of.size(), 2u);
  const Condition& method = rule.to[0].all_of[0];
  const Condition& path = rule.to[0].all_of[1];
  EXPECT_EQ(method.field, Field::kMethod);
  EXPECT_EQ(method.any_of.at(0).text, "POST");
  EXPECT_EQ(path.field, Field::kPath);
  ASSERT_EQ(path.any_of.size(), 2u);
  EXPECT_EQ(path.any_of[0].text, "/shop.Orders/Get");
  auto whole = OnlySet(WithTo("{ grpc: { service: shop.Orders } }"));
  EXPECT_EQ(OnlyRule(whole).to.at(0).all_of[1].any_of.at(0).kind, Matcher::Kind::kTemplate);
}

TEST(PolicyMeaningTest, HeaderNamesAreLowerCaseAndManyIsKept) {
  auto set = OnlySet(WithWhen("{ headers: { X-Tags: { prefix: a, many: true } } }"));
  const Rule& rule = OnlyRule(set);
  ASSERT_EQ(rule.when.size(), 1u);
  EXPECT_EQ(rule.when[0].key, "x-tags");
  EXPECT_TRUE(rule.when[0].many);
  EXPECT_EQ(rule.when[0].field, Field::kHeader);
}

TEST(PolicyMeaningTest, IdentitySetsAreResolvedWithinTheSet) {
  std::string text = WithFrom("[{ identitySet: [auditors, ops], peerIp: 10.0.0.0/8 }]") +
                     "---\napiVersion: countersign.dev/v1alpha1\nkind: IdentitySet\n"
                     "metadata: { name: auditors }\nspec: { ids: [spiffe://td/ana, { under: "
                     "spiffe://td/audit }] }\n"
                     "---\napiVersion: countersign.dev/v1alpha1\nkind: IdentitySet\n"
                     "metadata: { name: ops }\nspec: { ids: [{ id: spiffe://td/bo }] }\n"
                     "---\napiVersion: countersign.dev/v1alpha1\nkind: IdentitySet\n"
                     "metadata: { name: rest }\nspec: { ids: [spiffe://td/cy] }\n";
  auto set = OnlySet(text);
  const Rule& rule = OnlyRule(set);
  ASSERT_EQ(rule.from.at(0).all_of.size(), 2u);
  EXPECT_EQ(rule.from[0].all_of[0].any_of.size(), 3u);
  ASSERT_EQ(set->identity_sets.size(), 3u);
  EXPECT_TRUE(set->identity_sets[0].used);
  EXPECT_FALSE(set->identity_sets[2].used);
  EXPECT_EQ(set->identity_sets[2].where.line, 26u);
}

TEST(PolicyMeaningTest, TrialsAndDates) {
  auto set = OnlySet(Concat(kSetHead,
                            "  appliesTo: [{ id: spiffe://td/a }, { under: spiffe://td/b }]\n"
                            "  dryRun: true\n"
                            "  unmatched: { dryRun: true, until: 2027-01-31 }\n"
                            "  rules:\n    - name: r\n      effect: allow\n"
                            "      from: mesh\n      expires: 2027-01-31T12:00:00Z\n"));
  const AccessPolicy& policy = set->policies.at(0);
  EXPECT_TRUE(policy.dry_run);
  EXPECT_FALSE(policy.applies_to_all);
  EXPECT_EQ(policy.applies_to.size(), 2u);
  EXPECT_EQ(FormatTime(policy.unmatched_dry_run_until.value()), "2027-01-31T00:00:00.000Z");
  EXPECT_EQ(FormatTime(policy.rules.at(0).expires.value()), "2027-01-31T12:00:00.000Z");
  EXPECT_EQ(policy.rules[0].where.line, 14u);
}

TEST(PolicyMeaningTest, EntriesThatDifferInOneCoordinateAreOneBox) {
  std::string from = "[";
  for (int i = 0; i < 300; ++i) {
    from += Concat("{ id: spiffe://td/a", i, ", peerIp: 10.0.0.0/8 },");
  }
  auto set = OnlySet(WithFrom(from + "]"));
  const Rule& rule = OnlyRule(set);
  ASSERT_EQ(rule.from.size(), 1u);
  EXPECT_EQ(rule.from[0].all_of[0].any_of.size(), 300u);
  EXPECT_EQ(BoxCount(rule.from, rule.to), 1u);
}

TEST(PolicyMeaningTest, PredicatesWithManyDoNotMerge) {
  // Every value below a, or every value below b, is not every value below a or b.
  Condition a{Field::kHeader, "x", {{Matcher::Kind::kPrefix, "a", {}, 0}}, true, {}};
  Condition b{Field::kHeader, "x", {{Matcher::Kind::kPrefix, "b", {}, 0}}, true, {}};
  std::vector<Entry> entries = {{{a}, {}, {}}, {{b}, {}, {}}};
  MergeEntries(entries);
  EXPECT_EQ(entries.size(), 2u);
}

TEST(PolicyMeaningTest, SixtyFourBoxesAreAllowed) {
  std::string from = "[";
  for (int i = 0; i < 64; ++i) {
    from += Concat("{ id: spiffe://td/a", i, ", peerIp: 10.0.0.", i, " },");
  }
  const Rule rule = OnlyRule(OnlySet(WithFrom(from + "]")));
  EXPECT_EQ(BoxCount(rule.from, rule.to), 64u);
}

TEST(PolicyMeaningTest, ExceptionsOfSeveralKeysSplitTheirEntry) {
  auto set =
      OnlySet(WithFrom("[{ id: { under: spiffe://td }, except: [{ id: spiffe://td/a, peerIp: "
                       "10.0.0.1 }, { id: spiffe://td/b, peerIp: 10.0.0.2 }] }]"));
  EXPECT_EQ(BoxCount(OnlyRule(set).from, OnlyRule(set).to), 4u);
}

TEST(PolicyMeaningTest, AGuardrailCoversEverything) {
  auto set = OnlySet(
      "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: g }\n"
      "spec: { owner: { id: spiffe://td/ana }, guardrail: true }\n");
  EXPECT_TRUE(set->guardrail);
  EXPECT_EQ(set->scope.kind, Matcher::Kind::kPresent);
  EXPECT_EQ(set->owner, "spiffe://td/ana");
}

TEST(PolicyMeaningTest, ATestCarriesItsRequest) {
  auto set =
      OnlySet(WithFrom("anyone") +
              "---\napiVersion: countersign.dev/v1alpha1\nkind: PolicyTest\n"
              "metadata: { name: t }\nspec:\n  cases:\n    - name: all of it\n"
              "      request: { caller: spiffe://td/a, workload: spiffe://td/b, peerIp: 10.1.2.3,\n"
              "        port: 8443, sni: o, method: GET, host: o, path: /x, query: { page: 2 },\n"
              "        headers: { X-A: [b, a, b] } }\n"
              "      expect: allow\n      rule: shop/p/r\n");
  ASSERT_EQ(set->tests.size(), 1u);
  const PolicyTestCase& test = set->tests[0];
  EXPECT_EQ(test.request.caller, "spiffe://td/a");
  EXPECT_EQ(test.request.peer_ip, "10.1.2.3");
  EXPECT_EQ(test.request.port, 8443);
  EXPECT_EQ(test.expect, Effect::kAllow);
  EXPECT_EQ(test.rule, "shop/p/r");
  EXPECT_THAT(test.request.headers,
              testing::ElementsAre(testing::Pair("x-a", "b"), testing::Pair("x-a", "a"),
                                   testing::Pair("x-a", "b")));
  EXPECT_THAT(test.request.query, testing::ElementsAre(testing::Pair("page", "2")));
}

}  // namespace
}  // namespace countersign::authz
