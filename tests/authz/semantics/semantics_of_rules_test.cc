// What one rule admits and refuses: lines 2, 3 and 6 to 10 of the semantics, as authors write them.
#include <gmock/gmock.h>

#include "tests/authz/semantics/judge.h"

namespace countersign::authz::testing {
namespace {

TEST(Semantics2Test, FromToAndWhenAreAnded) {
  std::string rule =
      "from: [{ id: spiffe://td/a }], to: [{ path: /x }], when: { headers: { h: v } }";
  std::string all = "caller: spiffe://td/a, path: /x, headers: { h: v }";
  ExpectBorders({
      {"from", rule, all, "caller: spiffe://td/b, path: /x, headers: { h: v }"},
      {"to", rule, all, "caller: spiffe://td/a, path: /y, headers: { h: v }"},
      {"when", rule, all, "caller: spiffe://td/a, path: /x, headers: { h: w }"},
  });
}

TEST(Semantics2Test, EntriesAreOredKeysAreAndedValuesAreOred) {
  std::string entries =
      "from: [{ id: spiffe://td/a, peerIp: 10.0.0.1 }, { id: spiffe://td/b, peerIp: 10.0.0.2 }]";
  ExpectBorders({
      {"the first entry", entries, "caller: spiffe://td/a, peerIp: 10.0.0.1",
       "caller: spiffe://td/a, peerIp: 10.0.0.2"},
      {"the second entry", entries, "caller: spiffe://td/b, peerIp: 10.0.0.2",
       "caller: spiffe://td/b, peerIp: 10.0.0.1"},
      {"the first value", "from: anyone, to: [{ methods: [GET, PUT] }]", "method: GET",
       "method: POST"},
      {"the second value", "from: anyone, to: [{ methods: [GET, PUT] }]", "method: PUT",
       "method: GETPUT"},
      {"all headers of when", "from: anyone, when: { headers: { a: '1', b: '2' } }",
       "headers: { a: '1', b: '2' }", "headers: { a: '1' }"},
      {"headers and query", "from: anyone, when: { headers: { a: '1' }, query: { q: x } }",
       "headers: { a: '1' }, query: { q: x }", "headers: { a: '1' }"},
  });
}

TEST(Semantics2Test, ExceptSubtractsFromItsOwnEntry) {
  std::string rule =
      "from: [{ id: { under: spiffe://td/a }, except: { peerIp: 10.9.0.0/16 } }, "
      "{ id: spiffe://td/b }]";
  ExpectBorders({
      {"its own entry", rule, "caller: spiffe://td/a/x, peerIp: 10.8.0.1",
       "caller: spiffe://td/a/x, peerIp: 10.9.0.1"},
      {"not another's", rule, "caller: spiffe://td/b, peerIp: 10.9.0.1",
       "caller: spiffe://td/c, peerIp: 10.8.0.1"},
      {"all keys of one exception",
       "from: [{ id: { under: spiffe://td }, except: { id: spiffe://td/a, peerIp: 10.9.0.0/16 } }]",
       "caller: spiffe://td/a, peerIp: 10.8.0.1", "caller: spiffe://td/a, peerIp: 10.9.0.1"},
      {"any of several exceptions",
       "from: [{ id: { under: spiffe://td }, except: [{ id: spiffe://td/a }, "
       "{ id: spiffe://td/b }] }]",
       "caller: spiffe://td/c", "caller: spiffe://td/b"},
      {"of an operation", "from: anyone, to: [{ path: /a/**, except: { path: /a/secret/** } }]",
       "path: /a/public", "path: /a/secret/x"},
  });
}

TEST(Semantics3Test, EachPredicateEndsWhereItSays) {
  auto path = [](std::string_view predicate) {
    return Concat("from: anyone, to: [{ path: ", predicate, " }]");
  };
  ExpectBorders({
      {"a literal", path("/orders"), "path: /orders", "path: /orders/"},
      {"a variable", path("'/orders/{id}'"), "path: /orders/7", "path: /orders/7/8"},
      {"a variable is not empty", path("'/orders/{id}'"), "path: /orders/x", "path: /orders/"},
      {"below", path("/files/**"), "path: /files", "path: /files-x"},
      {"below, deep", path("/files/**"), "path: /files/a/b", "path: /file"},
      {"under", path("{ under: /orders }"), "path: /orders/7", "path: /orders-admin"},
      {"under itself", path("{ under: /orders }"), "path: /orders", "path: /order"},
      {"prefix", path("{ prefix: /ord }"), "path: /orders-admin", "path: /or"},
      {"suffix", path("{ suffix: .css }"), "path: /a/b.css", "path: /a/b.css/x"},
      {"re2 is the whole field", path("{ re2: '/v[0-9]+' }"), "path: /v12", "path: /v12/x"},
      {"re2 from the beginning", path("{ re2: '/v' }"), "path: /v", "path: /x/v"},
      {"exact", path("{ exact: '/{id}' }"), "path: '/{id}'", "path: /7"},
      {"present", "from: anyone, to: [{ sni: { present: true } }]", "sni: a", "port: 1"},
      {"absent", "from: anyone, to: [{ sni: { present: false } }]", "port: 1", "sni: a"},
  });
}

TEST(Semantics3Test, UnderOnIdsEndsAtASegment) {
  std::string rule = "from: [{ id: { under: spiffe://td/ns/prod } }]";
  ExpectBorders({
      {"itself", rule, "caller: spiffe://td/ns/prod", "caller: spiffe://td/ns"},
      {"below", rule, "caller: spiffe://td/ns/prod/sa/a", "caller: spiffe://td/ns/prod-2/sa/a"},
      {"another domain", rule, "caller: spiffe://td/ns/prod/x", "caller: spiffe://tdx/ns/prod/x"},
  });
}

TEST(Semantics3Test, PatternsReadBytesAndADotMatchesALineFeed) {
  ExpectBorders({
      {"a letter of two bytes is two dots", "from: anyone, when: { headers: { h: { re2: '..' } } }",
       "headers: { h: \"\\u00e9\" }", "headers: { h: e }"},
      {"a line feed", "from: anyone, when: { query: { q: { re2: 'a.b' } } }",
       "query: { q: \"a\\nb\" }", "query: { q: ab }"},
  });
}

TEST(Semantics6Test, AnAbsentValueIsInNoPositivePredicate) {
  std::string allow_except =
      Allow("from: [{ id: { under: spiffe://td }, except: { peerIp: 10.9.0.0/16 } }]");
  std::string deny_except =
      Deny("from: [{ id: { under: spiffe://td }, except: { peerIp: 10.9.0.0/16 } }]");
  ExpectVerdicts({
      {"an allow on it", Allow("from: [{ peerIp: 10.0.0.0/8 }]"), "", std::string(kUnmatched)},
      {"a deny on it", Deny("from: [{ peerIp: 10.0.0.0/8 }]"), "", std::string(kSpared)},
      {"an exception that cannot be judged excludes from an allow", allow_except,
       "caller: spiffe://td/a", std::string(kUnmatched)},
      {"and saves nobody from a deny", deny_except, "caller: spiffe://td/a", std::string(kDenied)},
      {"an exception that can be judged does not exclude", allow_except,
       "caller: spiffe://td/a, peerIp: 10.8.0.1", std::string(kAllowed)},
      {"and one that holds saves from a deny", deny_except,
       "caller: spiffe://td/a, peerIp: 10.9.0.1", std::string(kSpared)},
      {"an absent header in an allow",
       Allow("from: anyone, when: { headers: { h: { prefix: a } } }"), "", std::string(kUnmatched)},
      {"an absent header in a deny", Deny("from: anyone, when: { headers: { h: { prefix: a } } }"),
       "", std::string(kSpared)},
  });
}

TEST(Semantics6Test, WordsSayWhetherCallersWithoutIdentityAreMeant) {
  ExpectVerdicts({
      {"anyone, anonymous", Allow("from: anyone"), "", std::string(kAllowed)},
      {"authenticated, anonymous", Allow("from: authenticated"), "", std::string(kUnmatched)},
      {"authenticated, foreign", Allow("from: authenticated"), "caller: spiffe://other/a",
       std::string(kAllowed)},
      {"mesh, anonymous", Allow("from: mesh"), "", std::string(kUnmatched)},
      {"mesh, foreign", Allow("from: mesh"), "caller: spiffe://other/a", std::string(kUnmatched)},
      {"mesh, a domain that begins alike", Allow("from: mesh"), "caller: spiffe://td2/a",
       std::string(kUnmatched)},
      {"mesh, own", Allow("from: mesh"), "caller: spiffe://td/a", std::string(kAllowed)},
      {"present: false, anonymous", Allow("from: [{ id: { present: false } }]"), "",
       std::string(kAllowed)},
      {"present: false, known", Allow("from: [{ id: { present: false } }]"),
       "caller: spiffe://td/a", std::string(kUnmatched)},
      {"present: true, anonymous", Allow("from: [{ id: { present: true } }]"), "",
       std::string(kUnmatched)},
  });
}

TEST(Semantics7Test, ANamedKeyOccursOnceUnlessItSaysMany) {
  std::string once = "from: anyone, when: { headers: { h: { prefix: a } } }";
  std::string many = "from: anyone, when: { headers: { h: { prefix: a, many: true } } }";
  std::string query = "from: anyone, when: { query: { q: a } }";
  ExpectVerdicts({
      {"twice", Allow(once), "headers: { h: [a, ab] }", "deny (ambiguous_field)"},
      {"twice, of a deny that is not met", Deny(once), "headers: { h: [b, b] }",
       "deny (ambiguous_field)"},
      {"once", Allow(once), "headers: { h: ab }", std::string(kAllowed)},
      {"another key twice", Allow(once), "headers: { h: a, g: [a, b] }", std::string(kAllowed)},
      {"a query key twice", Allow(query), "query: { q: [a, a] }", "deny (ambiguous_field)"},
      {"many, all match", Allow(many), "headers: { h: [a, ab] }", std::string(kAllowed)},
      {"many, one does not", Allow(many), "headers: { h: [a, b] }", std::string(kUnmatched)},
      {"many, none there", Allow(many), "", std::string(kUnmatched)},
      {"many in a deny, any matches", Deny(many), "headers: { h: [b, a] }", std::string(kDenied)},
      {"many in a deny, none matches", Deny(many), "headers: { h: [b, c] }", std::string(kSpared)},
      {"a header's name has no case", Allow("from: anyone, when: { headers: { X-Tenant: a } }"),
       "headers: { x-tenant: a }", std::string(kAllowed)},
  });
}

TEST(Semantics8Test, OnATcpPortHttpFieldsNarrowAllowsAndWidenDenies) {
  std::string tcp = "kind: tcp, port: 5432, caller: spiffe://td/a";
  ExpectVerdicts({
      {"an allow with a path", Allow("from: anyone, to: [{ path: /** }]"), tcp,
       std::string(kUnmatched)},
      {"an allow with an HTTP exception",
       Allow("from: anyone, to: [{ port: 5432, except: { path: /x } }]"), tcp,
       std::string(kUnmatched)},
      {"an allow by port", Allow("from: anyone, to: [{ port: 5432 }]"), tcp, std::string(kAllowed)},
      {"an allow by another port", Allow("from: anyone, to: [{ port: 5433 }]"), tcp,
       std::string(kUnmatched)},
      {"a deny with a path closes the port", Deny("from: anyone, to: [{ path: /admin/** }]"), tcp,
       std::string(kDenied)},
      {"with a header too", Deny("from: anyone, when: { headers: { h: v } }"), tcp,
       std::string(kDenied)},
      {"to its callers only", Deny("from: [{ id: spiffe://td/b }], to: [{ path: /x }]"), tcp,
       std::string(kSpared)},
      {"an HTTP exception saves no raw connection",
       Deny("from: anyone, to: [{ port: 5432, except: { methods: GET } }]"), tcp,
       std::string(kDenied)},
      {"protocol: http spares it", Deny("from: anyone, to: [{ protocol: http, path: /admin/** }]"),
       tcp, std::string(kSpared)},
      {"protocol: tcp means it", Deny("from: anyone, to: [{ protocol: tcp }]"), tcp,
       std::string(kDenied)},
  });
}

TEST(Semantics9Test, EachFieldIsACoordinateOfItsOwn) {
  ExpectBorders({
      {"id", "from: [{ id: spiffe://td/a }]", "caller: spiffe://td/a", "caller: spiffe://td/a/b"},
      {"trustDomain", "from: [{ trustDomain: other }]", "caller: spiffe://other/a",
       "caller: spiffe://other2/a"},
      {"peerIp", "from: [{ peerIp: 10.0.0.0/8 }]", "peerIp: 10.255.255.255", "peerIp: 11.0.0.0"},
      {"peerIp of IPv6", "from: [{ peerIp: 'fd00::/8' }]", "peerIp: 'fdff::1'",
       "peerIp: 'fe00::1'"},
      {"methods", "from: anyone, to: [{ methods: GET }]", "method: GET", "method: HEAD"},
      {"path", "from: anyone, to: [{ path: /a }]", "path: /a", "path: /A"},
      {"host", "from: anyone, to: [{ host: orders }]", "host: 'ORDERS.:8443'", "host: orders2"},
      {"port", "from: anyone, to: [{ port: 8443 }]", "port: 8443", "port: 8444"},
      {"sni", "from: anyone, to: [{ sni: orders }]", "sni: Orders", "sni: orders2"},
      {"protocol", "from: anyone, to: [{ protocol: http }]", "path: /", "kind: tcp"},
      {"grpc means its path", "from: anyone, to: [{ grpc: { service: a.B, methods: Get } }]",
       "method: POST, path: /a.B/Get", "method: POST, path: /a.B/GetAll"},
      {"grpc means POST", "from: anyone, to: [{ grpc: { service: a.B, methods: Get } }]",
       "method: POST, path: /a.B/Get", "method: GET, path: /a.B/Get"},
      {"grpc without methods is all of them", "from: anyone, to: [{ grpc: { service: a.B } }]",
       "method: POST, path: /a.B/Any", "method: POST, path: /a.B/Any/More"},
      {"headers", "from: anyone, when: { headers: { h: v } }", "headers: { h: v }",
       "headers: { g: v }"},
      {"query", "from: anyone, when: { query: { q: v } }", "query: { q: v }", "query: { Q: v }"},
  });
}

TEST(Semantics10Test, WhatIsJudgedIsTheCanonicalPath) {
  std::string rule = "from: anyone, to: [{ path: /admin/** }]";
  for (std::string_view spelling : {"/admin/x", "/%61dmin/x", "//admin///x", "/a/../admin/x",
                                    "/./admin/./x", "/admin/%78", "/../admin/x"}) {
    EXPECT_EQ(Judge(Deny(rule), Concat("path: '", spelling, "'")), kDenied) << spelling;
    EXPECT_EQ(Judge(Allow(rule), Concat("path: '", spelling, "'")), kAllowed) << spelling;
  }
  for (std::string_view refused :
       {"/admin%2Fx", "/admin%5Cx", "/admin%00", "/admin\\x", "/admin;x", "/admin#x", "/a%zz"}) {
    EXPECT_THAT(Judge(Allow("from: anyone"), Concat("path: '", refused, "'")),
                ::testing::StartsWith("deny (bad_request"))
        << refused;
  }
}

}  // namespace
}  // namespace countersign::authz::testing
