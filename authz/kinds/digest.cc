#include "authz/kinds/digest.h"

#include "base/crypto/hash.h"

namespace countersign::authz {

std::string PolicyDigest(std::span<const std::string> canonical_documents) {
  using std::string_view_literals::operator""sv;
  Sha256Hasher hasher;
  hasher.Update("countersign-policy/1\0"sv);
  for (const std::string& document : canonical_documents) {
    hasher.Update(document);
    hasher.Update("\n");  // JSON has no raw line feed, so the parts cannot run together.
  }
  return HexLower(hasher.Finish());
}

}  // namespace countersign::authz
