#include "tests/support/test_ca.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/crypto/openssl.h"

namespace countersign {
namespace {

using identity::BundleSet;
using identity::SpiffeId;
using identity::TrustBundle;
using identity::TrustDomain;
using identity::X509Svid;

TrustDomain Domain(std::string_view name) {
  StatusOr<TrustDomain> domain = TrustDomain::Parse(name);
  CHECK(domain.ok());
  return *std::move(domain);
}

EVP_PKEY* Generate(TestKey::Kind kind) {
  switch (kind) {
    case TestKey::Kind::kP256:
      return EVP_EC_gen("P-256");
    case TestKey::Kind::kP384:
      return EVP_EC_gen("P-384");
    case TestKey::Kind::kP521:
      return EVP_EC_gen("P-521");
    case TestKey::Kind::kRsa1024:
      return EVP_RSA_gen(1024);
    case TestKey::Kind::kRsa2048:
      return EVP_RSA_gen(2048);
    case TestKey::Kind::kEd25519:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  }
  return nullptr;
}

void AddName(GENERAL_NAMES* names, int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  CHECK(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1);
  GENERAL_NAME_set0_value(name, type, value);
  CHECK(sk_GENERAL_NAME_push(names, name) > 0);
}

void AddSans(X509* certificate, const TestCertificateSpec& spec) {
  if (spec.uri_sans.empty() && spec.dns_sans.empty()) {
    return;
  }
  GeneralNamesPtr names(GENERAL_NAMES_new());
  for (const std::string& dns : spec.dns_sans) {
    AddName(names.get(), GEN_DNS, dns);
  }
  for (const std::string& uri : spec.uri_sans) {
    AddName(names.get(), GEN_URI, uri);
  }
  CHECK(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), spec.san_critical ? 1 : 0,
                          X509V3_ADD_APPEND) == 1);
}

void AddExtensions(X509* certificate, X509* issuer, const TestCertificateSpec& spec) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  // The subject's identifier comes first, because a self-signed certificate's issuer identifier
  // copies it.
  std::vector<std::pair<std::string, std::string>> ordered;
  for (const auto& extension : spec.extensions) {
    ordered.insert(extension.first == "subjectKeyIdentifier" ? ordered.begin() : ordered.end(),
                   extension);
  }
  for (const auto& [name, value] : ordered) {
    int times = value.empty() ? 0 : (name == spec.duplicated_extension ? 2 : 1);
    ExtensionPtr extension(
        times == 0 ? nullptr : X509V3_EXT_conf(nullptr, &context, name.c_str(), value.c_str()));
    CHECK(times == 0 || extension != nullptr);
    for (int i = 0; i < times; ++i) {
      CHECK(X509_add_ext(certificate, extension.get(), -1) == 1);
    }
  }
}

void SetTime(ASN1_TIME* field, WallTime time) {
  CHECK(ASN1_TIME_set(field,
                      std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count()) !=
        nullptr);
}

std::string Encode(X509* certificate) {
  unsigned char* raw = nullptr;
  int size = i2d_X509(certificate, &raw);
  CHECK(size > 0);
  OpenSslBytesPtr bytes(raw);
  return std::string(reinterpret_cast<char*>(raw), static_cast<size_t>(size));
}

X509Ptr Decode(std::string_view der) {
  const unsigned char* at = AsBytes(der);
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  CHECK(certificate != nullptr);
  return certificate;
}

// Write signs with `issuer_key`; an empty issuer means self-signed.
std::string Write(const TestCertificateSpec& spec, std::string_view issuer_der,
                  const TestKey& issuer_key) {
  X509Ptr certificate(X509_new());
  X509Ptr issuer = issuer_der.empty() ? nullptr : Decode(issuer_der);
  X509* above = issuer != nullptr ? issuer.get() : certificate.get();
  CHECK(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  CHECK(X509_set_pubkey(certificate.get(), spec.key.native()) == 1);
  BignumPtr serial(BN_new());
  CHECK(BN_rand(serial.get(), 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1);
  CHECK(BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) != nullptr);
  SetTime(X509_getm_notBefore(certificate.get()), spec.not_before);
  SetTime(X509_getm_notAfter(certificate.get()), spec.not_after);
  if (!spec.common_name.empty()) {
    CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                                     AsBytes(spec.common_name), -1, -1, 0) == 1);
  }
  CHECK(X509_set_issuer_name(certificate.get(), X509_get_subject_name(above)) == 1);
  AddExtensions(certificate.get(), above, spec);
  AddSans(certificate.get(), spec);
  const EVP_MD* digest = spec.digest.empty() ? nullptr : EVP_get_digestbyname(spec.digest.c_str());
  CHECK(X509_sign(certificate.get(), issuer_key.native(), digest) > 0);
  return Encode(certificate.get());
}

}  // namespace

TestKey::TestKey(Kind kind) : key_(Generate(kind), EVP_PKEY_free) { CHECK(key_ != nullptr); }

