// OpenSslAccepts is `openssl verify -partial_chain` and nothing more: the yardstick that no chain
// passes PeerVerifier without passing this too.
#pragma once

#include <span>
#include <string_view>

#include "base/clock.h"
#include "identity/peer_verifier.h"

namespace countersign {

// Question is one chain, leaf first, under one root.
struct OpenSslQuestion {
  std::string_view root_der;
  std::span<const std::string_view> chain_der;
  identity::PeerRole role;
  WallTime now;
};
bool OpenSslAccepts(const OpenSslQuestion& question);

}  // namespace countersign
