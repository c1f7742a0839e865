// ExtAuthz takes and gives the bytes of Envoy's messages; the wire itself is in
// ext_authz_service_test.cc.
#include "pdp/ext_authz.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/model/ip_text.h"
#include "base/crypto/hash.h"
#include "envoy/ext_authz.pb.h"
#include "tests/pdp/pdp_folder.h"
#include "tests/support/policy_generator.h"

namespace countersign::pdp {
namespace {

namespace wire = envoy::service::auth::v3;
using testing::HasSubstr;
using testing::Not;

class ExtAuthzTest : public testing::Test {
 protected:
  void Load(std::string_view policy) {
    folder_.Write("shop.yaml", policy);
    source_ = PolicySource::Start(folder_.policies(), Clock::System(), limits_);
    decisions_ = std::make_unique<DecisionPoint>(*source_, Clock::System(), limits_);
    Serve({*identity::SpiffeId::Parse(kOrders), false});
  }
  void SetUp() override { Load(kShop); }
  void Serve(ExtAuthzOptions options) {
    checks_ = std::make_unique<ExtAuthz>(*decisions_, std::move(options), limits_);
  }

  static wire::CheckRequest Request(std::string_view method, std::string_view path,
                                    std::string_view caller = kWeb) {
    wire::CheckRequest request;
    wire::AttributeContext& attributes = *request.mutable_attributes();
    attributes.mutable_source()->mutable_principal()->assign(caller);
    wire::AttributeContext::HttpRequest& http = *attributes.mutable_request()->mutable_http();
    http.mutable_method()->assign(method);
    http.mutable_path()->assign(path);
    http.set_host("orders.shop.internal");
    return request;
  }
  static void AddJoined(wire::CheckRequest& request, std::string_view name,
                        std::string_view value) {
    wire::MapEntry& entry =
        *request.mutable_attributes()->mutable_request()->mutable_http()->add_headers();
    entry.mutable_key()->assign(name);
    entry.mutable_value()->assign(value);
  }
  static void AddLine(wire::CheckRequest& request, std::string_view name, std::string_view value) {
    wire::HeaderValue& header = *request.mutable_attributes()
                                     ->mutable_request()
                                     ->mutable_http()
                                     ->mutable_header_map()
                                     ->add_headers();
    header.mutable_key()->assign(name);
    header.mutable_raw_value()->assign(value);
  }
  static void AddContext(wire::CheckRequest& request, std::string_view key,
                         std::string_view value) {
    wire::MapEntry& entry = *request.mutable_attributes()->add_context_extensions();
    entry.mutable_key()->assign(key);
    entry.mutable_value()->assign(value);
  }

  wire::CheckResponse Send(std::string_view bytes) {
    wire::CheckResponse response;
    EXPECT_TRUE(response.ParseFromString(checks_->Check(bytes)));
    return response;
  }
  wire::CheckResponse Ask(const wire::CheckRequest& request) {
    return Send(request.SerializeAsString());
  }
  // "allow", "403", or "400" and its reason.
  std::string Verdict(const wire::CheckRequest& request) { return Verdict(Ask(request)); }
  static std::string Verdict(const wire::CheckResponse& response) {
    if (response.status().code() == 0) {
      return response.has_ok_response() ? "allow" : "neither";
    }
    const std::string& body = response.denied_response().body();
    const size_t reason = body.find("\"reason\":\"");
    const std::string status = Concat(response.denied_response().status().code());
    return reason == std::string::npos
               ? status
               : Concat(status, " ", body.substr(reason + 10, body.rfind('"') - reason - 10));
  }

