#include "identity/jwt/jwks.h"

#include <openssl/err.h>

#include <utility>

#include "identity/jwt/jwk_reader.h"
#include "identity/jwt/limits.h"

namespace countersign::identity {
namespace {

constexpr uint64_t kRefreshHintSecondsMax = 366u * 24 * 3600;

StatusOr<std::chrono::seconds> ReadRefreshHint(const Json& root) {
  auto member = root.find("spiffe_refresh_hint");
  if (member == root.end()) {
    return std::chrono::seconds(0);
  }
  if (!member->is_number_unsigned() || member->get<uint64_t>() > kRefreshHintSecondsMax) {
    return InvalidArgument("key set member spiffe_refresh_hint must be an integer from 0 to ",
                           kRefreshHintSecondsMax);
  }
  return std::chrono::seconds(member->get<uint64_t>());
}

// NameOf is how messages call a key: by its place, and by kid where it has a readable one.
std::string NameOf(const Json& element, size_t index) {
  std::string name = Concat("key ", index + 1);
  if (auto kid = element.is_object() ? element.find("kid") : element.end();
      kid != element.end() && kid->is_string()) {
    name += Concat(" (kid ", Quoted(kid->get_ref<const std::string&>()), ")");
  }
  return name;
}

}  // namespace

StatusOr<Jwks> Jwks::Parse(std::string_view json, JwkProfile profile) {
  ASSIGN_OR_RETURN(Json root, ParseStrictJson(json, {.what = "key set",
                                                     .bytes_max = JwtLimits::kJwksBytesMax,
                                                     .depth_max = JwtLimits::kJwksDepthMax}));
  if (!root.is_object()) {
    return InvalidArgument("key set must be a JSON object");
  }
  auto elements = root.find("keys");
  if (elements == root.end() || !elements->is_array()) {
    return InvalidArgument("key set must have an array \"keys\"");
  }
  if (elements->size() > JwtLimits::kJwksKeysMax) {
    return ResourceExhausted("key set has more than the limit of ", JwtLimits::kJwksKeysMax,
                             " keys");
  }
  Jwks jwks;
  ASSIGN_OR_RETURN(jwks.refresh_hint_, ReadRefreshHint(root));
  for (size_t i = 0; i < elements->size(); ++i) {
    const Json& element = (*elements)[i];
    StatusOr<std::variant<Jwk, IgnoredJwk>> read = ReadJwk(element, profile);
    if (!read.ok()) {
      return Annotate(read.status(), Concat("key set, ", NameOf(element, i)));
    }
    if (const auto* ignored = std::get_if<IgnoredJwk>(&*read)) {
      jwks.ignored_.push_back(Concat(NameOf(element, i), ": ", ignored->reason));
      continue;
    }
    Jwk& key = std::get<Jwk>(*read);
    // RFC 7517 4.5 asks for distinct kids; of two, nobody could say which one a token means.
    if (!key.kid.empty() && jwks.Find(key.kid) != nullptr) {
      return InvalidArgument("key set has two keys with the kid ", Quoted(key.kid));
    }
    jwks.keys_.push_back(std::move(key));
  }
  return jwks;
}

const Jwk* Jwks::Find(std::string_view kid) const {
  for (const Jwk& key : keys_) {
    if (!kid.empty() && key.kid == kid) {
      return &key;
    }
  }
  return nullptr;
}

const Jwk* Jwks::FindOnly(JwsAlgorithm algorithm) const {
  const Jwk* found = nullptr;
  for (const Jwk& key : keys_) {
    if (!key.Fits(algorithm)) {
      continue;
    }
    if (found != nullptr) {
      return nullptr;
    }
    found = &key;
  }
  return found;
}

}  // namespace countersign::identity
