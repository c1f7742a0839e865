#include "identity/jwt/jws_algorithm.h"

#include <array>

namespace countersign::identity {
namespace {

using enum JwsAlgorithm;
constexpr std::array<JwsAlgorithmFacts, kJwsAlgorithmCount> kFacts = {{
    {kRs256, "RS256", "SHA256", KeyType::kRsa, JwsPadding::kPkcs1, 0},
    {kRs384, "RS384", "SHA384", KeyType::kRsa, JwsPadding::kPkcs1, 0},
    {kRs512, "RS512", "SHA512", KeyType::kRsa, JwsPadding::kPkcs1, 0},
    {kPs256, "PS256", "SHA256", KeyType::kRsa, JwsPadding::kPss, 0},
    {kPs384, "PS384", "SHA384", KeyType::kRsa, JwsPadding::kPss, 0},
    {kPs512, "PS512", "SHA512", KeyType::kRsa, JwsPadding::kPss, 0},
    {kEs256, "ES256", "SHA256", KeyType::kP256, JwsPadding::kNone, 32},
    {kEs384, "ES384", "SHA384", KeyType::kP384, JwsPadding::kNone, 48},
    {kEs512, "ES512", "SHA512", KeyType::kP521, JwsPadding::kNone, 66},
}};

constexpr bool IsInOrder() {
  for (size_t i = 0; i < kFacts.size(); ++i) {
    if (static_cast<size_t>(kFacts[i].algorithm) != i) {
      return false;
    }
  }
  return true;
}
static_assert(IsInOrder());

}  // namespace

const JwsAlgorithmFacts& FactsOf(JwsAlgorithm algorithm) {
  return kFacts[static_cast<size_t>(algorithm)];
}

std::optional<JwsAlgorithm> ParseJwsAlgorithm(std::string_view name) {
  for (const JwsAlgorithmFacts& facts : kFacts) {
    if (facts.name == name) {
      return facts.algorithm;
    }
  }
  return std::nullopt;
}

}  // namespace countersign::identity
