// FakeAgent is a node agent in the test's own process: real gRPC on a Unix socket, SDS and
// ProxyConfig on the wire, and material from TestCa. It attests nobody.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"

namespace countersign {

// FakeConfiguration is what one proxy is given. `yaml` holds PolicySets with their policies,
// Services and Routes as users write them; each PolicySet document begins a set.
struct FakeConfiguration {
  std::string workload_id;
  std::string yaml;
  std::string trust_domain = "shop.example";
  std::string node_id = "spiffe://shop.example/agent/node-1";
  std::string registration = "test";
  std::optional<uint32_t> application_uid;
  std::string audit_socket;  // May be a path where nobody listens.
  // raw_policy_document goes to the proxy as a set "raw" of its own, whatever it holds.
  std::string raw_policy_document;
};

// FakeResult is what a proxy reported last.
struct FakeResult {
  uint64_t config_version = 0;
  std::string refused;
  bool ready = false;
  std::string svid_serial;
};

// FakeAgent serves from Start to destruction. All methods are safe for any thread.
class FakeAgent {
 public:
  static std::unique_ptr<FakeAgent> Start(const std::string& socket_path);
  ~FakeAgent();
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  // SetIdentity pushes an SVID and bundles to every open stream and every later one.
  void SetIdentity(std::shared_ptr<const identity::X509Svid> svid,
                   std::shared_ptr<const identity::BundleSet> bundles);
  // SetConfiguration loads the YAML, pushes it, and returns its version; an error is the loader's.
  StatusOr<uint64_t> SetConfiguration(const FakeConfiguration& configuration);

  // WaitForResult waits until the proxy's last report is as wanted.
  std::optional<FakeResult> WaitForResult(const std::function<bool(const FakeResult&)>& is,
                                          std::chrono::milliseconds patience);
  // SecretRefusals are the texts with which secrets were refused (NACK), oldest first.
  std::vector<std::string> SecretRefusals() const;

 private:
  class Impl;
  explicit FakeAgent(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign
