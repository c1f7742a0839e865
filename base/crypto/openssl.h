// OpenSSL's handles as C++ values, and its error queue as a Status.
//
// Included only by base/crypto, identity/ and the proxy's TLS files; every other folder sees bytes
// and values.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign {

// Deleter makes a unique_ptr free a C handle with the library's own function.
template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* handle) const {
    Free(handle);
  }
};

inline void FreeX509Stack(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }
inline void FreeOpenSslBytes(void* bytes) { OPENSSL_free(bytes); }

template <class T, auto Free>
using OpenSslPtr = std::unique_ptr<T, Deleter<Free>>;

using Asn1IntegerPtr = OpenSslPtr<ASN1_INTEGER, ASN1_INTEGER_free>;
using Asn1TimePtr = OpenSslPtr<ASN1_TIME, ASN1_TIME_free>;
using BasicConstraintsPtr = OpenSslPtr<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free>;
using BignumPtr = OpenSslPtr<BIGNUM, BN_free>;
using BioPtr = OpenSslPtr<BIO, BIO_free_all>;
using DigestCtxPtr = OpenSslPtr<EVP_MD_CTX, EVP_MD_CTX_free>;
using ExtendedKeyUsagePtr = OpenSslPtr<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free>;
using ExtensionPtr = OpenSslPtr<X509_EXTENSION, X509_EXTENSION_free>;
using GeneralNamesPtr = OpenSslPtr<GENERAL_NAMES, GENERAL_NAMES_free>;
using OpenSslBytesPtr = OpenSslPtr<unsigned char, FreeOpenSslBytes>;
using PkeyCtxPtr = OpenSslPtr<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using PkeyPtr = OpenSslPtr<EVP_PKEY, EVP_PKEY_free>;
using X509Ptr = OpenSslPtr<X509, X509_free>;
using X509ReqPtr = OpenSslPtr<X509_REQ, X509_REQ_free>;
using X509StackPtr = OpenSslPtr<STACK_OF(X509), FreeX509Stack>;
using X509StoreCtxPtr = OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

// ShareX509 is the only way to own a second reference.
inline X509Ptr ShareX509(X509* certificate) {
  X509_up_ref(certificate);
  return X509Ptr(certificate);
}

// OpenSslError drains this thread's error queue into one kInternal Status: "what: first reason", or
// "what" alone when OpenSSL gave none.
Status OpenSslError(std::string_view what);
// MalformedError is OpenSslError for bytes from outside: kInvalidArgument.
Status MalformedError(std::string_view what);

// MemoryBio reads `bytes`, which must outlive it.
BioPtr MemoryBio(std::string_view bytes);
// BioBytes is what was written to a memory BIO.
std::string BioBytes(BIO* bio);

inline const unsigned char* AsBytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace countersign
