// LimitsTest runs one proxy whose limits a test lowers, between raw callers and a raw application.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/proxy_agent/mesh.h"

namespace countersign::proxy {

inline const std::string kGetOrder = "GET /orders/7 HTTP/1.1\r\nhost: orders\r\n\r\n";
inline const std::string kBothMay = R"(    - name: both
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/web }, { id: spiffe://shop.example/ns/prod/sa/billing }]
)";

class LimitsTest : public ::testing::Test {
 protected:
  // Lower sets limits before StartOrders.
  ProxyLimits& limits() { return options_.limits; }
  static void AnswerOk(TestStream& stream) {
    std::string head;
    while (ReadRequest(stream, head)) {
      stream.Write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
  }
  static void NeverAnswer(TestStream& stream) { stream.ReadAll(std::chrono::minutes(1)); }

  void StartOrders(TestServer::Handler application = &AnswerOk, const std::string& port = "",
                   const std::string& protocol = "http") {
    application_ = TestServer::Start("127.0.0.1:0", std::move(application));
    StartOrdersBefore(application_->address(), port, protocol);
  }
  void StartOrdersBefore(const std::string& application, const std::string& port = "",
                         const std::string& protocol = "http") {
    facts_ = {.listen = FreeAddress(),
              .application = application,
              .reach = FreeAddress(),
              .endpoints = "",
              .protocol = protocol,
              .port = port};
    orders_ = StartProxy(ca_, kOrders, Yaml(), std::chrono::hours(1), options_);
  }
  std::string Yaml(const std::string& further = "") {
    return PolicyYaml(kBothMay) + ServiceYaml(facts_) + further;
  }

  std::unique_ptr<TestStream> Plain() { return *TestStream::Connect(facts_.listen); }
  // As is a caller with that identity; null if it was refused in the handshake or before.
  std::unique_ptr<TestStream> As(const std::string& name, const std::string& alpn = "http/1.1") {
    const std::shared_ptr<const identity::X509Svid> svid = ca_.Svid("/ns/prod/sa/" + name);
    StatusOr<std::unique_ptr<TestStream>> stream = TestStream::ConnectTls(
        facts_.listen, {.identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()},
                        .alpn = {alpn},
                        .server_name = ""});
    return stream.ok() ? *std::move(stream) : nullptr;
  }
  static std::string Ask(TestStream& stream, const std::string& request = kGetOrder) {
    stream.Write(request);
    return ReadResponse(stream);
  }
  // Served says whether a new connection of this caller's gets its answer.
  bool Served(const std::string& name = "web") {
    const std::unique_ptr<TestStream> stream = As(name);
    return stream != nullptr && Ask(*stream).starts_with("HTTP/1.1 200");
  }
  static double ReachedBy(const Proxy& proxy, Limit limit) {
    return Metric(
        proxy, Concat("countersign_proxy_limit_reached_total{limit=\"", LimitName(limit), "\"}"));
  }
  double Reached(Limit limit) { return ReachedBy(*orders_, limit); }

  InstanceOptions options_{.name = "test"};
  TestCa ca_;
  ServiceFacts facts_;
  std::unique_ptr<TestServer> application_;
  std::unique_ptr<Proxy> orders_;
};

// FullListener is a TCP address where a SYN is not answered: its queue is full and nobody accepts.
class FullListener {
 public:
  FullListener();
  const std::string& address() const { return address_; }

 private:
  Fd listener_;
  std::string address_;
  std::vector<Fd> queued_;
};

}  // namespace countersign::proxy
