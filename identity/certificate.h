// Certificates between DER, PEM and OpenSSL's form, for the files of this folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/crypto/openssl.h"

namespace countersign::identity {

// DecodeCertificate accepts exactly one certificate in its one DER spelling; null otherwise. The
// error queue is left empty, because the bytes come from outside.
X509Ptr DecodeCertificate(std::string_view der);
StatusOr<std::string> EncodeCertificate(X509* certificate);

std::string CertificatePem(std::string_view der);
// SplitPem reads every certificate of a text, in order, as DER; at most `count_max`.
StatusOr<std::vector<std::string>> SplitPem(std::string_view pem, size_t count_max);

// SplitDer takes certificates that stand one after another, as the Workload API sends them; at most
// `count_max`.
StatusOr<std::vector<std::string>> SplitDer(std::string_view der, size_t count_max);

// SerialHex is lower case without leading zeros; "0" for zero.
std::string SerialHex(X509* certificate);

// A certificate whose times do not decode is valid never: NotBefore is the end of time and NotAfter
// its beginning.
WallTime NotBefore(X509* certificate);
WallTime NotAfter(X509* certificate);

}  // namespace countersign::identity
