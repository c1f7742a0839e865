// Any bytes as a presented chain. The input is a list of certificates, each after its length in two
// bytes; the first is the authority of shop.example, the rest is what the peer presents.
#include <openssl/err.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "identity/peer_verifier.h"
#include "identity/x509_svid.h"
#include "tests/support/openssl_verify.h"

namespace {

using namespace countersign;
using namespace countersign::identity;

std::vector<std::string_view> Split(std::string_view input) {
  std::vector<std::string_view> parts;
  while (input.size() >= 2) {
    size_t size = static_cast<uint8_t>(input[0]) * 256u + static_cast<uint8_t>(input[1]);
    input.remove_prefix(2);
    parts.push_back(input.substr(0, size));
    input.remove_prefix(parts.back().size());
  }
  return parts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const WallTime kNow = *ParseTime("2027-03-01T12:00:00Z");
  static const TrustDomain kShop = *TrustDomain::Parse("shop.example");
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::vector<std::string_view> parts = Split(input);
  if (parts.empty()) {
    return 0;
  }
  StatusOr<TrustBundle> bundle = TrustBundle::FromAuthorities(kShop, {std::string(parts[0])});
  BundleSet::Bundle used = std::make_shared<const TrustBundle>(
      bundle.ok() ? *std::move(bundle) : *TrustBundle::FromAuthorities(kShop, {}));
  PeerVerifier verifier(std::make_shared<const BundleSet>(*BundleSet::Create({used})));
  std::span<const std::string_view> chain(parts.begin() + 1, parts.end());
  VerifyResult result = verifier.Verify(chain, PeerRole::kClient, kNow);
  if (result.ok()) {
    const VerifiedPeer& peer = result.peer();
    CHECK(peer.id().trust_domain_name() == kShop.name() && !peer.id().path().empty());
    CHECK(peer.not_after() > kNow);
    CHECK(OpenSslAccepts({parts[0], chain, PeerRole::kClient, kNow}));
  }
  // The other readers of certificates, on the same bytes.
  (void)X509Svid::FromConcatenatedDer(input, {});
  (void)TrustBundle::FromConcatenatedDer(kShop, input);
  CHECK(ERR_peek_error() == 0);
  return 0;
}
