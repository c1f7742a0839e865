// AuthZEN, health and metrics over real HTTP.
#include "pdp/authzen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "pdp/pdp_server.h"
#include "tests/pdp/pdp_folder.h"
#include "tests/support/test_stream.h"

namespace countersign::pdp {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
};

class AuthZenTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_.Write("shop.yaml", kShop);
    Start({});
  }
  void Start(PdpOptions options) {
    server_.reset();
    options.policies = folder_.policies();
    if (!options.http) {
      options.http = *ListenAddress::Parse("127.0.0.1:0");
    }
    auto server = PdpServer::Start(std::move(options), Clock::System());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->http_address()->text();
  }

  Reply Raw(const std::string& request) const {
    auto stream = TestStream::Connect(address_);
    CHECK(stream.ok());
    (*stream)->Write(request);
    const std::string all = (*stream)->ReadAll();
    const size_t end = all.find("\r\n\r\n");
    CHECK(end != std::string::npos);
    return {std::stoi(all.substr(9, 3)), all.substr(0, end), all.substr(end + 4)};
  }
  Reply Get(std::string_view path) const {
    return Raw(Concat("GET ", path, " HTTP/1.1\r\nHost: pdp\r\nConnection: close\r\n\r\n"));
  }
  Reply Post(std::string_view path, std::string_view body, std::string_view more = "") const {
    return Raw(Concat("POST ", path, " HTTP/1.1\r\nHost: pdp\r\nConnection: close\r\n",
                      "Content-Type: application/json\r\n", more, "Content-Length: ", body.size(),
                      "\r\n\r\n", body));
  }
  Json Evaluate(const Json& request) const {
    const Reply reply = Post("/access/v1/evaluation", request.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
    return Json::parse(reply.body);
  }
  Json EvaluateAll(const Json& request) const {
    const Reply reply = Post("/access/v1/evaluations", request.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
    return Json::parse(reply.body);
  }
  static Json Reads(const std::string& path = "/orders/7", const std::string& method = "GET") {
    return {{"subject", {{"type", "workload"}, {"id", kWeb}}},
            {"action", {{"name", method}}},
            {"resource", {{"type", "http"}, {"id", kOrders}, {"properties", {{"path", path}}}}}};
  }
  static std::string Decisions(const Json& answer) {
    std::string text;
    for (const Json& each : answer.at("evaluations")) {
      text += each.at("decision").get<bool>() ? "P" : "D";
    }
    return text;
  }

  PdpFolder folder_;
  std::unique_ptr<PdpServer> server_;
  std::string address_;
};

TEST_F(AuthZenTest, ADecisionHasItsIdReasonAndRule) {
  const Json allow = Evaluate(Reads());
  EXPECT_EQ(allow.at("decision"), true);
  EXPECT_EQ(allow.at("context").at("rule"), "shop/orders/reads");
  EXPECT_EQ(allow.at("context").at("reason"), "allow_rule");
  EXPECT_EQ(allow.at("context").at("id").get<std::string>().size(), 32U);
  const Json deny = Evaluate(Reads("/orders/7", "DELETE"));
  EXPECT_EQ(deny.at("decision"), false);
  EXPECT_EQ(deny.at("context").at("reason"), "no_rule_matched");
}

TEST_F(AuthZenTest, HeadersPortAndConnectionAreMapped) {
  Json request = Reads("/tenant", "POST");
  EXPECT_EQ(Evaluate(request).at("decision"), false);
  request["resource"]["properties"]["headers"] = {{"x-tenant", "acme"}};
  request["resource"]["properties"]["host"] = "orders:8443";
  request["context"] = {{"peer_ip", "10.0.0.7"}, {"sni", "orders"}};
  EXPECT_EQ(Evaluate(request).at("decision"), true);
  request["resource"]["properties"]["headers"] = {{"x-tenant", {"acme", "acme"}}};
  EXPECT_EQ(Evaluate(request).at("context").at("reason"), "ambiguous_field");
  const Json tcp = {
      {"subject", {{"type", "workload"}, {"id", kWeb}}},
      {"action", {{"name", "connect"}}},
      {"resource", {{"type", "tcp"}, {"id", kOrders}, {"properties", {{"port", 5432}}}}}};
  EXPECT_EQ(Evaluate(tcp).at("decision"), true);
  Json anonymous = Reads("/public");
  anonymous["subject"] = {{"type", "anonymous"}, {"id", "anonymous"}};
  EXPECT_EQ(Evaluate(anonymous).at("decision"), true);
}

TEST_F(AuthZenTest, WhatIsNotUnderstoodIsADecisionOfFalseWithItsReason) {
  const auto refused = [this](const char* pointer, const Json& value) {
    Json request = Reads();
    if (value.is_discarded()) {
      const Json::json_pointer at(pointer);
      request.at(at.parent_pointer()).erase(at.back());
    } else {
      request[Json::json_pointer(pointer)] = value;
    }
    const Json answer = Evaluate(request);
    EXPECT_EQ(answer.at("decision"), false) << request;
    EXPECT_NE(answer.at("context").at("reason"), "no_rule_matched") << request;
    return answer.at("context").value("detail", "");
  };
  const Json absent(Json::value_t::discarded);
  for (const char* pointer :
       {"/subject", "/action", "/resource", "/subject/type", "/subject/id", "/action/name",
        "/resource/type", "/resource/id", "/resource/properties", "/resource/properties/path"}) {
    EXPECT_THAT(refused(pointer, absent), HasSubstr("is missing")) << pointer;
  }
  EXPECT_THAT(refused("/subject/type", "user"), HasSubstr("neither workload nor anonymous"));
  EXPECT_THAT(refused("/subject/id", 7), HasSubstr("no text"));
  EXPECT_THAT(refused("/subject/properties", Json::object()), HasSubstr("unknown member"));
  EXPECT_THAT(refused("/resource/type", "file"), HasSubstr("neither http nor tcp"));
  EXPECT_THAT(refused("/resource/properties/Path", "/x"), HasSubstr("unknown member \"Path\""));
  EXPECT_THAT(refused("/resource/properties/port", 70000), HasSubstr("no port"));
  EXPECT_THAT(refused("/resource/properties/headers", "x"), HasSubstr("no object"));
  EXPECT_THAT(refused("/resource/properties/headers", Json{{"a", Json::array()}}),
              HasSubstr("empty list"));
  EXPECT_THAT(refused("/context", Json{{"peerIp", "10.0.0.1"}}), HasSubstr("unknown member"));
  EXPECT_THAT(refused("/context", Json{{"peer_ip", "ten"}}), HasSubstr("ten"));
  EXPECT_THAT(refused("/more", 1), HasSubstr("unknown member"));
  EXPECT_THAT(refused("/resource/properties/path", "//orders/7"), HasSubstr("canonical form"));
  refused("/subject/id", "web");
  refused("/resource/id", "orders");
}

TEST_F(AuthZenTest, ABodyThatIsNoStrictJsonIs400) {
  for (const char* body :
       {"", "{", "[]", "7", "{\"subject\":{},\"subject\":{}}", "{\"a\":\"\xff\"}", "{}{}"}) {
    EXPECT_EQ(Post("/access/v1/evaluation", body).status, 400) << body;
  }
  std::string deep(40, '[');
  EXPECT_EQ(Post("/access/v1/evaluation", deep).status, 400);
}

TEST_F(AuthZenTest, EvaluationsTakeDefaultsAndAreAllExecuted) {
  Json request = Reads();
  request["evaluations"] = {Json::object(),
                            {{"action", {{"name", "DELETE"}}}},
                            {{"resource", {{"type", "http"}}}},
                            {{"subject", {{"type", "anonymous"}, {"id", "anonymous"}}}},
                            Json::object()};
  EXPECT_EQ(Decisions(EvaluateAll(request)), "PDDDP");
  request["options"] = {{"evaluations_semantic", "execute_all"}};
  EXPECT_EQ(Decisions(EvaluateAll(request)), "PDDDP");
}

TEST_F(AuthZenTest, EvaluationsEndAtTheFirstOfTheAskedKind) {
  Json request = Reads();
  request["evaluations"] = {Json::object(), {{"action", {{"name", "PUT"}}}}, Json::object()};
  request["options"] = {{"evaluations_semantic", "deny_on_first_deny"}};
  EXPECT_EQ(Decisions(EvaluateAll(request)), "PD");
  request["options"] = {{"evaluations_semantic", "permit_on_first_permit"}};
  EXPECT_EQ(Decisions(EvaluateAll(request)), "P");
  for (const Json& bad : {Json{{"evaluations_semantic", "any"}}, Json{{"more", 1}}, Json("x")}) {
    request["options"] = bad;
    EXPECT_EQ(Post("/access/v1/evaluations", request.dump()).status, 400) << bad;
  }
}

TEST_F(AuthZenTest, EvaluationsWithoutAListAreOneEvaluation) {
  EXPECT_EQ(EvaluateAll(Reads()).at("decision"), true);
  Json request = Reads();
  request["evaluations"] = Json::array();
  EXPECT_EQ(EvaluateAll(request).at("decision"), true);
  request["evaluations"] = "x";
  EXPECT_EQ(Post("/access/v1/evaluations", request.dump()).status, 400);
  request["evaluations"] = Json::array({7});
  EXPECT_EQ(Decisions(EvaluateAll(request)), "D");
}

TEST_F(AuthZenTest, LimitsAreAnsweredByName) {
  Json request = Reads();
  request["evaluations"] = std::vector<Json>(PdpLimits{}.evaluations_max + 1, Json::object());
  EXPECT_EQ(Post("/access/v1/evaluations", request.dump()).status, 413);
  const std::string head = "POST /access/v1/evaluation HTTP/1.1\r\nHost: pdp\r\n";
  EXPECT_EQ(Raw(head + "Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n").status,
            413);
  std::string chunk(1 << 20, ' ');
  EXPECT_EQ(
      Raw(Concat(head, "Transfer-Encoding: chunked\r\n\r\n100000\r\n", chunk, "\r\n1\r\n \r\n"))
          .status,
      413);
  EXPECT_EQ(Raw(head + std::string(64 << 10, 'x')).status / 100, 4);
}

TEST_F(AuthZenTest, OtherMethodsPathsAndTypesAreRefused) {
  EXPECT_EQ(Get("/access/v1/evaluation").status, 405);
  EXPECT_EQ(Post("/healthz", "{}").status, 405);
  EXPECT_EQ(Get("/access/v1/search/subject").status, 404);
  EXPECT_EQ(Post("/access/v1/evaluation", "{}", "Content-Encoding: gzip\r\n").status, 415);
  EXPECT_EQ(Raw("POST /access/v1/evaluation HTTP/1.1\r\nHost: pdp\r\nConnection: close\r\n"
                "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}")
                .status,
            415);
  EXPECT_EQ(Raw("GET  / HTTP/1.1\r\n\r\n").status, 400);
}

TEST_F(AuthZenTest, ARequestIdComesBack) {
  EXPECT_THAT(Post("/access/v1/evaluation", Reads().dump(), "X-Request-ID: abc-1\r\n").head,
              HasSubstr("x-request-id: abc-1"));
}

TEST_F(AuthZenTest, AConnectionIsKept) {
  auto stream = TestStream::Connect(address_);
  ASSERT_TRUE(stream.ok());
  const std::string body = Reads().dump();
  const std::string request = Concat(
      "POST /access/v1/evaluation HTTP/1.1\r\nHost: pdp\r\nContent-Type: application/json\r\n",
      "Content-Length: ", body.size(), "\r\n\r\n", body);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE((*stream)->Write(request));
    EXPECT_THAT((*stream)->ReadUntil("true}\n"), HasSubstr("\"decision\":true"));
  }
}

