// The limits of reading tokens and keys, each with its reason.
#pragma once

#include <chrono>
#include <cstddef>

namespace countersign::identity {

struct JwtLimits {
  // Tokens.
  static constexpr size_t kTokenBytesMax = 16 * 1024;  // Half of what a request's head may take.
  static constexpr size_t kHeaderBytesMax = 1024;      // alg, kid and typ take under 300.
  static constexpr size_t kKeyIdBytesMax = 512;        // Issuers use 16 to 100.
  static constexpr size_t kJsonDepthMax = 8;           // Claims of real issuers nest three deep.
  static constexpr size_t kClaimValuesMax = 1024;      // Issuers cap group lists at 200.
  // kLeeway is how far two clocks may be apart, for exp, nbf and iat (RFC 7519 4.1.4: "some small
  // leeway ... usually no more than a few minutes").
  static constexpr std::chrono::seconds kLeeway{30};
  // Who is believed.
  static constexpr size_t kIssuersMax = 64;    // A mesh trusts a handful.
  static constexpr size_t kAudiencesMax = 64;  // Names of one workload.
  // Key sets.
  static constexpr size_t kJwksBytesMax = 1024 * 1024;  // As a bundle, which is one.
  static constexpr size_t kJwksDepthMax = 16;           // As a bundle.
  static constexpr size_t kJwksKeysMax = 256;           // Keys of every use together.
};

}  // namespace countersign::identity
