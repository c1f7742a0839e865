// Asks the agent for this process's own identities over the SPIFFE Workload API. The agent knows
// who asks from the kernel; nothing is sent that says so.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"

namespace countersign::cli::svid {

// WorkloadIdentity is one identity with the authorities of its own trust domain.
struct WorkloadIdentity {
  std::shared_ptr<const identity::X509Svid> svid;
  std::shared_ptr<const identity::TrustBundle> bundle;
  std::string hint;
};
// The first is the default identity.
using WorkloadIdentities = std::vector<WorkloadIdentity>;

// ParseEndpoint reads what SPIFFE_ENDPOINT_SOCKET holds, or an absolute path, and gives the path.
StatusOr<std::string> ParseEndpoint(std::string_view text);

enum class Next { kMore, kEnough };
struct WorkloadQuestion {
  std::string socket;
  std::optional<std::chrono::nanoseconds> patience;  // None: until the stream ends.
};
// StreamIdentities hands each message to `take`, on the calling thread, until it has enough (OK),
// the patience is over (kDeadlineExceeded) or the agent ends the stream. A message that does not
// hold valid identities ends it with kInvalidArgument.
Status StreamIdentities(const WorkloadQuestion& question,
                        const std::function<Next(const WorkloadIdentities&)>& take);

}  // namespace countersign::cli::svid
