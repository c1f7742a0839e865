// Registration: which process on which node is given which identity. Made by the loader.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "authz/model/field.h"

namespace countersign::authz {

// UnixSelectors are facts that the node agent reads from the kernel about a caller. All that are
// set must hold; at least one is set.
struct UnixSelectors {
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::string path;    // Absolute path of the executable, or empty.
  std::string sha256;  // Lower-case hex of the executable's SHA-256, or empty.
};

// ProxyHolder says that the holder of the identity is a countersign-proxy: it may read its
// configuration, and its outbound side admits the application's uid.
struct ProxyHolder {
  std::optional<uint32_t> application_uid;
};

// Registration is one entry of the registry. Plain data.
struct Registration {
  std::string name;
  std::string id;                  // A valid SPIFFE ID; never /server or /agent/*.
  std::vector<std::string> nodes;  // SPIFFE IDs of the agents that may hold it; never empty.
  UnixSelectors selectors;
  std::optional<ProxyHolder> proxy;
  std::map<std::string, std::string> labels;
  std::chrono::nanoseconds svid_ttl = std::chrono::hours(1);
  std::string key_type = "ecdsa-p256";
  std::vector<std::string> dns_names;  // Sorted.
  std::string hint;
  std::chrono::nanoseconds jwt_ttl = std::chrono::minutes(5);
  std::vector<std::string> jwt_audiences;
  std::string canonical_json;
  SourcePosition where;
};

}  // namespace countersign::authz