  PdpFolder folder_;
  PdpLimits limits_;
  std::unique_ptr<PolicySource> source_;
  std::unique_ptr<DecisionPoint> decisions_;
  std::unique_ptr<ExtAuthz> checks_;
};

TEST_F(ExtAuthzTest, AnAllowCarriesTheDecisionsIdInPlaceOfWhatTheClientSent) {
  wire::CheckRequest request = Request("GET", "/orders/7");
  AddLine(request, "x-countersign-decision", "spoofed");
  const wire::CheckResponse response = Ask(request);
  ASSERT_EQ(Verdict(response), "allow");
  ASSERT_EQ(response.ok_response().headers_size(), 1);
  const wire::HeaderValueOption& header = response.ok_response().headers(0);
  EXPECT_EQ(header.header().key(), "x-countersign-decision");
  EXPECT_THAT(header.header().value(), testing::MatchesRegex("[0-9a-f]{32}"));
  EXPECT_EQ(header.append_action(), wire::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
}

TEST_F(ExtAuthzTest, ADenialIs403AndTellsItsIdAndNothingMore) {
  const wire::CheckResponse response = Ask(Request("DELETE", "/orders/7"));
  EXPECT_EQ(response.status().code(), 7);
  EXPECT_EQ(response.denied_response().status().code(), 403);
  EXPECT_THAT(response.denied_response().body(),
              testing::MatchesRegex("\\{\"decision\":\"[0-9a-f]{32}\"\\}"));
}

TEST_F(ExtAuthzTest, TheCallerIsThePrincipalAndNothingElse) {
  EXPECT_EQ(Verdict(Request("GET", "/orders/7", "")), "403") << "anonymous";
  EXPECT_EQ(Verdict(Request("GET", "/public", "")), "allow") << "anyone may";
  for (std::string_view bad : {"CN=web", "web.shop.example", "spiffe://SHOP.example/ns/prod/sa/web",
                               "https://shop.example/web", "spiffe://shop.example/a/../b"}) {
    EXPECT_EQ(Verdict(Request("GET", "/public", bad)), "403") << bad;
  }
  wire::CheckRequest request = Request("GET", "/orders/7", "");
  AddLine(request, "x-forwarded-client-cert", Concat("URI=", kWeb));
  EXPECT_EQ(Verdict(request), "403");
}

TEST_F(ExtAuthzTest, APathThatIsNotItsCanonicalFormIs400WithItsReason) {
  EXPECT_EQ(Verdict(Request("GET", "/orders/7?page=2")), "allow");
  for (std::string_view path : {"//orders/7", "/orders//7", "/orders/./7", "/x/../orders/7",
                                "/orders/%37", "/orders/%c3%a9", "/orders/.."}) {
    EXPECT_EQ(Verdict(Request("GET", path)), "400 not_canonical") << path;
  }
  for (std::string_view path : {"", "orders", "*", "/orders%2f7", "/orders\\7", "/orders/%zz",
                                "/orders;a=1", "/orders/\xff", "/orders#x", "/orders?a=%zz"}) {
    EXPECT_EQ(Verdict(Request("GET", path)), "400 bad_target") << path;
  }
  EXPECT_EQ(Verdict(Request("G ET", "/public")), "400 bad_method");
  EXPECT_EQ(Verdict(Request("", "/public")), "400 bad_method");
  wire::CheckRequest request = Request("GET", "/public");
  request.mutable_attributes()->mutable_request()->mutable_http()->set_host("a b");
  EXPECT_EQ(Verdict(request), "400 bad_host");
}

TEST_F(ExtAuthzTest, ANamedHeaderThatMayBeSeveralLinesIsRefused) {
  const auto with = [](std::string_view value) {
    wire::CheckRequest request = Request("POST", "/tenant");
    AddJoined(request, ":path", "/tenant");
    AddJoined(request, "x-tenant", value);
    AddJoined(request, "accept", "text/html,*/*");  // No rule reads it.
    return request;
  };
  EXPECT_EQ(Verdict(with("acme")), "allow");
  EXPECT_EQ(Verdict(with("other")), "403");
  EXPECT_EQ(Verdict(with("acme,other")), "400 ambiguous_header");
  EXPECT_EQ(Verdict(with("acme!")), "400 ambiguous_header") << "stands for a byte that was lost";
}

TEST_F(ExtAuthzTest, RawHeadersAreJudgedLineByLine) {
  wire::CheckRequest request = Request("POST", "/tenant");
  AddJoined(request, "x-tenant", "other");  // Not looked at when there are lines.
  AddLine(request, "x-tenant", "acme");
  EXPECT_EQ(Verdict(request), "allow");
  AddLine(request, "x-tenant", "acme");
  EXPECT_EQ(Verdict(request), "400 ambiguous_field");
  wire::CheckRequest comma = Request("POST", "/tenant");
  AddLine(comma, "x-tenant", "acme,other");
  EXPECT_EQ(Verdict(comma), "403") << "one line, another value";
  wire::CheckRequest upper = Request("POST", "/tenant");
  AddLine(upper, "X-Tenant", "acme");
  EXPECT_EQ(Verdict(upper), "400 bad_header_name");
}

TEST_F(ExtAuthzTest, BytesThatAreNoUtf8AreJudgedAndFailNoCall) {
  wire::CheckRequest request = Request("POST", "/tenant");
  AddLine(request, "x-tenant", "acme\xff");
  EXPECT_EQ(Verdict(request), "403");
  request = Request("GET", "/public", "spiffe://shop.example/\xff");
  EXPECT_EQ(Verdict(request), "403");
  AddJoined(request, "x-\xff", "a");
  EXPECT_EQ(Ask(request).denied_response().status().code(), 403);
}

TEST_F(ExtAuthzTest, WhatIsNoCheckRequestIsDeniedInWords) {
  EXPECT_EQ(Verdict(Send("")), "403") << "a connection with neither a port nor a caller";
  EXPECT_EQ(Verdict(Send(std::string_view("\0", 1))), "403");
  EXPECT_EQ(Verdict(Send("\x0a\xff\xff\xff\xff\x0f")), "403");
  EXPECT_EQ(Verdict(Send(std::string(limits_.message_bytes_max + 1, 'x'))), "403");
  EXPECT_THAT(decisions_->Metrics(), HasSubstr("reason=\"malformed\"} 2"));
  EXPECT_THAT(decisions_->Metrics(), HasSubstr("reason=\"over_limit\"} 1"));
}

TEST_F(ExtAuthzTest, TooManyHeaderLinesAreDenied) {
  wire::CheckRequest request = Request("GET", "/public");
  for (size_t i = 0; i < limits_.headers_max; ++i) {
    AddLine(request, "x-a", "1");
  }
  EXPECT_EQ(Verdict(request), "allow");
  AddLine(request, "x-a", "1");
  EXPECT_EQ(Verdict(request), "403");
}

TEST_F(ExtAuthzTest, TheWorkloadComesFromTheContextOnlyWhereThatIsConfigured) {
  wire::CheckRequest request = Request("GET", "/public");
  AddContext(request, "workload", kWeb);
  EXPECT_EQ(Verdict(request), "403") << "another one than the configured";
  Serve({std::nullopt, false});
  EXPECT_EQ(Verdict(request), "403") << "nothing is configured";
  Serve({std::nullopt, true});
  EXPECT_EQ(Verdict(Request("GET", "/public")), "403") << "the context has none";
  request = Request("GET", "/public");
  AddContext(request, "workload", kOrders);
  EXPECT_EQ(Verdict(request), "allow");
  AddContext(request, "workload", kOrders);
  EXPECT_EQ(Verdict(request), "403") << "twice";
  request = Request("GET", "/public");
  AddContext(request, "workload", "orders");
  EXPECT_EQ(Verdict(request), "403") << "no SPIFFE ID";
}

TEST_F(ExtAuthzTest, AConnectionWithoutHttpIsJudgedByTcpRules) {
  wire::CheckRequest request;
  wire::AttributeContext& attributes = *request.mutable_attributes();
  attributes.mutable_source()->mutable_principal()->assign(kWeb);
  auto& local = *attributes.mutable_destination()->mutable_address()->mutable_socket_address();
  local.set_port_value(5432);
  EXPECT_EQ(Verdict(request), "allow");
  local.set_port_value(443);
  EXPECT_EQ(Verdict(request), "403");
  local.set_port_value(5432 + 65536);
  EXPECT_EQ(Verdict(request), "403");
}

TEST_F(ExtAuthzTest, APeerAddressThatIsNoneIsDenied) {
  wire::CheckRequest request = Request("GET", "/public");
  auto& peer =
      *request.mutable_attributes()->mutable_source()->mutable_address()->mutable_socket_address();
  peer.set_address("10.0.0.7");
  EXPECT_EQ(Verdict(request), "allow");
  peer.set_address("somewhere");
  EXPECT_EQ(Verdict(request), "403");
}

TEST_F(ExtAuthzTest, WithoutAPolicyEverythingIsDenied) {
  folder_.Write("shop.yaml", "kind: [");
  source_ = PolicySource::Start(folder_.policies(), Clock::System(), limits_);
  DecisionPoint decisions(*source_, Clock::System(), limits_);
  ExtAuthz checks(decisions, {*identity::SpiffeId::Parse(kOrders), false}, limits_);
  wire::CheckResponse response;
  ASSERT_TRUE(
      response.ParseFromString(checks.Check(Request("GET", "/public").SerializeAsString())));
  EXPECT_EQ(Verdict(response), "403");
  EXPECT_THAT(decisions.Metrics(), HasSubstr("countersign_pdp_ready 0"));
  EXPECT_THAT(decisions.Metrics(), HasSubstr("reason=\"not_ready\"} 1"));
  EXPECT_THAT(decisions.Health(), HasSubstr("folderRefused"));
}

// Rules over the words that the generator draws its requests from.
constexpr std::string_view kGenerated = R"(apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: drawn }
spec:
  owner: { id: spiffe://shop.example/people/leads }
  scope: { under: spiffe://shop.example }
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: drawn }
spec:
  appliesTo: all
  rules:
    - { name: a, effect: allow, from: mesh, to: [{ path: { under: /orders } }, { path: { re2: "/api/v[12]/.*" } }] }
    - { name: b, effect: allow, from: authenticated, when: { headers: { x-tenant: acme } } }
    - { name: c, effect: allow, from: anyone, to: [{ path: /a.b }, { protocol: tcp, port: 5432 }] }
    - { name: d, effect: deny, from: anyone, when: { query: { role: admin } } }
    - { name: e, effect: deny, from: anyone, to: [{ methods: [DELETE], sni: orders }] }
    - { name: f, effect: allow, from: [{ peerIp: 10.0.0.0/8 }], to: [{ host: orders }] }
)";

std::string Escaped(std::string_view text) {
  std::string out;
  for (char byte : text) {
    out += Concat("%", HexLower(std::string_view(&byte, 1)));
  }
  return out;
}

wire::CheckRequest AsCheck(const authz::testing::OwnedRequest& drawn) {
  wire::CheckRequest request;
  wire::AttributeContext& attributes = *request.mutable_attributes();
  attributes.mutable_source()->set_principal(drawn.caller);
  if (drawn.peer_ip) {
    attributes.mutable_source()->mutable_address()->mutable_socket_address()->set_address(
        authz::FormatIpAddress(*drawn.peer_ip));
  }
  attributes.mutable_destination()->mutable_address()->mutable_socket_address()->set_port_value(
      drawn.port);
  attributes.mutable_tls_session()->set_sni(drawn.sni);
  auto& entry = *attributes.add_context_extensions();
  entry.set_key("workload");
  entry.set_value(drawn.callee);
  if (drawn.kind == authz::RequestKind::kTcp) {
    return request;
  }
  auto& http = *attributes.mutable_request()->mutable_http();
  http.set_method(drawn.method);
  http.set_host(drawn.host);
  std::string target = drawn.path;
  for (size_t i = 0; i < drawn.query.size(); ++i) {
    target += Concat(i == 0 ? "?" : "&", Escaped(drawn.query[i].first), "=",
                     Escaped(drawn.query[i].second));
  }
  http.set_path(target);
  for (const auto& [name, value] : drawn.headers) {
    auto& header = *http.mutable_header_map()->add_headers();
    header.set_key(name);
    header.set_raw_value(value);
  }
  return request;
}

// Whatever reaches the rules gets the verdict that the engine gives, and nothing is allowed that
// did not reach them.
TEST_F(ExtAuthzTest, TheVerdictIsTheEnginesForEveryDrawnRequest) {
  Load(kGenerated);
  Serve({std::nullopt, true});
  ASSERT_TRUE(source_->State().ready) << source_->State().refused;
  const std::shared_ptr<const ActivePolicy> active = source_->Active();
  authz::DecisionScratch scratch(active->policy());
  authz::testing::PolicyGenerator generator(20260131);
  size_t allowed = 0;
  size_t denied = 0;
  size_t refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    authz::testing::OwnedRequest drawn = generator.Request();
    // The forms that rules see; the door makes them of what it is told, too.
    drawn.sni = authz::CanonicalSni(drawn.sni);
    std::array<char, authz::kHostBufferBytes> host_bytes;
    if (const auto host = authz::CanonicalizeHost(drawn.host, host_bytes); host.ok()) {
      drawn.host = host.host;
    }
    const wire::CheckResponse response = Ask(AsCheck(drawn));
    const std::string verdict = Verdict(response);
    // The engine lets no request in that has no one form; its own view of such is not asked.
    const authz::Decision decision =
        active->policy().Decide(drawn.view(), Clock::System().Now(), scratch);
    const bool engine_allows = decision.effect == authz::Effect::kAllow;
    if (verdict == "allow") {
      ASSERT_TRUE(engine_allows) << drawn.Describe();
      ++allowed;
    } else if (engine_allows) {
      // Only what is refused before the rules may differ, and such a request is no canonical one.
      std::vector<char> path(drawn.path.size());
      const bool canonical_path =
          drawn.kind == authz::RequestKind::kTcp ||
          (!drawn.path.empty() && authz::CanonicalizePath(drawn.path, {}, path).path == drawn.path);
      const bool ids = identity::SpiffeId::Parse(drawn.callee).ok() &&
                       (drawn.caller.empty() || identity::SpiffeId::Parse(drawn.caller).ok());
      ASSERT_TRUE(verdict == "400 bad_host" || verdict == "400 bad_method" || !canonical_path ||
                  !ids)
          << verdict << ": " << drawn.Describe();
      ++refused;
    } else {
      ++denied;
    }
  }
  EXPECT_GT(allowed, 1000U);
  EXPECT_GT(denied, 1000U);
  EXPECT_LT(refused, 2000U);
}

}  // namespace
}  // namespace countersign::pdp
