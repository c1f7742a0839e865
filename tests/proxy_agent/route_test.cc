// What a Route does to real requests: times, tries and their budget, splits, turns.
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <set>

#include "tests/proxy_agent/mesh.h"

namespace countersign::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::StartsWith;

const std::string kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const std::string kBusy = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";

// Callee is a raw TLS server with a workload's SVID that counts what it is asked. An empty answer
// is silence.
class Callee {
 public:
  Callee(const TestCa& ca, const std::string& name, std::string answer)
      : answer_(std::move(answer)) {
    const std::shared_ptr<const identity::X509Svid> svid = ca.Svid("/ns/prod/sa/" + name);
    auto tls = std::make_unique<TlsOptions>();
    tls->identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()};
    tls->alpn = {"http/1.1"};
    server_ = TestServer::Start(
        "127.0.0.1:0",
        [this](TestStream& stream) {
          std::string head;
          while (ReadRequest(stream, head)) {
            ++asked_;
            if (!answer_.empty()) {
              stream.Write(answer_);
            }
          }
        },
        std::move(tls));
  }
  std::string quoted() const { return Concat("'", server_->address(), "'"); }
  size_t asked() const { return asked_; }

 private:
  std::string answer_;
  std::atomic<size_t> asked_ = 0;
  std::unique_ptr<TestServer> server_;
};

