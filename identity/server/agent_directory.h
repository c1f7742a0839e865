// AgentDirectory keeps which nodes may speak to the server: join tokens that admit one once, and a
// record of each agent that was admitted.
//
// Of a token only its SHA-256 is stored. An agent without a record is refused, whatever certificate
// it holds: removing the record is how a node is banned.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "identity/server/store.h"
#include "identity/spiffe_id.h"

namespace countersign::server {

struct JoinTokenLimits {
  static constexpr size_t kRandomBytes = 24;  // 192 bits: not to be guessed.
  static constexpr size_t kTokenBytesMax = 256;
  static constexpr std::chrono::minutes kTtlDefault{10};
  static constexpr std::chrono::hours kTtlMax{24 * 7};  // A token in a drawer is a risk.
  static constexpr size_t kNodeNameBytesMax = 63;       // A host name's label.
  static constexpr size_t kTokensMax = 10000;           // Unused ones at a time.
};

struct JoinToken {
  std::string token;  // For the operator, once.
  identity::SpiffeId agent_id;
  WallTime expires;
};

// SvidFacts are what is kept of an SVID that was issued to an agent.
struct SvidFacts {
  std::string serial;
  WallTime not_after;
};

// Attestation is one admission of a node. All SVIDs that the agent has by it carry its number as
// the first 8 bytes of their serial, so that an SVID itself says whether it is of the newest one:
// an earlier one may have been ended because its key was stolen.
class Attestation {
 public:
  // None, which no SVID is of.
  Attestation() = default;
  // New is of a random number.
  static Attestation New();
  // Of reads the number from a serial in hex; none if the serial has none.
  static Attestation Of(std::string_view serial);
  // Read takes hex() back; none if it is not that.
  static Attestation Read(std::string_view hex);

  bool is_none() const { return hex_.empty(); }
  const std::string& hex() const { return hex_; }
  // serial_prefix is for identity::LeafRequest.
  std::string serial_prefix() const;
  bool operator==(const Attestation&) const = default;

 private:
  std::string hex_;  // 16 digits, the first not 0; or empty.
};

struct AgentRecord {
  std::string name;
  WallTime attested;
  SvidFacts svid;
  Attestation attestation = {};
};

// AdmittedAgent is an agent as its certificate names it: who, and by which attestation.
struct AdmittedAgent {
  std::string id;
  std::string name;
  Attestation attestation;
};

// TokenGrant is a valid, not yet used token.
struct TokenGrant {
  std::string node;
  identity::SpiffeId agent_id;
  Compare unused;  // Holds as long as nobody used it.
};

// AgentIdOf is spiffe://TD/agent/NODE.
StatusOr<identity::SpiffeId> AgentIdOf(const identity::TrustDomain& domain, std::string_view node);
// AgentNameOf is NODE, or an error if the ID is not an agent's.
StatusOr<std::string> AgentNameOf(const identity::TrustDomain& domain,
                                  const identity::SpiffeId& id);

// AgentDirectory is safe for any thread.
class AgentDirectory {
 public:
  AgentDirectory(Store& store, identity::TrustDomain domain)
      : store_(store), domain_(std::move(domain)) {}

  struct TokenRequest {
    std::string node;
    std::chrono::nanoseconds ttl{0};  // 0: the default.
    std::string author;
  };
  StatusOr<JoinToken> CreateToken(const TokenRequest& request, WallTime now);
  // FindToken says what a token grants, without using it. Unknown, used and expired tokens are one
  // error for the caller; `why` tells the log which.
  StatusOr<TokenGrant> FindToken(std::string_view token, WallTime now, std::string& why);
  // Admit uses the token and writes the agent's record, both or neither. `svid` is the first of a
  // new attestation.
  Status Admit(const TokenGrant& grant, const SvidFacts& svid, WallTime now);
  // CheckCurrent refuses an agent that was removed, or attested again since.
  Status CheckCurrent(const AdmittedAgent& agent);

  StatusOr<std::optional<AgentRecord>> Find(std::string_view name);
  StatusOr<std::vector<AgentRecord>> All();
  // Renewed notes a new SVID; kNotFound if the agent was removed meanwhile, kPermissionDenied if it
  // was attested again.
  Status Renewed(const AdmittedAgent& agent, const SvidFacts& svid);
  Status Remove(std::string_view name);
  // RemoveExpiredTokens clears tokens that nobody used in time.
  Status RemoveExpiredTokens(WallTime now);

 private:
  Store& store_;
  const identity::TrustDomain domain_;
};

}  // namespace countersign::server
