// What the importer writes decides as Istio would: held against an evaluator of the source that
// shares nothing with it, over random policies and requests at their borders.
#include <gtest/gtest.h>

#include <cstdio>

#include "authz/check/test_request.h"
#include "authz/import/import.h"
#include "identity/spiffe_id.h"
#include "tests/authz/engine/both_evaluators.h"
#include "tests/authz/import/random_istio.h"

namespace countersign::authz::import::testing {
namespace {

constexpr unsigned kPolicySets = 1200;
constexpr size_t kRequestsEach = 60;

PolicyTestCase::Request ToTestRequest(const Request& request) {
  PolicyTestCase::Request out;
  out.http = request.http;
  out.caller = request.caller;
  out.workload = Concat("spiffe://td/ns/", request.callee_ns, "/sa/", request.callee_account);
  out.peer_ip = request.peer_ip;
  out.port = static_cast<uint16_t>(request.port);
  out.sni = request.sni;
  out.method = request.method;
  out.host = request.authority;
  out.path = request.path;
  out.headers = request.headers;
  return out;
}

// Whether a request is one that reaches policy unchanged: with another spelling the two would not
// judge the same bytes. Callers without a valid ID never get past the handshake.
bool IsCanonical(const Request& request, const TestRequest& made) {
  bool caller = request.caller.empty() || identity::SpiffeId::Parse(request.caller).ok();
  return caller && made.error() == CanonicalError::kNone && made.canonical().sni == request.sni &&
         made.canonical().path == request.path &&
         (!request.http || !request.authority.ends_with('.'));
}

struct Tally {
  size_t imported = 0;
  size_t refused = 0;
  size_t equal = 0;
  size_t allowed = 0;
  size_t narrower = 0;
};

std::string Describe(const Request& r) {
  std::string headers;
  for (const auto& [name, value] : r.headers) {
    headers += Concat(" ", name, "=", value);
  }
  return Concat(r.http ? "http" : "tcp", " caller=", r.caller, " to=", r.callee_ns, "/",
                r.callee_account, " ip=", r.peer_ip, " port=", r.port, " sni=", r.sni, " ",
                r.method, " ", r.authority, " ", r.path, headers);
}

// Requests for which more may be refused than in Istio, never less: callers without identity,
// unless the import was asked for them; hosts with a port, or none; a header that occurs twice.
bool MayBeNarrower(const Request& request, const ImportOptions& options, bool hosts_widened) {
  return (request.caller.empty() && !options.anonymous_as_istio) || hosts_widened ||
         request.headers.size() > 1 || (request.http && request.authority.empty());
}

void JudgeAll(unsigned seed, Tally& tally) {
  RandomIstio random(seed);
  Mesh mesh{.trust_domain = "td", .aliases = {}, .root_namespace = "istio-system"};
  ImportOptions options;
  options.trust_domain = "td";
  options.anonymous_as_istio = seed % 2 == 0;
  options.hosts_with_any_port = seed % 5 < 2;
  if (seed % 3 == 0) {
    mesh.aliases = {"old-td"};
    options.trust_domain_aliases = {"old-td"};
  }
  std::vector<SourcePolicy> policies = random.Policies();
  const SourceFile file{"istio.yaml", ToYaml(policies, RandomIstio::Workloads())};
  Imported imported = ImportIstio({&file, 1}, options);
  if (!imported.ok()) {
    EXPECT_TRUE(imported.yaml.empty());
    for (const Diagnostic& diagnostic : imported.diagnostics) {
      EXPECT_EQ(diagnostic.message.find("the result would not load"), std::string::npos)
          << FormatDiagnostic(diagnostic) << file.content;
    }
    ++tally.refused;
    return;
  }
  ++tally.imported;
  bool hosts_widened = false;
  for (const Diagnostic& diagnostic : imported.diagnostics) {
    hosts_widened |= diagnostic.message.find("with any port") != std::string::npos;
  }
  const SourceFile result{"imported.yaml", imported.yaml};
  LoadResult loaded = Load({&result, 1});
  ASSERT_TRUE(loaded.ok()) << imported.yaml;
  authz::testing::BothEvaluators judge(loaded.sets);
  for (size_t i = 0; i < kRequestsEach; ++i) {
    Request request = random.Draw(policies);
    TestRequest made(ToTestRequest(request));
    if (!IsCanonical(request, made)) {
      continue;
    }
    if (options.hosts_with_any_port && request.authority.find(':') != std::string::npos) {
      request.authority.resize(request.authority.find(':'));
    }
    bool istio = IstioAllows(policies, mesh, request);
    bool ours = judge.Allows(made.canonical());
    tally.allowed += ours ? 1 : 0;
    if (ours == istio) {
      ++tally.equal;
      continue;
    }
    ++tally.narrower;
    ASSERT_TRUE(istio && MayBeNarrower(request, options, hosts_widened))
        << "seed " << seed << ": " << Describe(request) << ": Istio "
        << (istio ? "allows" : "denies") << "\n"
        << file.content << "\n"
        << imported.yaml;
  }
}

TEST(IstioEqualityTest, RandomPoliciesDecideAsTheirImports) {
  Tally tally;
  for (unsigned seed = 1; seed <= kPolicySets && !HasFatalFailure(); ++seed) {
    JudgeAll(seed, tally);
  }
  std::printf(
      "%zu policy sets imported, %zu refused; %zu equal verdicts, %zu allowed, %zu narrower\n",
      tally.imported, tally.refused, tally.equal, tally.allowed, tally.narrower);
  EXPECT_GE(tally.imported, kPolicySets / 2);
  EXPECT_GE(tally.equal, 25'000u);
  EXPECT_GE(tally.allowed, tally.equal / 10);
  EXPECT_LE(tally.narrower, tally.equal / 20);
}

}  // namespace
}  // namespace countersign::authz::import::testing
