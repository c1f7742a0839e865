#include "identity/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <optional>

#include "base/crypto/base64.h"

namespace countersign::identity {
namespace {

std::optional<WallTime> TimeOf(const ASN1_TIME* text) {
  // Days are counted from a fixed point, so that no time zone of the machine takes part.
  OpenSslPtr<ASN1_TIME, ASN1_TIME_free> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int seconds = 0;
  if (text == nullptr || ASN1_TIME_diff(&days, &seconds, epoch.get(), text) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  // The year 9999, which RFC 5280 4.1.2.5 gives to "no expiry", is beyond WallTime's nanoseconds.
  std::chrono::seconds whole = std::chrono::days(days) + std::chrono::seconds(seconds);
  constexpr auto kMax = std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds::max());
  constexpr auto kMin = std::chrono::ceil<std::chrono::seconds>(std::chrono::nanoseconds::min());
  return WallTime(std::clamp(whole, kMin, kMax));
}

}  // namespace

X509Ptr DecodeCertificate(std::string_view der) {
  const unsigned char* at = AsBytes(der);
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (certificate == nullptr || at != AsBytes(der) + der.size()) {
    return nullptr;
  }
  // OpenSSL reads BER too. Two spellings of one certificate would be two chains to the audit log.
  StatusOr<std::string> again = EncodeCertificate(certificate.get());
  return again.ok() && *again == der ? std::move(certificate) : nullptr;
}

StatusOr<std::string> EncodeCertificate(X509* certificate) {
  unsigned char* raw = nullptr;
  int size = i2d_X509(certificate, &raw);
  OpenSslBytesPtr bytes(raw);
  if (size <= 0) {
    return OpenSslError("encode certificate");
  }
  return std::string(reinterpret_cast<char*>(raw), static_cast<size_t>(size));
}

std::string CertificatePem(std::string_view der) {
  constexpr size_t kLine = 64;  // RFC 7468 section 2.
  std::string base64 = Base64Encode(der);
  std::string pem = "-----BEGIN CERTIFICATE-----\n";
  for (size_t at = 0; at < base64.size(); at += kLine) {
    pem.append(base64, at, kLine).push_back('\n');
  }
  return pem + "-----END CERTIFICATE-----\n";
}

StatusOr<std::vector<std::string>> SplitPem(std::string_view pem, size_t count_max) {
  BioPtr bio = MemoryBio(pem);
  std::vector<std::string> certificates;
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &name, &header, &data, &size) != 1) {
      bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      if (!is_end) {
        return MalformedError(Concat("read PEM after ", certificates.size(), " certificates"));
      }
      ERR_clear_error();
      return certificates;
    }
    OpenSslPtr<char, FreeOpenSslBytes> name_owner(name);
    OpenSslPtr<char, FreeOpenSslBytes> header_owner(header);
    OpenSslBytesPtr data_owner(data);
    if (std::string_view(name) != PEM_STRING_X509) {
      continue;
    }
    if (certificates.size() == count_max) {
      return ResourceExhausted("PEM text holds more than the limit of ", count_max,
                               " certificates");
    }
    certificates.emplace_back(reinterpret_cast<char*>(data), static_cast<size_t>(size));
  }
}

StatusOr<std::vector<std::string>> SplitDer(std::string_view der, size_t count_max) {
  std::vector<std::string> certificates;
  const unsigned char* at = AsBytes(der);
  const unsigned char* const end = at + der.size();
  while (at != end) {
    const unsigned char* begin = at;
    X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(end - at)));
    if (certificate == nullptr) {
      return MalformedError(Concat("read DER after ", certificates.size(), " certificates"));
    }
    if (certificates.size() == count_max) {
      return ResourceExhausted("more than the limit of ", count_max, " certificates");
    }
    certificates.emplace_back(reinterpret_cast<const char*>(begin),
                              static_cast<size_t>(at - begin));
  }
  return certificates;
}

std::string SerialHex(X509* certificate) {
  BignumPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  OpenSslPtr<char, FreeOpenSslBytes> text(number != nullptr ? BN_bn2hex(number.get()) : nullptr);
  if (text == nullptr) {
    ERR_clear_error();
    return "0";
  }
  std::string hex;
  for (const char* c = text.get(); *c != '\0'; ++c) {
    if (hex.empty() && *c == '0') {
      continue;
    }
    hex.push_back(*c >= 'A' && *c <= 'F' ? static_cast<char>(*c - 'A' + 'a') : *c);
  }
  return hex.empty() ? "0" : hex;
}

WallTime NotBefore(X509* certificate) {
  return TimeOf(X509_get0_notBefore(certificate)).value_or(WallTime::max());
}

WallTime NotAfter(X509* certificate) {
  return TimeOf(X509_get0_notAfter(certificate)).value_or(WallTime::min());
}

}  // namespace countersign::identity