std::string TestKey::Pkcs8Der() const {
  OpenSslPtr<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(EVP_PKEY2PKCS8(key_.get()));
  unsigned char* raw = nullptr;
  int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &raw);
  CHECK(size > 0);
  OpenSslBytesPtr bytes(raw);
  return std::string(reinterpret_cast<char*>(raw), static_cast<size_t>(size));
}

std::string TestKey::Pkcs8Pem() const {
  BioPtr bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr,
                                      nullptr) == 1);
  return BioBytes(bio.get());
}

std::string PemOf(std::string_view certificate_der) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), Decode(certificate_der).get()) == 1);
  return BioBytes(bio.get());
}

std::string TestChain::ChainPem() const {
  std::string pem;
  for (const std::string& certificate : der) {
    pem += PemOf(certificate);
  }
  return pem;
}

std::shared_ptr<const X509Svid> TestChain::Svid() const {
  StatusOr<X509Svid> svid = X509Svid::Create(der, key.Pkcs8Der());
  CHECK(svid.ok());
  return std::make_shared<const X509Svid>(*std::move(svid));
}

TestCa::TestCa(std::string_view trust_domain, WallTime now)
    : trust_domain_(Domain(trust_domain)), now_(now) {
  TestCertificateSpec spec = CaSpec(Concat("root of ", trust_domain));
  key_ = spec.key;
  root_der_ = Write(spec, {}, key_);
  chain_der_ = {root_der_};
}

TestCa::TestCa(std::string_view trust_domain, const TestCertificateSpec& spec)
    : trust_domain_(Domain(trust_domain)),
      now_(spec.not_before + std::chrono::hours(1)),
      key_(spec.key),
      root_der_(Write(spec, {}, spec.key)) {
  chain_der_ = {root_der_};
}

TestCa::TestCa(const TestCa& parent, const TestCertificateSpec& spec)
    : trust_domain_(parent.trust_domain_),
      now_(parent.now_),
      key_(spec.key),
      root_der_(parent.root_der_) {
  chain_der_ = {Write(spec, parent.chain_der_.front(), parent.key_)};
  if (parent.chain_der_.front() != parent.root_der_) {
    chain_der_.insert(chain_der_.end(), parent.chain_der_.begin(), parent.chain_der_.end());
  }
}

TestCertificateSpec TestCa::CaSpec(std::string_view common_name) const {
  TestCertificateSpec spec;
  spec.uri_sans = {trust_domain_.IdString()};
  spec.san_critical = false;
  spec.common_name = common_name;
  spec.extensions = {{"basicConstraints", "critical,CA:TRUE"},
                     {"keyUsage", "critical,keyCertSign,cRLSign"},
                     {"subjectKeyIdentifier", "hash"},
                     {"authorityKeyIdentifier", "keyid:always"}};
  spec.not_before = now_ - std::chrono::hours(1);
  spec.not_after = now_ + std::chrono::hours(24);
  return spec;
}

TestCertificateSpec TestCa::LeafSpec(std::string_view path) const {
  TestCertificateSpec spec;
  spec.uri_sans = {Concat(trust_domain_.IdString(), path)};
  spec.extensions = {{"basicConstraints", "critical,CA:FALSE"},
                     {"keyUsage", "critical,digitalSignature"},
                     {"extendedKeyUsage", "serverAuth,clientAuth"},
                     {"subjectKeyIdentifier", "hash"},
                     {"authorityKeyIdentifier", "keyid:always"}};
  spec.not_before = now_ - std::chrono::seconds(10);
  spec.not_after = now_ + std::chrono::hours(1);
  return spec;
}

TestChain TestCa::Sign(const TestCertificateSpec& spec) const {
  TestChain chain;
  chain.key = spec.key;
  chain.der = {Write(spec, chain_der_.front(), key_)};
  if (chain_der_.front() != root_der_) {
    chain.der.insert(chain.der.end(), chain_der_.begin(), chain_der_.end());
  }
  return chain;
}

std::shared_ptr<const X509Svid> TestCa::Svid(std::string_view path,
                                             std::chrono::nanoseconds life) const {
  TestCertificateSpec spec = LeafSpec(path);
  spec.not_after = now_ + life;
  return Sign(spec).Svid();
}

std::string TestCa::root_pem() const { return PemOf(root_der_); }

std::string TestCa::CertificatePem() const { return PemOf(chain_der_.front()); }

std::shared_ptr<const TrustBundle> TestCa::Bundle() const {
  StatusOr<TrustBundle> bundle = TrustBundle::FromAuthorities(trust_domain_, {root_der_});
  CHECK(bundle.ok());
  return std::make_shared<const TrustBundle>(*std::move(bundle));
}

std::shared_ptr<const BundleSet> TestCa::Bundles(std::vector<const TestCa*> others) const {
  std::vector<BundleSet::Bundle> bundles = {Bundle()};
  for (const TestCa* other : others) {
    bundles.push_back(other->Bundle());
  }
  StatusOr<BundleSet> set = BundleSet::Create(std::move(bundles));
  CHECK(set.ok());
  return std::make_shared<const BundleSet>(*std::move(set));
}

}  // namespace countersign
