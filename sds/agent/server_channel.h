// Channels to the server: the first one, whose answer is checked against the pin, and all later
// ones, on which the server must prove its SPIFFE ID within the handshake.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "identity/peer_verifier.h"
#include "identity/x509_svid.h"

namespace countersign::agent {

// UnverifiedChannel trusts whoever answers: for GetBundle alone, whose bytes the pin decides.
std::shared_ptr<grpc::Channel> UnverifiedChannel(const std::string& address);

// ServerIdentity is whom a verified channel expects, and who we are on it.
struct ServerIdentity {
  identity::SpiffeId server_id;
  std::shared_ptr<const identity::BundleSet> bundles;
  std::shared_ptr<const identity::X509Svid> own;  // Null before attestation.
};
// VerifiedChannel refuses, in the handshake, every peer that is not server_id by the bundles.
// `clock` outlives the channel.
std::shared_ptr<grpc::Channel> VerifiedChannel(const std::string& address,
                                               const ServerIdentity& identity, const Clock& clock);

// CertificatesFromPem gives the DER of each certificate; an error if a block is damaged.
StatusOr<std::vector<std::string>> CertificatesFromPem(std::string_view pem);

}  // namespace countersign::agent
