// TestCa makes certificates for tests: valid SVIDs in one call, and any deliberately bad one by a
// change to its specification. It shares no code with the certificates that the product writes.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"

struct evp_pkey_st;

namespace countersign {

// TestKey is a key of any kind, also of those that the product refuses.
class TestKey {
 public:
  enum class Kind { kP256, kP384, kP521, kRsa1024, kRsa2048, kEd25519 };
  explicit TestKey(Kind kind = Kind::kP256);
  std::string Pkcs8Der() const;
  std::string Pkcs8Pem() const;
  evp_pkey_st* native() const { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

// TestCertificateSpec says everything about one certificate. Extensions are written as in an
// openssl.cnf, by short name: {"keyUsage", "critical,digitalSignature"}. An empty value leaves the
// extension out.
struct TestCertificateSpec {
  std::vector<std::string> uri_sans;  // Taken as they are, NUL included.
  std::vector<std::string> dns_sans;
  bool san_critical = true;
  std::string common_name;  // Empty: an empty subject.
  std::map<std::string, std::string> extensions;
  std::string duplicated_extension;  // Short name of one that is written twice.
  WallTime not_before;
  WallTime not_after;
  TestKey key;
  std::string digest = "SHA256";
};

// TestChain is a leaf, the certificates above it without the root, and the leaf's key.
struct TestChain {
  std::vector<std::string> der;
  TestKey key;

  std::vector<std::string_view> views() const { return {der.begin(), der.end()}; }
  std::string ChainPem() const;
  std::shared_ptr<const identity::X509Svid> Svid() const;  // Aborts when the chain is no SVID.
};

// TestCa is a signing certificate with its key; a root, or below another TestCa.
class TestCa {
 public:
  // A self-signed root. Everything is valid from an hour before `now` for a day after it.
  explicit TestCa(std::string_view trust_domain = "shop.example",
                  WallTime now = Clock::System().Now());
  // From any specification; self-signed, or signed by `parent`.
  TestCa(std::string_view trust_domain, const TestCertificateSpec& spec);
  TestCa(const TestCa& parent, const TestCertificateSpec& spec);

  // CaSpec and LeafSpec are valid as they come; LeafSpec's ID is spiffe://<domain><path>.
  TestCertificateSpec CaSpec(std::string_view common_name) const;
  TestCertificateSpec LeafSpec(std::string_view path) const;

  TestChain Sign(const TestCertificateSpec& spec) const;
  // Svid is a valid one; `life` from now.
  std::shared_ptr<const identity::X509Svid> Svid(
      std::string_view path, std::chrono::nanoseconds life = std::chrono::hours(1)) const;

  const identity::TrustDomain& trust_domain() const { return trust_domain_; }
  WallTime now() const { return now_; }
  const std::string& root_der() const { return root_der_; }
  std::string root_pem() const;
  // CertificatePem and KeyPem are those of this authority itself.
  std::string CertificatePem() const;
  std::string KeyPem() const { return key_.Pkcs8Pem(); }
  std::shared_ptr<const identity::TrustBundle> Bundle() const;
  // Bundles is a set of this domain alone, or with others.
  std::shared_ptr<const identity::BundleSet> Bundles(std::vector<const TestCa*> others = {}) const;

 private:
  identity::TrustDomain trust_domain_;
  WallTime now_;
  TestKey key_;
  std::vector<std::string> chain_der_;  // This authority first, without the root unless it is one.
  std::string root_der_;
};

// PemOf writes one certificate.
std::string PemOf(std::string_view certificate_der);

}  // namespace countersign
