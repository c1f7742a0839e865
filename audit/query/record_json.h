// Audit records as JSON, for people, scripts and export; never on the data path.
#pragma once

#include <optional>
#include <string>

#include "audit/query/log_reader.h"

namespace countersign::audit {

// RecordJson is one object on one line. `completion` is added to a decision as "completion".
std::string RecordJson(const LocatedRecord& record, const CompletionRecord* completion = nullptr);

// FormatPeerIp prints IPv4-mapped addresses as IPv4; empty if there is none.
std::string FormatPeerIp(const std::optional<authz::IpAddress>& address);
std::string_view EffectName(authz::Effect effect);          // "allow", "deny".
std::string_view RequestKindName(authz::RequestKind kind);  // "http", "tcp".
std::string FormatTimeNs(int64_t time_ns);

}  // namespace countersign::audit
