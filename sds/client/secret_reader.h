// Reads Envoy's secret messages into values of identity/. Nothing here talks to anybody.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/status.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"

namespace envoy::service::discovery::v3 {
class DiscoveryResponse;
}

namespace countersign::sds {

// The names under which the agent serves a proxy's secrets.
inline constexpr std::string_view kSvidSecretName = "default";
inline constexpr std::string_view kBundlesSecretName = "ALL";
inline constexpr std::string_view kSecretTypeUrl =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

// Secrets is what one response brought; what it does not name is null.
struct Secrets {
  std::shared_ptr<const identity::X509Svid> svid;
  std::shared_ptr<const identity::BundleSet> bundles;
};

// ReadSecrets refuses the whole response for one fault in it: a secret nobody asked for or twice,
// an SVID outside its profile or without its key, a bundle with a certificate that is no authority.
StatusOr<Secrets> ReadSecrets(const envoy::service::discovery::v3::DiscoveryResponse& response);

}  // namespace countersign::sds