std::string RouteYaml(const std::string& rule) {
  return Concat(R"(---
apiVersion: countersign.dev/v1alpha1
kind: Route
metadata: { name: orders }
spec: { service: orders, rules: [{ )",
                rule, " }] }\n");
}

class RouteTest : public ::testing::Test {
 protected:
  RouteTest() : reach_(FreeAddress()) {}
  // Start runs web's proxy with these endpoints of orders.
  void Start(const std::string& endpoints, const std::string& further = "") {
    web_ = StartProxy(ca_, kWeb, PolicyYaml(kWebReads) + OrdersYaml(endpoints, reach_) + further);
    caller_ = *TestStream::Connect(reach_);
  }
  static std::string OrdersYaml(const std::string& endpoints, const std::string& reach) {
    return ServiceYaml({.listen = "127.0.0.1:1",
                        .application = "127.0.0.1:2",
                        .reach = reach,
                        .endpoints = endpoints,
                        .port = ""});
  }
  // OtherYaml is the same for another service of another workload.
  static std::string OtherYaml(const std::string& name, const std::string& endpoints,
                               const std::string& reach) {
    std::string yaml = OrdersYaml(endpoints, reach);
    for (const std::string word : {"name: orders", "sa/orders"}) {
      const size_t at = yaml.find(word);
      yaml.replace(at, word.size(), word.substr(0, word.find("orders")) + name);
    }
    return yaml;
  }
  std::string Ask(const std::string& method = "GET") {
    caller_->Write(Concat(method, " /orders/7 HTTP/1.1\r\nhost: orders\r\n",
                          method == "POST" ? "content-length: 0\r\n" : "", "\r\n"));
    return ReadResponse(*caller_);
  }
  double Retries() { return Metric(*web_, "countersign_proxy_retries_total"); }
  double OverBudget() { return Metric(*web_, "countersign_proxy_retries_over_budget_total"); }

  TestCa ca_;
  std::string reach_;
  std::unique_ptr<Proxy> web_;
  std::unique_ptr<TestStream> caller_;
};

TEST_F(RouteTest, AStormOf503StopsBeingTriedAgainAtTheBudget) {
  const Callee busy(ca_, "orders", kBusy);
  Start(busy.quoted(), RouteYaml("retry: { on: ['503'], tries: 2, budget: 20% }"));
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(Ask(), StartsWith("HTTP/1.1 503"));
  }
  const auto windows = (std::chrono::steady_clock::now() - began) / seconds(10) + 1;
  EXPECT_GE(Retries(), 10) << "the floor";
  EXPECT_LE(Retries(), 20 * windows) << "a fifth of the requests of ten seconds";
  EXPECT_EQ(Retries() + OverBudget(), 100) << "each request asked the budget once";
  EXPECT_EQ(static_cast<double>(busy.asked()), 100 + Retries()) << "and no try went past it";
}

TEST_F(RouteTest, ABudgetOfZeroTriesNothingAgain) {
  const Callee busy(ca_, "orders", kBusy);
  Start(busy.quoted(), RouteYaml("retry: { on: ['503'], tries: 5, budget: 0% }"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(Ask(), StartsWith("HTTP/1.1 503"));
  }
  EXPECT_EQ(busy.asked(), 5u);
  EXPECT_EQ(Retries(), 0);
}

TEST_F(RouteTest, TriesEndAtTheirNumberWithinTheBudget) {
  const Callee busy(ca_, "orders", kBusy);
  Start(busy.quoted(), RouteYaml("retry: { on: ['503'], tries: 3 }"));
  EXPECT_THAT(Ask(), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(busy.asked(), 3u);
  EXPECT_EQ(OverBudget(), 0);
}

TEST_F(RouteTest, OneServicesDeadEndpointsSpendNoOtherServicesBudget) {
  const Callee alive(ca_, "billing", kOk);
  const std::string dead = Concat("'", FreeAddress(), "', '", FreeAddress(), "'");
  const std::string reach_billing = FreeAddress();
  // Neither has a Route, so that both are under the one default rule.
  Start(dead,
        OtherYaml("billing", Concat("'", FreeAddress(), "', ", alive.quoted()), reach_billing));
  for (int i = 0; i < 30; ++i) {
    ASSERT_THAT(Ask(), StartsWith("HTTP/1.1 503"));
  }
  EXPECT_GE(OverBudget(), 1) << "orders' is spent";
  caller_ = *TestStream::Connect(reach_billing);
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(Ask(), StartsWith("HTTP/1.1 200")) << i;
  }
  EXPECT_EQ(alive.asked(), 4u);
}

TEST_F(RouteTest, ATryThatTakesTooLongIsMadeAgainElsewhere) {
  const Callee silent(ca_, "orders", "");
  const Callee alive(ca_, "orders", kOk);
  Start(Concat(silent.quoted(), ", ", alive.quoted()),
        RouteYaml("timeout: { request: 20s, try: 1500ms }, retry: { on: ['504'], tries: 2 }"));
  for (int i = 0; i < 2; ++i) {  // By turns one of them at least begins with the silent one.
    EXPECT_THAT(Ask(), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_GE(silent.asked(), 1u);
  EXPECT_EQ(alive.asked(), 2u);
  EXPECT_EQ(Retries(), static_cast<double>(silent.asked()));
}

TEST_F(RouteTest, ATryThatTakesTooLongIsNotMadeAgainIfItMayHaveHadAnEffect) {
  const Callee silent(ca_, "orders", "");
  const Callee alive(ca_, "orders", kOk);
  Start(Concat(silent.quoted(), ", ", alive.quoted()),
        RouteYaml("timeout: { request: 20s, try: 1s }, retry: { on: ['504'], tries: 2 }"));
  std::multiset<std::string> statuses;
  for (int i = 0; i < 2; ++i) {
    statuses.insert(Ask("POST").substr(9, 3));
  }
  EXPECT_EQ(statuses, (std::multiset<std::string>{"200", "504"}));
  EXPECT_EQ(silent.asked(), 1u);
  EXPECT_EQ(alive.asked(), 1u);
  EXPECT_EQ(Retries(), 0);
}

TEST_F(RouteTest, TheRequestsTimeEndsAllTriesTogether) {
  const Callee silent(ca_, "orders", "");
  Start(silent.quoted(),
        RouteYaml("timeout: { request: 1500ms, try: 1s }, retry: { on: ['504'], tries: 5 }"));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_THAT(Ask(), StartsWith("HTTP/1.1 504"));
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(took, milliseconds(1450));
  EXPECT_LT(took, milliseconds(4500)) << "five tries of a second each would take longer";
  EXPECT_LE(silent.asked(), 2u);
}

TEST_F(RouteTest, ATrysTimeEndsWithTheHeadOfItsResponse) {
  std::promise<void> go_on;
  const std::shared_ptr<const identity::X509Svid> svid = ca_.Svid("/ns/prod/sa/orders");
  auto tls = std::make_unique<TlsOptions>();
  tls->identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()};
  tls->alpn = {"http/1.1"};
  const std::unique_ptr<TestServer> slow = TestServer::Start(
      "127.0.0.1:0",
      [&](TestStream& stream) {
        std::string head;
        ReadRequest(stream, head);
        stream.Write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf");
        go_on.get_future().wait();
        stream.Write("full");
        stream.ReadSome();
      },
      std::move(tls));
  Start(Concat("'", slow->address(), "'"),
        RouteYaml("timeout: { request: 30s, try: 2s }, retry: { on: ['504'], tries: 2 }"));
  caller_->Write("GET /orders/7 HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_THAT(caller_->ReadUntil("half"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(caller_->ReadSome(milliseconds(2500)), "") << "longer than a try";
  EXPECT_FALSE(caller_->ended());
  go_on.set_value();
  EXPECT_EQ(caller_->ReadAtLeast(4), "full");
}

TEST_F(RouteTest, ATryWithoutItsOwnTimeLastsAsLongAsTheRequest) {
  const Callee silent(ca_, "orders", "");
  Start(silent.quoted(), RouteYaml("timeout: { request: 1s }, retry: { on: ['504'], tries: 5 }"));
  EXPECT_THAT(Ask(), StartsWith("HTTP/1.1 504"));
  EXPECT_EQ(silent.asked(), 1u);
}

TEST_F(RouteTest, WhatNeverLeftIsTriedAgainWhateverItsMethod) {
  const Callee alive(ca_, "orders", kOk);
  Start(Concat("'", FreeAddress(), "', ", alive.quoted()),
        RouteYaml("retry: { on: [connect-failure], tries: 2 }"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Ask("POST"), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_EQ(alive.asked(), 2u);
  EXPECT_GE(Retries(), 1);
}

TEST_F(RouteTest, EndpointsTakeTurns) {
  const Callee first(ca_, "orders", kOk);
  const Callee second(ca_, "orders", kOk);
  const Callee third(ca_, "orders", kOk);
  Start(Concat(first.quoted(), ", ", second.quoted(), ", ", third.quoted()));
  for (int i = 0; i < 12; ++i) {
    ASSERT_THAT(Ask(), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_EQ(first.asked(), 4u);
  EXPECT_EQ(second.asked(), 4u);
  EXPECT_EQ(third.asked(), 4u);
}

TEST_F(RouteTest, ASplitSendsEachServiceItsPartAndTheOneOfWeightZeroNothing) {
  const Callee orders(ca_, "orders", kOk);
  const Callee next(ca_, "next", kOk);
  const std::string split = "split: [{ service: orders, weight: 0 }, { service: next, weight: 9 }]";
  Start(orders.quoted(), OtherYaml("next", next.quoted(), FreeAddress()) + RouteYaml(split));
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(Ask(), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_EQ(orders.asked(), 0u);
  EXPECT_EQ(next.asked(), 20u);
}

TEST_F(RouteTest, ASplitInEqualPartsReachesBoth) {
  const Callee orders(ca_, "orders", kOk);
  const Callee next(ca_, "next", kOk);
  const std::string split = "split: [{ service: orders, weight: 1 }, { service: next, weight: 1 }]";
  Start(orders.quoted(), OtherYaml("next", next.quoted(), FreeAddress()) + RouteYaml(split));
  for (int i = 0; i < 200; ++i) {
    ASSERT_THAT(Ask(), StartsWith("HTTP/1.1 200"));
  }
  // Ten standard deviations of a fair coin on either side of 100.
  EXPECT_GT(orders.asked(), 30u);
  EXPECT_GT(next.asked(), 30u);
  EXPECT_EQ(orders.asked() + next.asked(), 200u);
}

}  // namespace
}  // namespace countersign::proxy
