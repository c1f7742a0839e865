// TlsCallbacks: what OpenSSL calls while a TlsEngine runs. Private to tls_*.cc.
#pragma once

#include <openssl/ssl.h>

#include "proxy_agent/tls_engine.h"

namespace countersign::proxy {

class TlsCallbacks {
 public:
  // Install sets the callbacks that a context shares with all its engines.
  static void Install(SSL_CTX* context, const TlsContext& owner);
  // Attach makes `ssl` read and write through `engine` and lets the callbacks find it.
  static void Attach(SSL* ssl, TlsEngine& engine);
  // PresentedChain is the peer's chain as DER, leaf first.
  static std::vector<std::string> PresentedChain(X509* leaf, const STACK_OF(X509) * chain);

 private:
  static TlsEngine& EngineOf(const SSL* ssl);
  static int Verify(X509_STORE_CTX* store, void* context);
  static int SelectAlpn(SSL* ssl, const unsigned char** out, unsigned char* out_bytes,
                        const unsigned char* offered, unsigned int offered_bytes, void* context);
  static void OnMessage(int write, int version, int content_type, const void* bytes, size_t size,
                        SSL* ssl, void* arg);
  static int BioRead(BIO* bio, char* into, size_t bytes, size_t* got);
  static int BioWrite(BIO* bio, const char* from, size_t bytes, size_t* written);
  static long BioControl(BIO* bio, int command, long number, void* pointer);
  static const BIO_METHOD* Method();
};

}  // namespace countersign::proxy
