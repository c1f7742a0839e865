// JwsAlgorithm is one of the nine signature algorithms that a token may use.
//
// RFC 7518 section 3.1 without HS* and none; the list of JWT-SVID section 2.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace countersign::identity {

enum class JwsAlgorithm : uint8_t {
  kRs256,
  kRs384,
  kRs512,
  kPs256,
  kPs384,
  kPs512,
  kEs256,
  kEs384,
  kEs512,
};
inline constexpr size_t kJwsAlgorithmCount = 9;

// KeyType is what a public key is; of elliptic curves the curve belongs to it, because ES256 is
// P-256 and nothing else (RFC 7518 section 3.4).
enum class KeyType : uint8_t { kRsa, kP256, kP384, kP521 };

enum class JwsPadding : uint8_t { kNone, kPkcs1, kPss };

// JwsAlgorithmFacts is all there is to know of one algorithm.
struct JwsAlgorithmFacts {
  JwsAlgorithm algorithm;
  std::string_view name;  // "ES256", the spelling of the header.
  const char* digest;     // OpenSSL's name: "SHA256".
  KeyType key_type;
  JwsPadding padding;       // RSA only.
  size_t coordinate_bytes;  // EC: r and s have this many bytes each. RSA: 0.
};
const JwsAlgorithmFacts& FactsOf(JwsAlgorithm algorithm);

// ParseJwsAlgorithm is nothing for every other name; case counts.
std::optional<JwsAlgorithm> ParseJwsAlgorithm(std::string_view name);
inline std::string_view JwsAlgorithmName(JwsAlgorithm algorithm) { return FactsOf(algorithm).name; }

// JwsAlgorithmSet is a set of algorithms.
class JwsAlgorithmSet {
 public:
  static JwsAlgorithmSet All() { return JwsAlgorithmSet((1u << kJwsAlgorithmCount) - 1); }
  JwsAlgorithmSet() = default;
  void Add(JwsAlgorithm algorithm) { bits_ |= Bit(algorithm); }
  bool Has(JwsAlgorithm algorithm) const { return (bits_ & Bit(algorithm)) != 0; }
  bool empty() const { return bits_ == 0; }

 private:
  explicit JwsAlgorithmSet(uint32_t bits) : bits_(bits) {}
  static uint32_t Bit(JwsAlgorithm algorithm) { return 1u << static_cast<unsigned>(algorithm); }
  uint32_t bits_ = 0;
};

}  // namespace countersign::identity
