// Semantics 13: the digest knows meaning and names, and nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "base/crypto/hash.h"
#include "tests/authz/kinds/load_helper.h"

namespace countersign::authz {
namespace {

constexpr std::string_view kDocuments[] = {
    R"(apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: shop }
spec:
  owner: { id: spiffe://td/ana }
  scope: { under: spiffe://td/ns }
)",
    R"(apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: orders }
spec:
  appliesTo: [{ id: spiffe://td/ns/a }, { under: spiffe://td/ns/b }]
  rules:
    - name: reads
      effect: allow
      from:
        - { id: [spiffe://td/x, spiffe://td/y], except: [{ peerIp: 10.9.0.0/16 }, { peerIp: 10.8.0.0/16 }] }
        - { identitySet: auditors, peerIp: 10.0.0.0/8 }
      to:
        - { methods: [GET, HEAD], path: ["/orders/{id}", { under: /public }] }
        - { grpc: { service: shop.Orders, methods: [Get, List] } }
      when: { headers: { x-tenant: { re2: "[a-z]+" }, x-b: b }, query: { page: { present: true } } }
      expires: 2030-01-31
    - name: purges
      effect: deny
      from: anyone
      to: [{ protocol: http, methods: DELETE }]
)",
    R"(apiVersion: countersign.dev/v1alpha1
kind: IdentitySet
metadata: { name: auditors }
spec: { ids: [spiffe://td/ana, { under: spiffe://td/audit }] }
)",
    R"(apiVersion: countersign.dev/v1alpha1
kind: PolicyTest
metadata: { name: t }
spec:
  cases:
    - { name: one, request: { workload: spiffe://td/ns/a, method: GET, path: / }, expect: deny }
    - { name: two, request: { kind: tcp, workload: spiffe://td/ns/a, port: 80 }, expect: deny }
)"};

std::string Whole() {
  std::string text;
  for (std::string_view document : kDocuments) {
    text += Concat("---\n", document);
  }
  return text;
}

std::string Replace(std::string text, std::string_view from, std::string_view to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(DigestTest, FormattingDoesNotChangeIt) {
  struct Row {
    const char* name;
    const char* from;
    const char* to;
  };
  const Row rows[] = {
      {"comment", "      effect: allow", "      # why\n      effect: allow  # because"},
      {"quotes", "name: orders", "name: \"orders\""},
      {"block for flow", "{ identitySet: auditors, peerIp: 10.0.0.0/8 }",
       "identitySet:\n            - auditors\n          peerIp:\n            - 10.0.0.0/8"},
      {"order of keys", "methods: [GET, HEAD], path: [\"/orders/{id}\", { under: /public }]",
       "path: [\"/orders/{id}\", { under: /public }], methods: [GET, HEAD]"},
      {"order of a set", "[GET, HEAD]", "[HEAD, GET]"},
      {"order of ids", "[spiffe://td/x, spiffe://td/y]", "[spiffe://td/y, spiffe://td/x]"},
      {"order of predicates", "[\"/orders/{id}\", { under: /public }]",
       "[{ under: /public }, \"/orders/{id}\"]"},
      {"order of exceptions", "[{ peerIp: 10.9.0.0/16 }, { peerIp: 10.8.0.0/16 }]",
       "[{ peerIp: 10.8.0.0/16 }, { peerIp: 10.9.0.0/16 }]"},
      {"order of appliesTo", "[{ id: spiffe://td/ns/a }, { under: spiffe://td/ns/b }]",
       "[{ under: spiffe://td/ns/b }, spiffe://td/ns/a]"},
      {"doubles", "[GET, HEAD]", "[GET, HEAD, GET]"},
      {"one for a list", "methods: DELETE", "methods: [DELETE]"},
      {"bits beyond the prefix", "10.9.0.0/16", "10.9.8.7/16"},
      {"case of a header", "x-tenant:", "X-Tenant:"},
      {"default written out", "  scope:", "  guardrail: false\n  scope:"},
      {"default of a policy", "  appliesTo:", "  dryRun: false\n  appliesTo:"},
      {"kind of a request", "request: { workload", "request: { kind: http, workload"},
      {"midnight", "expires: 2030-01-31", "expires: 2030-01-31T00:00:00Z"},
      {"under by stars", "{ under: /public }", "/public/**"},
      {"id form", "ids: [spiffe://td/ana,", "ids: [{ id: spiffe://td/ana },"},
      {"exact form", "x-b: b", "x-b: { exact: b }"},
  };
  std::string digest = OnlySet(Whole())->digest;
  for (const Row& row : rows) {
    EXPECT_EQ(OnlySet(Replace(Whole(), row.from, row.to))->digest, digest) << row.name;
  }
}

TEST(DigestTest, EachChangeOfMeaningOrNameChangesIt) {
  struct Row {
    const char* from;
    const char* to;
  };
  const Row rows[] = {
      {"metadata: { name: shop }", "metadata: { name: shop2 }"},
      {"owner: { id: spiffe://td/ana }", "owner: { id: spiffe://td/bo }"},
      {"{ under: spiffe://td/ns }", "{ prefix: spiffe://td/ns }"},
      {"metadata: { name: orders }", "metadata: { name: order }"},
      {"appliesTo: [{ id: spiffe://td/ns/a }, ", "appliesTo: ["},
      {"appliesTo: [{ id: spiffe://td/ns/a }, { under: spiffe://td/ns/b }]", "appliesTo: all"},
      {"name: reads", "name: read"},
      {"effect: deny", "effect: allow"},
      {"[spiffe://td/x, spiffe://td/y]", "[spiffe://td/x]"},
      {"10.9.0.0/16", "10.9.0.0/17"},
      {", { peerIp: 10.8.0.0/16 }]", "]"},
      {"identitySet: auditors, peerIp: 10.0.0.0/8", "identitySet: auditors"},
      {"[GET, HEAD]", "[GET]"},
      {"/orders/{id}", "/orders/{name}"},
      {"/orders/{id}", "/orders/{id}/**"},
      {"{ under: /public }", "{ prefix: /public }"},
      {"{ under: /public }", "/public"},
      {"methods: [Get, List]", "methods: [Get]"},
      {"shop.Orders", "shop.Order"},
      {"re2: \"[a-z]+\"", "re2: \"[a-z]*\""},
      {"re2: \"[a-z]+\"", "re2: \"[a-z]+\", many: true"},
      {", x-b: b", ""},
      {"page: { present: true }", "page: { present: false }"},
      {"expires: 2030-01-31", "expires: 2030-02-01"},
      {"      expires: 2030-01-31\n", ""},
      {"from: anyone", "from: authenticated"},
      {"protocol: http, ", ""},
      {"to: [{ protocol: http, methods: DELETE }]",
       "to: [{ protocol: http }, { methods: DELETE }]"},
      {"  rules:", "  dryRun: true\n  rules:"},
      {"  rules:", "  unmatched: { dryRun: true, until: 2030-01-01 }\n  rules:"},
      {"{ under: spiffe://td/audit }", "{ under: spiffe://td/audi }"},
      {"metadata: { name: t }", "metadata: { name: u }"},
      {"{ name: one,", "{ name: first,"},
      {"port: 80", "port: 81"},
      {"path: / }, expect: deny", "path: / }, expect: allow"},
  };
  std::set<std::string> digests = {OnlySet(Whole())->digest};
  for (const Row& row : rows) {
    std::string digest = OnlySet(Replace(Whole(), row.from, row.to))->digest;
    EXPECT_TRUE(digests.insert(digest).second) << row.from << " -> " << row.to;
  }
}

TEST(DigestTest, OrderOfDocumentsAndFilesDoesNotChangeIt) {
  std::string digest = OnlySet(Whole())->digest;
  std::mt19937 random(1);
  std::vector<std::string_view> documents(std::begin(kDocuments), std::end(kDocuments));
  for (int round = 0; round < 20; ++round) {
    std::shuffle(documents.begin(), documents.end(), random);
    std::vector<SourceFile> files;
    for (std::string_view document : documents) {
      bool head = document.find("PolicySet") != std::string_view::npos;
      files.push_back(
          {Concat("d/", head ? "set" : Concat("f", files.size()), ".yaml"), std::string(document)});
    }
    LoadResult result = Load(files);
    ASSERT_EQ(result.sets.size(), 1u) << Findings(result);
    EXPECT_EQ(result.sets[0]->digest, digest);
  }
}

TEST(DigestTest, CanonicalDocumentsLoadToTheSameDigest) {
  auto set = OnlySet(Whole());
  auto stored = LoadPolicySet(set->canonical_documents);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ((*stored)->digest, set->digest);
  EXPECT_EQ((*stored)->canonical_documents, set->canonical_documents);
}

TEST(DigestTest, IsTheHashThatTheDocumentationDescribes) {
  auto set = OnlySet(
      "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: g }\n"
      "spec: { owner: { id: spiffe://td/ana }, guardrail: true }\n");
  std::string document =
      R"({"apiVersion":"countersign.dev/v1alpha1","kind":"PolicySet","metadata":{"name":"g"},)"
      R"("spec":{"guardrail":true,"owner":{"id":"spiffe://td/ana"}}})";
  ASSERT_EQ(set->canonical_documents, std::vector<std::string>{document});
  std::string hashed = "countersign-policy/1";
  hashed += '\0';
  EXPECT_EQ(set->digest, HexLower(Sha256(hashed + document + "\n")));
}

}  // namespace
}  // namespace countersign::authz
