// The SPIFFE bundle document: a JWK Set with the members that SPIFFE adds.
//
// For trust_bundle.cc alone; everybody else has TrustBundle.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "identity/trust_bundle.h"

namespace countersign::identity {

// BundleDocument is a bundle as written: authorities decoded from base64, not yet judged.
struct BundleDocument {
  std::vector<std::string> authorities_der;
  TrustBundle::Facts facts;
};

StatusOr<BundleDocument> ParseBundleJson(std::string_view json);
// PrintBundleJson sorts members by name, writes no white space and keeps the authorities' order.
// Each authority must be a decodable certificate with an EC or RSA key.
std::string PrintBundleJson(const BundleDocument& document);

}  // namespace countersign::identity
