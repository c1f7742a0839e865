#include "identity/certificate_writer.h"

#include "base/crypto/random.h"
#include "identity/certificate.h"

namespace countersign::identity {
namespace {

constexpr size_t kSerialBytes = 16;
constexpr size_t kSerialBytesAfterPrefix = 12;
constexpr size_t kCommonNameBytesMax = 64;  // RFC 5280 appendix A, ub-common-name.

Status SetSerial(X509* certificate, const std::string& bytes) {
  BignumPtr number(BN_bin2bn(AsBytes(bytes), static_cast<int>(bytes.size()), nullptr));
  Asn1IntegerPtr serial(number != nullptr ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr);
  if (serial == nullptr || X509_set_serialNumber(certificate, serial.get()) != 1) {
    return OpenSslError("set serial number");
  }
  return absl::OkStatus();
}

time_t Seconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

Status SetValidity(X509* certificate, const Validity& validity) {
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), Seconds(validity.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), Seconds(validity.not_after)) == nullptr) {
    return OpenSslError("set validity");
  }
  return absl::OkStatus();
}

struct ExtensionText {
  int nid;
  const char* text;  // As in openssl.cnf; always a constant of ours.
};

Status AddExtension(X509* certificate, X509* issuer, const ExtensionText& extension) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  ExtensionPtr value(X509V3_EXT_conf_nid(nullptr, &context, extension.nid, extension.text));
  if (value == nullptr || X509_add_ext(certificate, value.get(), -1) != 1) {
    return OpenSslError(Concat("add extension ", OBJ_nid2sn(extension.nid)));
  }
  return absl::OkStatus();
}

Status PushName(GENERAL_NAMES* names, int type, std::string_view text) {
  OpenSslPtr<GENERAL_NAME, GENERAL_NAME_free> name(GENERAL_NAME_new());
  OpenSslPtr<ASN1_IA5STRING, ASN1_IA5STRING_free> value(ASN1_IA5STRING_new());
  if (name == nullptr || value == nullptr ||
      ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size())) != 1) {
    return OpenSslError("make subject alternative name");
  }
  GENERAL_NAME_set0_value(name.get(), type, value.release());
  if (sk_GENERAL_NAME_push(names, name.get()) == 0) {
    return OpenSslError("make subject alternative name");
  }
  (void)name.release();  // The list owns it now.
  return absl::OkStatus();
}

// Names go in as values, never through a configuration text, so that no name can add another.
Status AddNames(X509* certificate, std::string_view uri,
                const std::vector<std::string>& dns_names) {
  GeneralNamesPtr names(GENERAL_NAMES_new());
  if (names == nullptr) {
    return OpenSslError("make subject alternative names");
  }
  RETURN_IF_ERROR(PushName(names.get(), GEN_URI, uri));
  for (const std::string& dns_name : dns_names) {
    RETURN_IF_ERROR(PushName(names.get(), GEN_DNS, dns_name));
  }
  // RFC 5280 4.1.2.6: critical when the subject is empty, and only then.
  int critical = X509_NAME_entry_count(X509_get_subject_name(certificate)) == 0 ? 1 : 0;
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), critical,
                        X509V3_ADD_DEFAULT) != 1) {
    return OpenSslError("add subject alternative names");
  }
  return absl::OkStatus();
}

Status AddSubjectPart(X509_NAME* name, const char* part, std::string_view text) {
  if (X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, AsBytes(text),
                                 static_cast<int>(text.size()), -1, 0) != 1) {
    return OpenSslError("write subject");
  }
  return absl::OkStatus();
}

// Finish adds the key identifiers and signs; `issuer_certificate` may be `certificate` itself.
StatusOr<std::string> Finish(X509* certificate, const Issuer& issuer) {
  X509* above = issuer.certificate != nullptr ? issuer.certificate : certificate;
  RETURN_IF_ERROR(AddExtension(certificate, above, {NID_subject_key_identifier, "hash"}));
  RETURN_IF_ERROR(AddExtension(certificate, above, {NID_authority_key_identifier, "keyid:always"}));
  if (X509_set_issuer_name(certificate, X509_get_subject_name(above)) != 1 ||
      X509_sign(certificate, issuer.key->native(), EVP_sha256()) <= 0) {
    return OpenSslError("sign certificate");
  }
  return EncodeCertificate(certificate);
}

}  // namespace

StatusOr<std::string> WriteLeaf(const LeafContent& content, const Issuer& issuer) {
  X509Ptr leaf(X509_new());
  if (leaf == nullptr || X509_set_version(leaf.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(leaf.get(), content.public_key) != 1) {
    return OpenSslError("make certificate");
  }
  const std::string& prefix = content.serial_prefix;
  RETURN_IF_ERROR(
      SetSerial(leaf.get(), prefix.empty() ? RandomBytes(kSerialBytes)
                                           : Concat(prefix, RandomBytes(kSerialBytesAfterPrefix))));
  RETURN_IF_ERROR(SetValidity(leaf.get(), content.validity));
  for (const ExtensionText& extension :
       {ExtensionText{NID_key_usage, "critical,digitalSignature"},
        ExtensionText{NID_ext_key_usage, "serverAuth,clientAuth"},
        ExtensionText{NID_basic_constraints, "critical,CA:FALSE"}}) {
    RETURN_IF_ERROR(AddExtension(leaf.get(), issuer.certificate, extension));
  }
  RETURN_IF_ERROR(AddNames(leaf.get(), content.id.str(), content.dns_names));
  return Finish(leaf.get(), issuer);
}

StatusOr<std::string> WriteSigner(const SignerContent& content, const Issuer& issuer) {
  X509Ptr signer(X509_new());
  if (signer == nullptr || X509_set_version(signer.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(signer.get(), content.public_key) != 1) {
    return OpenSslError("make certificate");
  }
  RETURN_IF_ERROR(SetSerial(signer.get(), RandomBytes(kSerialBytes)));
  RETURN_IF_ERROR(SetValidity(signer.get(), content.validity));
  // The serial in the subject keeps two signers of one domain apart for verifiers that find issuers
  // by name alone.
  X509_NAME* subject = X509_get_subject_name(signer.get());
  RETURN_IF_ERROR(AddSubjectPart(subject, "O", "Countersign"));
  RETURN_IF_ERROR(AddSubjectPart(
      subject, "CN", std::string_view(content.domain.name()).substr(0, kCommonNameBytesMax)));
  RETURN_IF_ERROR(AddSubjectPart(subject, "serialNumber", SerialHex(signer.get())));
  X509* above = issuer.certificate != nullptr ? issuer.certificate : signer.get();
  for (const ExtensionText& extension :
       {ExtensionText{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        ExtensionText{NID_key_usage, "critical,keyCertSign,cRLSign"}}) {
    RETURN_IF_ERROR(AddExtension(signer.get(), above, extension));
  }
  RETURN_IF_ERROR(AddNames(signer.get(), content.domain.IdString(), {}));
  return Finish(signer.get(), issuer);
}

}  // namespace countersign::identity
