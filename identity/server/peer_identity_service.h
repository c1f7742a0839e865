// Who calls the node port: the TLS credentials of that port, and the agent behind a call.
//
// A client that presents a certificate must present a good one, or the handshake fails; each call
// that needs an agent then verifies the chain again, for itself.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/published.h"
#include "identity/peer_verifier.h"

namespace countersign::server {

// Trust is the verifier of the moment; its server outlives all that use it.
using Trust = Published<identity::PeerVerifier>;

struct NodePortFiles {
  std::string certificate_path;  // PEM chain of the server's SVID.
  std::string key_path;          // Its key; gRPC sees a new pair within `reread`.
  std::chrono::seconds reread{5};
};

// RequireTls13 makes every gRPC server of this process refuse TLS 1.2. Called by main before gRPC
// is first used.
void RequireTls13();

std::shared_ptr<grpc::ServerCredentials> MakeNodePortCredentials(const NodePortFiles& files,
                                                                 std::shared_ptr<const Trust> trust,
                                                                 const Clock& clock);

// VerifyCaller verifies the chain that the call's client presented. Without one, and with a bad
// one, it is kUnauthenticated.
StatusOr<identity::VerifiedPeer> VerifyCaller(const grpc::ServerContextBase& context,
                                              const Trust& trust, WallTime now);

// AddressOf is the call's peer without its port, for the log: "127.0.0.1".
std::string AddressOf(const grpc::ServerContextBase& context);
// SourceOf is what of it counts for limits; see source.h.
std::string SourceOf(const grpc::ServerContextBase& context);

// ToGrpc carries a status of ours over the wire.
grpc::Status ToGrpc(const Status& status);

}  // namespace countersign::server
