// What one caller may have under one SDS name, as Envoy reads it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "envoy/tls.pb.h"
#include "sds/agent/subscriber.h"
#include "sds/agent/workload_attestor.h"

namespace countersign::agent {

using EnvoySecret = envoy::extensions::transport_sockets::tls::v3::Secret;
inline constexpr std::string_view kSecretTypeUrl =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

// BuildSecret knows `default` and the caller's own IDs (certificate and key), `ROOTCA` and
// "spiffe://domain" (one domain's authorities), and `ALL` (Envoy's SPIFFE validator, every domain
// the caller trusts). Nothing for other names, and for those whose content is not there yet.
std::optional<EnvoySecret> BuildSecret(std::string_view name, const AgentView& view,
                                       const Attestation& attestation);

// OwnSecretNames are the names that stand for everything the caller has.
std::vector<std::string> OwnSecretNames(const AgentView& view, const Attestation& attestation);

}  // namespace countersign::agent
