// How a policy set's version lies in the store: its documents as content-addressed chunks, which
// may be many and large, and one small record that names them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "identity/server/registry_state.h"

namespace countersign::server {

struct PolicySetRecordLimits {
  static constexpr size_t kChunkBytes = 256 * 1024;  // Three fit one transaction.
  static constexpr size_t kSetBytesMax = 32 << 20;   // As the loader takes in one apply.
};

// PolicySetRecord is the small part.
struct PolicySetRecord {
  PolicySetVersion version;         // Without documents.
  std::vector<std::string> chunks;  // SHA-256 in lower-case hex, in order.
};

struct Chunk {
  std::string sha256;
  std::string content;
};

struct SplitPolicySet {
  std::string record;  // JSON.
  std::vector<Chunk> chunks;
};

StatusOr<SplitPolicySet> SplitPolicySetVersion(const PolicySetVersion& version);
StatusOr<PolicySetRecord> ParsePolicySetRecord(std::string_view json);
// JoinDocuments undoes the split; each chunk is checked against its name.
StatusOr<std::vector<std::string>> JoinDocuments(const std::vector<Chunk>& chunks);

}  // namespace countersign::server