TEST_F(AuthZenTest, TheMetadataNamesItsEndpoints) {
  const Json metadata = Json::parse(Get("/.well-known/authzen-configuration").body);
  EXPECT_EQ(metadata.at("policy_decision_point"), "http://" + address_);
  EXPECT_EQ(metadata.at("access_evaluation_endpoint"),
            "http://" + address_ + "/access/v1/evaluation");
  EXPECT_EQ(metadata.at("access_evaluations_endpoint"),
            "http://" + address_ + "/access/v1/evaluations");
  PdpOptions options;
  options.http = *ListenAddress::Parse(Concat("unix:", folder_.File("http.sock")));
  Start(std::move(options));
  EXPECT_EQ(Get("/.well-known/authzen-configuration").status, 404);
  EXPECT_EQ(Get("/healthz").status, 200) << "on a Unix socket";
}

TEST_F(AuthZenTest, AnotherWorkloadThanTheConfiguredIsRefused) {
  PdpOptions options;
  options.ext_authz.workload = *identity::SpiffeId::Parse(kWeb);
  Start(std::move(options));
  EXPECT_EQ(Evaluate(Reads()).at("context").at("reason"), "bad_callee");
}

TEST_F(AuthZenTest, HealthReadinessAndMetricsTellOfTheFolder) {
  EXPECT_EQ(Get("/readyz").status, 200);
  Evaluate(Reads());
  const std::string metrics = Get("/metrics").body;
  EXPECT_THAT(metrics,
              HasSubstr("countersign_pdp_decisions_total{door=\"authzen\",effect=\"allow\","
                        "reason=\"allow_rule\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("countersign_pdp_decision_seconds_count 1\n"));
  EXPECT_TRUE(metrics.ends_with("# EOF\n"));
  folder_.Write("shop.yaml", "nonsense: 1\n");
  Start({});
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_EQ(Get("/healthz").status, 200);
  EXPECT_EQ(Evaluate(Reads()).at("context").at("reason"), "not_ready");
  folder_.Write("shop.yaml", kShop);
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (Get("/readyz").status != 200 && std::chrono::steady_clock::now() < until) {
  }
  EXPECT_EQ(Evaluate(Reads()).at("decision"), true) << "the mended folder is taken live";
}

TEST_F(AuthZenTest, StopAnswersWhatHasBegunAndNothingNew) {
  auto begun = TestStream::Connect(address_);
  ASSERT_TRUE(begun.ok());
  const std::string body = Reads().dump();
  ASSERT_TRUE((*begun)->Write(Concat(
      "POST /access/v1/evaluation HTTP/1.1\r\nHost: pdp\r\nContent-Type: application/json\r\n",
      "Expect: 100-continue\r\nContent-Length: ", body.size(), "\r\n\r\n")));
  EXPECT_THAT((*begun)->ReadUntil("\r\n\r\n"), HasSubstr(" 100 "));
  std::thread stopping([this] { server_->Stop(); });
  ASSERT_TRUE((*begun)->Write(body));
  EXPECT_THAT((*begun)->ReadAll(), HasSubstr("\"decision\":true"));
  stopping.join();
}

}  // namespace
}  // namespace countersign::pdp
