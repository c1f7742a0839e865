#include "tests/proxy_agent/rules/proxy_fixture.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace countersign {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string Indented(const std::string& lines, const std::string& by) {
  std::string out;
  size_t from = 0;
  while (from < lines.size()) {
    const size_t end = std::min(lines.find('\n', from), lines.size());
    out += by + lines.substr(from, end - from) + "\n";
    from = end + 1;
  }
  return out;
}

}  // namespace

TlsIdentity IdentityOf(const identity::X509Svid& svid) { return {svid.ChainPem(), svid.KeyPem()}; }
TlsIdentity IdentityOf(const TestChain& chain) { return {chain.ChainPem(), chain.key.Pkcs8Pem()}; }

std::string Access(const std::string& rules) {
  return "apiVersion: countersign.dev/v1alpha1\n"
         "kind: PolicySet\n"
         "metadata: { name: shop }\n"
         "spec:\n"
         "  owner: { id: spiffe://shop.example/people/ana }\n"
         "  scope: { under: spiffe://shop.example }\n"
         "---\n"
         "apiVersion: countersign.dev/v1alpha1\n"
         "kind: AccessPolicy\n"
         "metadata: { name: orders }\n"
         "spec:\n"
         "  appliesTo: { id: spiffe://shop.example/orders }\n"
         "  rules:\n" +
         Indented(rules, "    ") + "---\n";
}

ProxyTest::ProxyTest()
    : agent_(FakeAgent::Start(dir_.File("agent.sock"))),
      application_(Concat("unix:", dir_.File("app.sock"))),
      http_address_(FreeAddress()),
      tcp_address_(FreeAddress()),
      admin_address_(FreeAddress()) {}

void ProxyTest::TearDown() {
  if (HasFailure() && proxy_ != nullptr) {
    std::fprintf(stderr, "%s", proxy_->Log().c_str());
  }
}

std::string ProxyTest::OrdersService(const std::string& http_port_lines) const {
  const std::string application = application_.address();
  return Concat(
      "apiVersion: countersign.dev/v1alpha1\n"
      "kind: Service\n"
      "metadata: { name: orders }\n"
      "spec:\n"
      "  workload: { id: spiffe://shop.example/orders }\n"
      "  ports:\n"
      "    - name: http\n"
      "      protocol: http\n"
      "      listen: ",
      http_address_, "\n      application: ", application, "\n",
      Indented(http_port_lines, "      "),
      "    - name: raw\n"
      "      protocol: tcp\n"
      "      listen: ",
      tcp_address_, "\n      application: unix:", dir_.File("raw.sock"), "\n---\n");
}

std::string ProxyTest::Configure(const std::string& yaml, const std::string& raw_policy_document) {
  FakeConfiguration configuration;
  configuration.workload_id = workload_id_;
  configuration.yaml = yaml;
  configuration.application_uid = ::getuid();
  configuration.audit_socket = dir_.File("audit.sock");
  configuration.raw_policy_document = raw_policy_document;
  const auto version = agent_->SetConfiguration(configuration);
  if (!version.ok()) {
    return Concat("the loader: ", Message(version.status()));
  }
  if (proxy_ == nullptr) {
    return "";
  }
  const auto result = agent_->WaitForResult(
      [&](const FakeResult& r) { return r.config_version >= *version; }, kPatience);
  return result ? result->refused : "no answer";
}

void ProxyTest::Launch(std::vector<std::string> more_arguments) {
  std::vector<std::string> argv = {COUNTERSIGN_BIN_DIR "/countersign-proxy",
                                   "run",
                                   "--agent-socket",
                                   dir_.File("agent.sock"),
                                   "--instance",
                                   "test",
                                   "--admin",
                                   admin_address_};
  argv.insert(argv.end(), flags_.begin(), flags_.end());
  argv.insert(argv.end(), more_arguments.begin(), more_arguments.end());
  proxy_ = ChildProcess::Start(argv, dir_.File("proxy.log"));
}

void ProxyTest::WaitUntilReady() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < until) {
    if (Admin("/ready").status == 200) {
      return;
    }
    agent_->WaitForResult([](const FakeResult& r) { return r.ready; }, milliseconds(50));
  }
  FAIL() << "the proxy is not ready: " << proxy_->Log();
}

void ProxyTest::StartProxy(const std::string& workload_path,
                           std::vector<std::string> more_arguments) {
  workload_id_ = "spiffe://shop.example" + workload_path;
  own_ = ca_.Svid(workload_path);
  agent_->SetIdentity(own_, ca_.Bundles());
  Launch(std::move(more_arguments));
}

void ProxyTest::StartInbound(const std::string& rules, const std::string& http_port_lines) {
  StartProxy("/orders");
  ASSERT_EQ(Configure(Access(rules) + OrdersService(http_port_lines)), "") << proxy_->Log();
  WaitUntilReady();
}

StatusOr<std::unique_ptr<TestStream>> ProxyTest::TryDial(const TlsOptions& options) {
  return TestStream::ConnectTls(http_address_, options);
}

int ProxyTest::StatusFor(const TlsIdentity& identity) {
  // A TLS 1.3 client may learn of a refused certificate only with its first read.
  const auto stream =
      TryDial({.identity = identity, .alpn = {"http/1.1"}, .server_name = "orders"});
  return stream.ok() ? Ask(**stream, Get("/")).status : 0;
}

std::unique_ptr<TestStream> ProxyTest::Dial() { return Dial(Identity("/web")); }

std::unique_ptr<TestStream> ProxyTest::Dial(const TlsIdentity& identity, const std::string& sni) {
  auto stream = TryDial({.identity = identity, .alpn = {"http/1.1"}, .server_name = sni});
  EXPECT_TRUE(stream.ok()) << stream.status() << proxy_->Log();
  return stream.ok() ? std::move(*stream) : nullptr;
}

std::unique_ptr<TestStream> ProxyTest::DialTcp(const TlsIdentity& identity) {
  auto stream = TestStream::ConnectTls(
      tcp_address_, {.identity = identity, .alpn = {"countersign-tcp"}, .server_name = "orders"});
  EXPECT_TRUE(stream.ok()) << stream.status() << proxy_->Log();
  return stream.ok() ? std::move(*stream) : nullptr;
}

Reply ProxyTest::Admin(const std::string& target) {
  auto stream = TestStream::Connect(admin_address_);
  if (!stream.ok()) {
    return {};
  }
  return Ask(**stream,
             Concat("GET ", target, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
}

}  // namespace countersign
