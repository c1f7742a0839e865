#include "sds/agent/data_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/crypto/base64.h"
#include "base/crypto/hash.h"
#include "base/file.h"
#include "base/log.h"

namespace countersign::agent {
namespace {

constexpr unsigned kPrivateFile = 0600;
constexpr unsigned kPrivateFolder = 0700;
constexpr std::string_view kSvidSuffix = ".svid";

Status CheckPrivate(const std::string& path) {
  struct stat folder = {};
  if (::stat(path.c_str(), &folder) != 0) {
    return ErrnoError(errno, Concat("look at ", path));
  }
  if ((folder.st_mode & 077) != 0) {
    return FailedPrecondition(path, " holds private keys and is open to others; run: chmod 700 ",
                              path);
  }
  if (folder.st_uid != ::geteuid()) {
    return FailedPrecondition(path, " belongs to uid ", folder.st_uid, ", but this agent runs as ",
                              ::geteuid(), "; give it to the agent's user, or use another folder");
  }
  return absl::OkStatus();
}

std::string EncodeSvid(const std::string& registration, const StoredSvid& stored) {
  nlohmann::json chain = nlohmann::json::array();
  for (const std::string& der : stored.svid->chain_der()) {
    chain.push_back(Base64Encode(der));
  }
  nlohmann::json file = {
      {"registration", registration},
      {"chain", std::move(chain)},
      {"key", Base64Encode(stored.svid->key_pkcs8_der())},
      {"receivedUnixMs",
       std::chrono::duration_cast<std::chrono::milliseconds>(stored.received.time_since_epoch())
           .count()},
      {"askedFor", stored.asked_for},
  };
  return file.dump();
}

StatusOr<std::pair<std::string, StoredSvid>> DecodeSvid(const std::string& text) {
  nlohmann::json file = nlohmann::json::parse(text, nullptr, false);
  try {
    if (file.is_discarded()) {
      return DataLoss("it is not JSON");
    }
    std::vector<std::string> chain;
    for (const nlohmann::json& item : file.at("chain")) {
      ASSIGN_OR_RETURN(std::string der, Base64Decode(item.get<std::string>()));
      chain.push_back(std::move(der));
    }
    ASSIGN_OR_RETURN(std::string key, Base64Decode(file.at("key").get<std::string>()));
    ASSIGN_OR_RETURN(identity::X509Svid svid,
                     identity::X509Svid::Create(std::move(chain), std::move(key)));
    StoredSvid stored;
    stored.svid = std::make_shared<const identity::X509Svid>(std::move(svid));
    stored.received = WallTime(std::chrono::milliseconds(file.at("receivedUnixMs").get<int64_t>()));
    stored.asked_for = file.at("askedFor").get<std::string>();
    return std::make_pair(file.at("registration").get<std::string>(), std::move(stored));
  } catch (const nlohmann::json::exception&) {
    return DataLoss("it lacks a member, or has one of a wrong type");
  }
}

StatusOr<std::pair<std::string, StoredSvid>> LoadSvidFile(const std::string& path,
                                                          size_t bytes_max) {
  ASSIGN_OR_RETURN(std::string text, ReadSecretFile(path, bytes_max));
  StatusOr<std::pair<std::string, StoredSvid>> decoded = DecodeSvid(text);
  if (!decoded.ok()) {
    return Error(StatusCode::kDataLoss, path, ": ", Message(decoded.status()));
  }
  return decoded;
}

}  // namespace

StatusOr<DataFolder> DataFolder::Open(const std::string& path, const AgentLimits& limits) {
  RETURN_IF_ERROR(MakeFolder(path, kPrivateFolder));
  RETURN_IF_ERROR(CheckPrivate(path));
  ASSIGN_OR_RETURN(Fd lock, LockFolder(path));
  RETURN_IF_ERROR(MakeFolder(path + "/svids", kPrivateFolder));
  return DataFolder(path, limits, std::move(lock));
}

StatusOr<StoredSvid> DataFolder::LoadAgentSvid() const {
  auto loaded = LoadSvidFile(path_ + "/agent.svid", limits_.svid_file_bytes_max);
  RETURN_IF_ERROR(loaded.status());
  return std::move(loaded->second);
}

Status DataFolder::SaveAgentSvid(const StoredSvid& stored) const {
  return WriteFileAtomically(path_ + "/agent.svid", EncodeSvid("", stored), kPrivateFile);
}

StatusOr<identity::TrustBundle> DataFolder::LoadBundle(const identity::TrustDomain& domain) const {
  std::string path = path_ + "/bundle.json";
  ASSIGN_OR_RETURN(std::string json, ReadFile(path, identity::BundleLimits::kJsonBytesMax));
  StatusOr<identity::TrustBundle> bundle = identity::TrustBundle::ParseJson(domain, json);
  if (!bundle.ok()) {
    return Error(StatusCode::kDataLoss, path, ": ", Message(bundle.status()));
  }
  return bundle;
}

Status DataFolder::SaveBundle(const identity::TrustBundle& bundle) const {
  return WriteFileAtomically(path_ + "/bundle.json", bundle.ToJson(), kPrivateFile);
}

StatusOr<std::shared_ptr<const NodeState>> DataFolder::LoadState() const {
  std::string path = path_ + "/state";
  ASSIGN_OR_RETURN(std::string text, ReadSecretFile(path, limits_.state_bytes_max));
  StatusOr<std::shared_ptr<const NodeState>> state = NodeState::Decode(text);
  if (!state.ok()) {
    return Error(StatusCode::kDataLoss, path, ": ", Message(state.status()));
  }
  return state;
}

Status DataFolder::SaveState(const NodeState& state) const {
  std::string text = state.Encode();
  if (text.size() > limits_.state_bytes_max) {
    return ResourceExhausted("the pushed state is larger than ", limits_.state_bytes_max,
                             " bytes, the limit of one node");
  }
  return WriteFileAtomically(path_ + "/state", text, kPrivateFile);
}

Status DataFolder::SetStateAside() const {
  std::string path = path_ + "/state";
  if (::rename(path.c_str(), (path + ".damaged").c_str()) != 0) {
    return ErrnoError(errno, Concat("rename ", path));
  }
  return absl::OkStatus();
}

// Names of registrations are not file names; their digests are.
std::string DataFolder::SvidPath(const std::string& registration) const {
  return Concat(path_, "/svids/", HexLower(Sha256(registration)), kSvidSuffix);
}

StatusOr<std::map<std::string, StoredSvid>> DataFolder::LoadSvids() const {
  std::map<std::string, StoredSvid> svids;
  std::error_code error;
  std::filesystem::directory_iterator entries(path_ + "/svids", error);
  if (error) {
    return ErrnoError(error.value(), Concat("list ", path_, "/svids"));
  }
  for (const auto& entry : entries) {
    std::string path = entry.path().string();
    if (!path.ends_with(kSvidSuffix)) {
      continue;
    }
    auto loaded = LoadSvidFile(path, limits_.svid_file_bytes_max);
    if (!loaded.ok()) {
      LogWarning("a stored SVID cannot be used and will be signed again",
                 {{"why", loaded.status()}});
      continue;
    }
    svids.insert(*std::move(loaded));
  }
  return svids;
}

Status DataFolder::SaveSvid(const std::string& registration, const StoredSvid& stored) const {
  return WriteFileAtomically(SvidPath(registration), EncodeSvid(registration, stored),
                             kPrivateFile);
}

Status DataFolder::RemoveSvid(const std::string& registration) const {
  std::string path = SvidPath(registration);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, Concat("remove ", path));
  }
  return absl::OkStatus();
}

Status DataFolder::ForgetWork() const {
  std::string path = path_ + "/state";
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, Concat("remove ", path));
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path_ + "/svids", error)) {
    std::filesystem::remove(entry.path(), error);
  }
  return error ? ErrnoError(error.value(), Concat("empty ", path_, "/svids")) : absl::OkStatus();
}

Status DataFolder::SaveJoinedWith(const std::string& token) const {
  return WriteFileAtomically(path_ + "/joined_with", HexLower(Sha256(token)), kPrivateFile);
}

bool DataFolder::JoinedWith(const std::string& token) const {
  StatusOr<std::string> digest = ReadFile(path_ + "/joined_with", 64);
  return digest.ok() && *digest == HexLower(Sha256(token));
}

Status DataFolder::CheckWritable() const {
  std::string path = path_ + "/probe";
  // More than an SVID, its key and a bundle of a few authorities take.
  RETURN_IF_ERROR(WriteFileAtomically(path, std::string(size_t{64} << 10, 'p'), kPrivateFile));
  ::unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace countersign::agent
