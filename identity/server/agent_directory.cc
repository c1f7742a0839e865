#include "identity/server/agent_directory.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/crypto/hash.h"
#include "base/crypto/random.h"

namespace countersign::server {
namespace {

constexpr std::string_view kTokenPrefix = "token/";
constexpr std::string_view kAgentPrefix = "agent/";
constexpr std::string_view kAgentPath = "/agent/";
constexpr size_t kNumberDigits = 16;  // Of an attestation, in a serial of 40.
constexpr size_t kSerialDigits = 40;
constexpr std::string_view kOfAnother =
    "this agent was attested again since; its former SVID is of no use any more";

int64_t ToUnixMs(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

WallTime FromUnixMs(int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }

std::string TokenKey(std::string_view token) {
  return Concat(kTokenPrefix, HexLower(Sha256(token)));
}

std::string AgentKey(std::string_view name) { return Concat(kAgentPrefix, name); }

std::string ToJson(const AgentRecord& record) {
  return nlohmann::json{{"attestedUnixMs", ToUnixMs(record.attested)},
                        {"svidSerial", record.svid.serial},
                        {"svidNotAfterUnixMs", ToUnixMs(record.svid.not_after)},
                        {"attestation", record.attestation.hex()}}
      .dump();
}

StatusOr<AgentRecord> ParseAgent(const Entry& entry) {
  try {
    nlohmann::json json = nlohmann::json::parse(entry.value);
    return AgentRecord{entry.key.substr(kAgentPrefix.size()),
                       FromUnixMs(json.at("attestedUnixMs").get<int64_t>()),
                       {json.at("svidSerial").get<std::string>(),
                        FromUnixMs(json.at("svidNotAfterUnixMs").get<int64_t>())},
                       Attestation::Read(json.value("attestation", std::string()))};
  } catch (const nlohmann::json::exception& error) {
    return DataLoss("stored record ", entry.key, " cannot be read: ", error.what());
  }
}

struct TokenRecord {
  std::string node;
  WallTime expires;
};

StatusOr<TokenRecord> ParseToken(const Entry& entry) {
  try {
    nlohmann::json json = nlohmann::json::parse(entry.value);
    return TokenRecord{json.at("node").get<std::string>(),
                       FromUnixMs(json.at("expiresUnixMs").get<int64_t>())};
  } catch (const nlohmann::json::exception& error) {
    return DataLoss("a stored join token cannot be read: ", error.what());
  }
}

}  // namespace

Attestation Attestation::New() {
  std::string number = RandomBytes(kNumberDigits / 2);
  // In 0x40 to 0x7f: a positive number, and no leading zero that the hex would lose.
  number[0] = static_cast<char>((static_cast<unsigned char>(number[0]) & 0x3f) | 0x40);
  return Read(HexLower(number));
}

Attestation Attestation::Of(std::string_view serial) {
  return serial.size() == kSerialDigits ? Read(serial.substr(0, kNumberDigits)) : Attestation();
}

Attestation Attestation::Read(std::string_view hex) {
  Attestation made;
  if (hex.size() == kNumberDigits && hex.front() != '0' &&
      hex.find_first_not_of("0123456789abcdef") == std::string_view::npos) {
    made.hex_ = hex;
  }
  return made;
}

std::string Attestation::serial_prefix() const { return HexDecode(hex_).value_or(std::string()); }

StatusOr<identity::SpiffeId> AgentIdOf(const identity::TrustDomain& domain, std::string_view node) {
  if (node.empty() || node.size() > JoinTokenLimits::kNodeNameBytesMax ||
      node.find('/') != std::string_view::npos) {
    return InvalidArgument("node name ", Quoted(node), " must have 1 to ",
                           JoinTokenLimits::kNodeNameBytesMax, " bytes and no slash");
  }
  return identity::SpiffeId::Make(domain, Concat(kAgentPath, node));
}

StatusOr<std::string> AgentNameOf(const identity::TrustDomain& domain,
                                  const identity::SpiffeId& id) {
  std::string_view path = id.path();
  if (id.trust_domain_name() != domain.name() || !path.starts_with(kAgentPath) ||
      path.find('/', kAgentPath.size()) != std::string_view::npos) {
    return PermissionDenied(Quoted(id.str()), " is not the ID of an agent of ", domain.name());
  }
  return std::string(path.substr(kAgentPath.size()));
}

StatusOr<JoinToken> AgentDirectory::CreateToken(const TokenRequest& request, WallTime now) {
  ASSIGN_OR_RETURN(identity::SpiffeId agent_id, AgentIdOf(domain_, request.node));
  std::chrono::nanoseconds ttl =
      request.ttl.count() == 0 ? JoinTokenLimits::kTtlDefault : request.ttl;
  if (ttl.count() < 0 || ttl > JoinTokenLimits::kTtlMax) {
    return InvalidArgument("a join token lives at most ", FormatDuration(JoinTokenLimits::kTtlMax),
                           ", not ", FormatDuration(ttl));
  }
  ASSIGN_OR_RETURN(Listing tokens, store_.List(kTokenPrefix));
  if (tokens.entries.size() >= JoinTokenLimits::kTokensMax) {
    return ResourceExhausted("there are ", JoinTokenLimits::kTokensMax,
                             " unused join tokens; wait until some expire");
  }
  JoinToken made{RandomHex(JoinTokenLimits::kRandomBytes), std::move(agent_id), now + ttl};
  nlohmann::json record = {{"node", request.node},
                           {"expiresUnixMs", ToUnixMs(made.expires)},
                           {"author", request.author}};
  std::vector<Operation> put = {Operation::Put(TokenKey(made.token), record.dump())};
  RETURN_IF_ERROR(store_.Txn({}, put, {}).status());
  return made;
}

StatusOr<TokenGrant> AgentDirectory::FindToken(std::string_view token, WallTime now,
                                               std::string& why) {
  auto refused = [&](std::string_view reason) {
    why = reason;
    return PermissionDenied("the join token is unknown, used or expired; make a new one with ",
                            "countersign token generate");
  };
  if (token.empty() || token.size() > JoinTokenLimits::kTokenBytesMax) {
    return refused("bad length");
  }
  std::string key = TokenKey(token);
  ASSIGN_OR_RETURN(std::optional<Entry> entry, store_.Get(key));
  if (!entry) {
    return refused("unknown or used");
  }
  ASSIGN_OR_RETURN(TokenRecord record, ParseToken(*entry));
  if (now >= record.expires) {
    return refused(Concat("expired at ", FormatTime(record.expires)));
  }
  ASSIGN_OR_RETURN(identity::SpiffeId agent_id, AgentIdOf(domain_, record.node));
  return TokenGrant{record.node, std::move(agent_id), {std::move(key), entry->modified}};
}

Status AgentDirectory::Admit(const TokenGrant& grant, const SvidFacts& svid, WallTime now) {
  Attestation attestation = Attestation::Of(svid.serial);
  if (attestation.is_none()) {
    return Internal("the serial ", Quoted(svid.serial), " of an agent's SVID names no attestation");
  }
  std::vector<Compare> unused = {grant.unused};
  std::vector<Operation> admit = {
      Operation::Delete(grant.unused.key),
      Operation::Put(AgentKey(grant.node), ToJson({grant.node, now, svid, attestation}))};
  ASSIGN_OR_RETURN(TxnResult result, store_.Txn(unused, admit, {}));
  if (!result.succeeded) {
    return PermissionDenied("the join token was used by somebody else at this moment");
  }
  return absl::OkStatus();
}

StatusOr<std::optional<AgentRecord>> AgentDirectory::Find(std::string_view name) {
  ASSIGN_OR_RETURN(std::optional<Entry> entry, store_.Get(AgentKey(name)));
  if (!entry) {
    return std::optional<AgentRecord>();
  }
  ASSIGN_OR_RETURN(AgentRecord record, ParseAgent(*entry));
  return std::optional<AgentRecord>(std::move(record));
}

StatusOr<std::vector<AgentRecord>> AgentDirectory::All() {
  ASSIGN_OR_RETURN(Listing listing, store_.List(kAgentPrefix));
  std::vector<AgentRecord> records;
  for (const Entry& entry : listing.entries) {
    ASSIGN_OR_RETURN(AgentRecord record, ParseAgent(entry));
    records.push_back(std::move(record));
  }
  return records;
}

Status AgentDirectory::CheckCurrent(const AdmittedAgent& agent) {
  ASSIGN_OR_RETURN(std::optional<AgentRecord> record, Find(agent.name));
  if (!record) {
    return PermissionDenied("this agent was removed; attest it again with a new join token");
  }
  return !agent.attestation.is_none() && agent.attestation == record->attestation
             ? absl::OkStatus()
             : PermissionDenied(kOfAnother);
}

Status AgentDirectory::Renewed(const AdmittedAgent& agent, const SvidFacts& svid) {
  std::string key = AgentKey(agent.name);
  ASSIGN_OR_RETURN(std::optional<Entry> entry, store_.Get(key));
  if (!entry) {
    return NotFound("agent ", Quoted(agent.name), " was removed");
  }
  ASSIGN_OR_RETURN(AgentRecord record, ParseAgent(*entry));
  if (agent.attestation.is_none() || agent.attestation != record.attestation) {
    return PermissionDenied(kOfAnother);
  }
  record.svid = svid;
  std::vector<Compare> same = {{key, entry->modified}};
  std::vector<Operation> put = {Operation::Put(key, ToJson(record))};
  ASSIGN_OR_RETURN(TxnResult result, store_.Txn(same, put, {}));
  return result.succeeded ? absl::OkStatus()
                          : Error(StatusCode::kAborted, "agent ", Quoted(agent.name),
                                  " was changed at this moment; ask again");
}

Status AgentDirectory::Remove(std::string_view name) {
  std::vector<Operation> get = {Operation::Delete(AgentKey(name))};
  ASSIGN_OR_RETURN(std::optional<Entry> entry, store_.Get(AgentKey(name)));
  if (!entry) {
    return NotFound("there is no agent ", Quoted(name));
  }
  return store_.Txn({}, get, {}).status();
}

Status AgentDirectory::RemoveExpiredTokens(WallTime now) {
  ASSIGN_OR_RETURN(Listing tokens, store_.List(kTokenPrefix));
  for (const Entry& entry : tokens.entries) {
    ASSIGN_OR_RETURN(TokenRecord record, ParseToken(entry));
    if (now >= record.expires) {
      std::vector<Operation> erase = {Operation::Delete(entry.key)};
      RETURN_IF_ERROR(store_.Txn({}, erase, {}).status());
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::server
