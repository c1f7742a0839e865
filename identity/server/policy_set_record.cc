#include "identity/server/policy_set_record.h"

#include <nlohmann/json.hpp>

#include "base/crypto/hash.h"

namespace countersign::server {

StatusOr<SplitPolicySet> SplitPolicySetVersion(const PolicySetVersion& version) {
  // Canonical JSON has no line feed, so one separates documents.
  std::string content;
  for (const std::string& document : version.documents) {
    if (document.find('\n') != std::string::npos) {
      return Internal("a canonical document of policy set ", version.set, " holds a line feed");
    }
    content += document + "\n";
  }
  if (content.size() > PolicySetRecordLimits::kSetBytesMax) {
    return ResourceExhausted("policy set ", version.set, " has ", content.size(),
                             " bytes, the limit is ", PolicySetRecordLimits::kSetBytesMax);
  }
  SplitPolicySet out;
  nlohmann::json names = nlohmann::json::array();
  for (size_t at = 0; at < content.size(); at += PolicySetRecordLimits::kChunkBytes) {
    std::string part = content.substr(at, PolicySetRecordLimits::kChunkBytes);
    std::string name = HexLower(Sha256(part));
    names.push_back(name);
    out.chunks.push_back({std::move(name), std::move(part)});
  }
  nlohmann::json record = {{"set", version.set},
                           {"version", version.version},
                           {"digest", version.digest},
                           {"author", version.author},
                           {"appliedUnixMs", version.applied_unix_ms},
                           {"rollbackOf", version.rollback_of},
                           {"chunks", std::move(names)}};
  out.record = record.dump();
  return out;
}

StatusOr<PolicySetRecord> ParsePolicySetRecord(std::string_view json) {
  try {
    nlohmann::json record = nlohmann::json::parse(json);
    PolicySetRecord out;
    out.version.set = record.at("set").get<std::string>();
    out.version.version = record.at("version").get<uint64_t>();
    out.version.digest = record.at("digest").get<std::string>();
    out.version.author = record.at("author").get<std::string>();
    out.version.applied_unix_ms = record.at("appliedUnixMs").get<int64_t>();
    out.version.rollback_of = record.at("rollbackOf").get<uint64_t>();
    out.chunks = record.at("chunks").get<std::vector<std::string>>();
    return out;
  } catch (const nlohmann::json::exception& error) {
    return DataLoss("a stored policy set record cannot be read: ", error.what());
  }
}

StatusOr<std::vector<std::string>> JoinDocuments(const std::vector<Chunk>& chunks) {
  std::string content;
  for (const Chunk& chunk : chunks) {
    if (HexLower(Sha256(chunk.content)) != chunk.sha256) {
      return DataLoss("stored chunk ", chunk.sha256, " does not have that hash");
    }
    content += chunk.content;
  }
  std::vector<std::string> documents;
  for (size_t at = 0; at < content.size();) {
    size_t end = content.find('\n', at);
    if (end == std::string::npos) {
      return DataLoss("the chunks of a policy set end inside a document");
    }
    documents.push_back(content.substr(at, end - at));
    at = end + 1;
  }
  return documents;
}

}  // namespace countersign::server
