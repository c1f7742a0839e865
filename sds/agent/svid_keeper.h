// Which SVIDs this node needs, holds and asks for. Pure: it neither sends, stores nor sleeps.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "authz/kinds/registration.h"
#include "base/clock.h"
#include "identity/key.h"
#include "identity/peer_verifier.h"
#include "identity/x509_svid.h"
#include "sds/agent/agent_limits.h"
#include "sds/agent/data_folder.h"

namespace countersign::agent {

// SigningAsk is one request to the server.
struct SigningAsk {
  uint64_t id = 0;
  std::string registration;  // Empty: the agent's own SVID.
  std::string csr_der;
};

// SigningAnswer is what came back: a chain, or why there is none.
struct SigningAnswer {
  uint64_t id = 0;
  std::vector<std::string> chain_der;
  Status status;
};

// SvidKeeper keeps one key and SVID a registration, and the agent's own under the name "". Each
// renewal takes a new key, at half life with a tenth of jitter. A registration whose SVID would now
// look different is signed again at once.
//
// Half life and end come when either clock says so: the wall clock, or the one that nobody can set.
// So a wall clock set back delays no renewal and keeps no SVID beyond the life it was given.
// One thread.
class SvidKeeper {
 public:
  // `jitter` gives numbers from -1 to 1. `clock` outlives it.
  SvidKeeper(const AgentLimits& limits, std::function<double()> jitter, const Clock& clock)
      : limits_(limits), jitter_(std::move(jitter)), clock_(clock) {}

  // SetAgent and SetRegistrations say what is needed. The latter returns the names that are needed
  // no more.
  void SetAgent(const identity::SpiffeId& id);
  std::vector<std::string> SetRegistrations(
      std::span<const std::shared_ptr<const authz::Registration>> registrations);

  // Restore takes what an earlier process stored; false if it is needed no more.
  bool Restore(const std::string& registration, const StoredSvid& stored);

  // ForgetAsks is called when the stream was lost: answers will not come.
  void ForgetAsks();
  // Due makes a key and an ask for all that must be signed by now, at most `asks_max`.
  StatusOr<std::vector<SigningAsk>> Due(size_t asks_max);
  // Accept checks an answer against the ask, the profile and the bundles. It returns what to
  // store, and nothing for an answer that nobody waits for. The SVID is used from then on.
  struct Accepted {
    std::string registration;
    StoredSvid stored;
  };
  StatusOr<std::optional<Accepted>> Accept(const SigningAnswer& answer,
                                           const identity::PeerVerifier& verifier);

  // Valid gives the workloads' SVIDs that have not expired, by registration; ValidCount their
  // number.
  std::map<std::string, std::shared_ptr<const identity::X509Svid>> Valid() const;
  size_t ValidCount() const;
  const StoredSvid* agent_svid() const;
  // UntilDue is how long until Due has something to ask, UntilExpiry until Valid gives less, as the
  // clocks stand; none if that takes an event.
  std::optional<std::chrono::nanoseconds> UntilDue() const;
  std::optional<std::chrono::nanoseconds> UntilExpiry() const;

 private:
  struct Ask {
    uint64_t id = 0;
    identity::PrivateKey key;
    std::string asked_for;
    MonotonicTime when;
  };
  struct Entry {
    std::string id;
    std::string wanted;  // Fingerprint.
    std::optional<StoredSvid> current;
    WallTime renew_at;
    MonotonicTime renew_by;
    MonotonicTime ends;
    std::optional<Ask> ask;
    MonotonicTime retry_at;
    std::chrono::nanoseconds backoff{};
  };
  void Need(const std::string& name, const std::string& id, const std::string& wanted);
  bool Adopt(Entry& entry, const StoredSvid& stored) const;
  std::chrono::nanoseconds UntilDue(const Entry& entry) const;
  // How long its SVID is good for; nothing left if there is none.
  std::chrono::nanoseconds Left(const Entry& entry) const;
  void Fail(Entry& entry) const;

  const AgentLimits limits_;
  const std::function<double()> jitter_;
  const Clock& clock_;
  std::map<std::string, Entry> entries_;
  uint64_t last_ask_ = 0;
};

// SvidFingerprint changes with all that shapes a registration's SVID.
std::string SvidFingerprint(const authz::Registration& registration);

}  // namespace countersign::agent
