// TestMesh: proxies in the test's own process over real sockets, told by the test what an agent
// would tell them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "authz/kinds/loader.h"
#include "proxy_agent/proxy.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_ca.h"
#include "tests/support/test_stream.h"

namespace countersign::proxy {

inline constexpr std::string_view kWeb = "spiffe://shop.example/ns/prod/sa/web";
inline constexpr std::string_view kOrders = "spiffe://shop.example/ns/prod/sa/orders";

// Eventually polls until `is` holds; false when patience ended first.
inline bool Eventually(const std::function<bool()>& is,
                       std::chrono::milliseconds patience = kPatience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!is()) {
    if (std::chrono::steady_clock::now() > until) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

// PortOf is the number in "127.0.0.1:PORT".
inline std::string PortOf(const std::string& address) {
  return address.substr(address.rfind(':') + 1);
}

// SnapshotOf makes the agent's message for `workload` of documents as users write them.
inline sds::ProxyConfigSnapshot SnapshotOf(std::string_view workload, const std::string& yaml,
                                           uint64_t version = 1) {
  const authz::SourceFile file{.path = "test.yaml", .content = yaml};
  const authz::LoadResult loaded = authz::Load(std::span(&file, 1));
  for (const authz::Diagnostic& diagnostic : loaded.diagnostics) {
    ADD_FAILURE() << authz::FormatDiagnostic(diagnostic);
  }
  sds::ProxyConfigSnapshot snapshot;
  snapshot.version = version;
  snapshot.workload_id = workload;
  snapshot.application_uid = getuid();
  snapshot.trust_domain = "shop.example";
  snapshot.node_id = "spiffe://shop.example/agent/node-1";
  for (const authz::Service& service : loaded.services) {
    snapshot.services.push_back({"Service", service.name, service.canonical_json});
  }
  for (const authz::Route& route : loaded.routes) {
    snapshot.routes.push_back({"Route", route.name, route.canonical_json});
  }
  for (const auto& set : loaded.sets) {
    snapshot.policy_sets.push_back({set->name, version, set->digest, set->canonical_documents});
  }
  return snapshot;
}

// PolicyYaml is one set with one AccessPolicy over orders, whose rules are `rules`.
inline std::string PolicyYaml(const std::string& rules) {
  return R"(apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: shop }
spec:
  owner: { id: spiffe://shop.example/people/leads }
  scope: { under: spiffe://shop.example/ns/prod }
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: orders }
spec:
  appliesTo: { id: spiffe://shop.example/ns/prod/sa/orders }
  rules:
)" + rules;
}

inline const std::string kWebReads = R"(    - name: web-reads
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/web }]
      to: [{ methods: [GET, HEAD, POST, PUT], path: /orders/** }]
)";

// ServiceYaml is orders' Service; `port` are further keys of its one port.
struct ServiceFacts {
  std::string listen;
  std::string application;
  std::string reach;
  std::string endpoints;  // Default: the listener.
  std::string protocol = "http";
  std::string port;
};
inline std::string ServiceYaml(const ServiceFacts& facts) {
  return Concat(
      R"(---
apiVersion: countersign.dev/v1alpha1
kind: Service
metadata: { name: orders }
spec:
  workload: { id: spiffe://shop.example/ns/prod/sa/orders }
  ports:
    - { name: main, protocol: )",
      facts.protocol, ", listen: '", facts.listen, "', application: '", facts.application, "'",
      facts.port, " }\n  endpoints: [",
      facts.endpoints.empty() ? Concat("'", facts.listen, "'") : facts.endpoints,
      "]\n  reach:\n    - { from: [{ id: spiffe://shop.example/ns/prod/sa/web }], listen: '",
      facts.reach, "', port: main }\n");
}

// FreshSvid is an SVID that lives so long from the moment of the call.
inline std::shared_ptr<const identity::X509Svid> FreshSvid(const TestCa& ca, std::string_view path,
                                                           std::chrono::nanoseconds life) {
  TestCertificateSpec spec = ca.LeafSpec(path);
  spec.not_after = Clock::System().Now() + life;
  return ca.Sign(spec).Svid();
}

// Started is a proxy that serves `yaml` for `workload`.
inline std::unique_ptr<Proxy> StartProxy(const TestCa& ca, std::string_view workload,
                                         const std::string& yaml,
                                         std::chrono::nanoseconds life = std::chrono::hours(1),
                                         InstanceOptions options = {.name = "test"}) {
  IgnoreSigpipe();  // The test's own raw TLS peers write to closed sockets.
  StatusOr<std::unique_ptr<Proxy>> proxy = Proxy::Create(std::move(options), Clock::System());
  EXPECT_TRUE(proxy.ok()) << proxy.status();
  const std::string_view path = workload.substr(std::string_view("spiffe://shop.example").size());
  EXPECT_TRUE((*proxy)->OnIdentity(ca.Svid(path, life), ca.Bundles()).ok());
  const Status taken = (*proxy)->OnConfiguration(SnapshotOf(workload, yaml));
  EXPECT_TRUE(taken.ok()) << taken;
  return *std::move(proxy);
}

// Metric reads one sample of a proxy's metrics; 0 if it is not there.
inline double Metric(const Proxy& proxy, const std::string& sample) {
  const std::string text = proxy.Admin("/metrics").body;
  const size_t at = text.find("\n" + sample + " ");
  return at == std::string::npos ? 0 : std::stod(text.substr(at + sample.size() + 2));
}

// ReadResponse reads one response by its content-length, and nothing behind it.
inline std::string ReadResponse(TestStream& stream,
                                std::chrono::milliseconds patience = kPatience) {
  std::string read = stream.ReadUntil("\r\n\r\n", patience);
  const size_t end = read.find("\r\n\r\n");
  if (end == std::string::npos) {
    return read;
  }
  const size_t at = read.substr(0, end).find("content-length: ");
  const size_t whole =
      end + 4 + (at == std::string::npos ? 0 : std::stoul(read.substr(at + 16, 20)));
  if (read.size() < whole) {
    read += stream.ReadAtLeast(whole - read.size(), patience);
  }
  stream.Unread(read.substr(std::min(whole, read.size())));
  return read.substr(0, whole);
}

// ReadRequest reads one request's head; false at the end of the connection.
inline bool ReadRequest(TestStream& stream, std::string& head) {
  const std::string read = stream.ReadUntil("\r\n\r\n", std::chrono::seconds(60));
  const size_t end = read.find("\r\n\r\n");
  if (end == std::string::npos) {
    return false;
  }
  head = read.substr(0, end + 4);
  stream.Unread(read.substr(end + 4));
  return true;
}

}  // namespace countersign::proxy
