// ProxyTest runs the real countersign-proxy between raw peers, supplied by a fake agent.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/proxy_agent/rules/http_talk.h"
#include "tests/support/child_process.h"
#include "tests/support/fake_agent.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_ca.h"
#include "tests/support/test_stream.h"

namespace countersign {

inline constexpr const char* kOrders = "spiffe://shop.example/orders";
inline constexpr const char* kBilling = "spiffe://shop.example/billing";
inline constexpr const char* kWeb = "spiffe://shop.example/web";
inline constexpr const char* kBatch = "spiffe://shop.example/batch";

// kEndSlack is how long after an SVID's end the test may learn that its connections ended. The
// proxy's timer fires at the end of life; a loaded machine runs it, and the test, a little later.
inline constexpr std::chrono::seconds kEndSlack{1};

TlsIdentity IdentityOf(const identity::X509Svid& svid);
TlsIdentity IdentityOf(const TestChain& chain);

// Access writes a PolicySet "shop" with one AccessPolicy for orders; `rules` is YAML, a list of
// rules without indentation.
std::string Access(const std::string& rules);
// kAllowWeb lets web do everything over HTTP and TCP.
inline constexpr const char* kAllowWeb =
    "- { name: web, effect: allow, from: [{ id: spiffe://shop.example/web }] }\n";

// ProxyTest is the callee's side: the proxy of `orders`, with an HTTP port, a TCP port and an
// application on a Unix socket behind each. Outbound tests start it with documents of their own.
class ProxyTest : public testing::Test {
 protected:
  ProxyTest();
  void TearDown() override;  // Shows the proxy's log if the test failed.

  // OrdersService is the Service document of orders; `http_port_lines` adds to its HTTP port.
  std::string OrdersService(const std::string& http_port_lines = "") const;
  // Configure pushes a configuration and waits for the proxy's answer: the text of its refusal, or
  // empty if it was taken.
  std::string Configure(const std::string& yaml, const std::string& raw_policy_document = "");
  // StartInbound starts the proxy of orders with these rules and waits until it is ready.
  void StartInbound(const std::string& rules, const std::string& http_port_lines = "");
  void StartProxy(const std::string& workload_path, std::vector<std::string> more_arguments = {});
  void Launch(std::vector<std::string> more_arguments = {});  // Without waiting.
  void WaitUntilReady();

  // Dial connects to the HTTP port with an identity (web's own, if none is given).
  std::unique_ptr<TestStream> Dial();
  std::unique_ptr<TestStream> Dial(const TlsIdentity& identity, const std::string& sni = "orders");
  StatusOr<std::unique_ptr<TestStream>> TryDial(const TlsOptions& options);
  // StatusFor asks for "/" on a connection of its own; 0 if it was refused before HTTP.
  int StatusFor(const TlsIdentity& identity);
  std::unique_ptr<TestStream> DialTcp(const TlsIdentity& identity);
  TlsIdentity Identity(const std::string& path) const { return IdentityOf(*ca_.Svid(path)); }
  // Admin asks the admin port.
  Reply Admin(const std::string& target);
  // Reached says whether the application has seen anything.
  bool Reached() const { return application_.accepted() > 0; }

  std::vector<std::string> flags_;  // Of every Launch.
  TempDir dir_;
  TestCa ca_;
  std::shared_ptr<const identity::X509Svid> own_;
  std::string workload_id_;
  std::unique_ptr<FakeAgent> agent_;
  Application application_;
  std::string http_address_;
  std::string tcp_address_;
  std::string admin_address_;
  std::unique_ptr<ChildProcess> proxy_;  // Goes first.
};

}  // namespace countersign
