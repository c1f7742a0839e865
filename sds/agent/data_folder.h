// The agent's data folder: its own identity, the pushed state, the workloads' SVIDs.
//
// Every file is written whole or not at all, with mode 0600; a file or folder that others can read
// is refused, because it holds private keys.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/status.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"
#include "sds/agent/agent_limits.h"
#include "sds/agent/node_state.h"

namespace countersign::agent {

// StoredSvid is an SVID with what decides about its renewal.
struct StoredSvid {
  std::shared_ptr<const identity::X509Svid> svid;
  WallTime received;
  std::string asked_for;  // Fingerprint of the registration's part that shapes an SVID.
};

// DataFolder is locked for its life. One thread at a time.
class DataFolder {
 public:
  // Open makes the folder if it is not there, checks its mode and takes its lock.
  static StatusOr<DataFolder> Open(const std::string& path, const AgentLimits& limits);

  // Loads give NOT_FOUND if there is nothing yet.
  StatusOr<StoredSvid> LoadAgentSvid() const;
  Status SaveAgentSvid(const StoredSvid& stored) const;
  StatusOr<identity::TrustBundle> LoadBundle(const identity::TrustDomain& domain) const;
  Status SaveBundle(const identity::TrustBundle& bundle) const;
  StatusOr<std::shared_ptr<const NodeState>> LoadState() const;
  Status SaveState(const NodeState& state) const;

  // LoadSvids gives the workloads' SVIDs by registration. A damaged one is logged and left out: it
  // will be signed again.
  StatusOr<std::map<std::string, StoredSvid>> LoadSvids() const;
  Status SaveSvid(const std::string& registration, const StoredSvid& stored) const;
  Status RemoveSvid(const std::string& registration) const;

  // ForgetWork removes state and SVIDs: they were another node's.
  Status ForgetWork() const;
  // SaveJoinedWith remembers a token by its digest; JoinedWith recognizes it.
  Status SaveJoinedWith(const std::string& token) const;
  bool JoinedWith(const std::string& token) const;
  // CheckWritable tries to write, before something is given away that comes only once.
  Status CheckWritable() const;
  // SetStateAside renames a damaged state file, so that it can be looked at, and makes room.
  Status SetStateAside() const;
  const std::string& path() const { return path_; }

 private:
  DataFolder(std::string path, const AgentLimits& limits, Fd lock)
      : path_(std::move(path)), limits_(limits), lock_(std::move(lock)) {}
  std::string SvidPath(const std::string& registration) const;

  std::string path_;
  AgentLimits limits_;
  Fd lock_;
};

}  // namespace countersign::agent
