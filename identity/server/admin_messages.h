// Between the server's values and administration's messages. No network here.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "countersign/v1/admin.pb.h"
#include "identity/server/agent_directory.h"
#include "identity/server/applier.h"
#include "identity/server/node_sessions.h"
#include "identity/server/registry_state.h"

namespace countersign::server {

v1::ApplyResponse ToProto(const ApplyReport& report);
v1::AgentStatus ToProto(const AgentRecord& record, const identity::SpiffeId& id,
                        const SessionStatus& session);

// KindOf is the kind behind a word of the command line: "registration", "policyset" ...
StatusOr<std::string_view> KindOf(std::string_view word);

// ResourcesOf lists what is there of a kind, by name.
std::map<std::string, v1::Resource> ResourcesOf(std::string_view kind, const RegistryState& state,
                                                const std::vector<RunningProxy>& proxies);

}  // namespace countersign::server
