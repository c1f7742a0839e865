// FakeServer is a server for agents in the test's own process: a real authority, real TLS and real
// gRPC, with a registry that the test writes and acknowledgements that it can wait for.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "identity/certificate_authority.h"
#include "identity/trust_bundle.h"
#include "sds/agent/node_state.h"

namespace countersign::agent {

// RegistrationDocument writes one for this test's own user, with extra members of `spec`.
std::string RegistrationDocument(std::string_view name, std::string_view id,
                                 std::string_view more_spec = "");

// FakeServer listens on a loopback port of its own choice, which stays the same over restarts.
class FakeServer {
 public:
  static constexpr std::string_view kToken = "one-good-token";
  static constexpr std::string_view kAgentId = "spiffe://shop.example/agent/node-1";

  FakeServer();
  ~FakeServer();

  std::string address() const;
  std::string pin() const;
  const identity::TrustBundle& bundle() const;

  // Stop ends every stream and closes the port; Start listens on it again.
  void Stop();
  void Start();

  // Each change is one revision, pushed at once.
  void Put(std::string_view kind, std::string_view name, std::string_view document);
  void Remove(std::string_view kind, std::string_view name);

  void SetSvidTtl(std::chrono::nanoseconds ttl);
  void SetAgentSvidTtl(std::chrono::nanoseconds ttl);
  // AllowToken makes a token good for one use.
  void AllowToken(std::string_view token);
  // RefuseSigning makes each request fail until it is called with an empty text.
  void RefuseSigning(std::string_view why);

  // PretendBundle makes GetBundle answer with another server's bundle.
  void PretendBundle(const identity::TrustBundle& bundle);

  // GoBackTo makes the next change have the revision after `n`, as a store that was replaced by an
  // older copy would.
  void GoBackTo(uint64_t n);

  Revision revision() const;
  // Wait functions give up after ten seconds and return false.
  bool WaitForAck(int level, const Revision& revision) const;
  bool HasAck(int level, const Revision& revision) const;
  bool WaitForStreams(size_t count) const;
  bool WaitForReport(std::string_view instance, bool ready) const;
  bool WaitForSigned(std::string_view registration, int count) const;
  bool WaitForNoReport() const;
  int hellos() const;
  Revision last_hello_had() const;
  int signed_count(std::string_view registration) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::agent
