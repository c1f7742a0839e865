#include "tests/support/openssl_verify.h"

#include <openssl/err.h>

#include "base/crypto/openssl.h"

namespace countersign {
namespace {

X509Ptr Decode(std::string_view der) {
  const unsigned char* at = AsBytes(der);
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

}  // namespace

bool OpenSslAccepts(const OpenSslQuestion& question) {
  OpenSslPtr<X509_STORE, X509_STORE_free> store(X509_STORE_new());
  X509Ptr root = Decode(question.root_der);
  X509Ptr leaf = question.chain_der.empty() ? nullptr : Decode(question.chain_der[0]);
  X509StackPtr presented(sk_X509_new_null());
  for (std::string_view der : question.chain_der) {
    if (X509Ptr certificate = Decode(der); certificate != nullptr) {
      sk_X509_push(presented.get(), certificate.release());
    }
  }
  X509StoreCtxPtr context(X509_STORE_CTX_new());
  bool accepted =
      root != nullptr && leaf != nullptr && X509_STORE_add_cert(store.get(), root.get()) == 1 &&
      X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), presented.get()) == 1 &&
      X509_STORE_CTX_set_purpose(context.get(), question.role == identity::PeerRole::kClient
                                                    ? X509_PURPOSE_SSL_CLIENT
                                                    : X509_PURPOSE_SSL_SERVER) == 1;
  if (accepted) {
    // What a bundle lists is an authority, self-signed or not.
    X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_PARTIAL_CHAIN);
    X509_STORE_CTX_set_time(
        context.get(), 0,
        std::chrono::floor<std::chrono::seconds>(question.now).time_since_epoch().count());
    accepted = X509_verify_cert(context.get()) == 1;
  }
  ERR_clear_error();
  return accepted;
}

}  // namespace countersign
