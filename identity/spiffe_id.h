// SPIFFE IDs and trust domains: parsed once, valid ever after.
//
// SPIFFE-ID sections 2.1 to 2.4. Only the canonical spelling is accepted (lower-case scheme and
// trust domain); nothing is repaired. Values are immutable and safe to share between threads.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign::identity {

struct SpiffeIdLimits {
  static constexpr size_t kIdBytesMax = 2048;  // SPIFFE-ID 2.4: "MUST support ... up to 2048".
  static constexpr size_t kTrustDomainBytesMax = 255;  // SPIFFE-ID 2.4.
};

// TrustDomain is a valid trust domain name, without scheme: "shop.example".
class TrustDomain {
 public:
  static StatusOr<TrustDomain> Parse(std::string_view name);
  const std::string& name() const { return name_; }
  // IdString is the domain's own SPIFFE ID: "spiffe://shop.example".
  std::string IdString() const { return "spiffe://" + name_; }
  auto operator<=>(const TrustDomain&) const = default;

 private:
  friend class SpiffeId;
  explicit TrustDomain(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

// SpiffeId is a valid SPIFFE ID: "spiffe://shop.example/ns/prod/sa/web".
class SpiffeId {
 public:
  static StatusOr<SpiffeId> Parse(std::string_view text);
  // Make joins a domain and a path that begins with "/" (or is empty), under Parse's rules.
  static StatusOr<SpiffeId> Make(const TrustDomain& domain, std::string_view path);

  const std::string& str() const { return text_; }
  std::string_view trust_domain_name() const {
    return std::string_view(text_).substr(kSchemeBytes, path_at_ - kSchemeBytes);
  }
  TrustDomain trust_domain() const { return TrustDomain(std::string(trust_domain_name())); }
  // path is empty, or begins with "/" and has at least one segment.
  std::string_view path() const { return std::string_view(text_).substr(path_at_); }
  auto operator<=>(const SpiffeId& other) const { return text_ <=> other.text_; }
  bool operator==(const SpiffeId& other) const { return text_ == other.text_; }

 private:
  static constexpr size_t kSchemeBytes = 9;  // "spiffe://"
  SpiffeId(std::string text, size_t path_at) : text_(std::move(text)), path_at_(path_at) {}
  std::string text_;
  size_t path_at_;
};

}  // namespace countersign::identity

template <>
struct std::hash<countersign::identity::SpiffeId> {
  size_t operator()(const countersign::identity::SpiffeId& id) const noexcept {
    return std::hash<std::string>()(id.str());
  }
};
