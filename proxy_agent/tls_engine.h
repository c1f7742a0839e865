// TlsEngine: one TLS connection as bytes in, bytes out. It owns no socket and waits for nothing.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "identity/peer_verifier.h"
#include "proxy_agent/block_chain.h"
#include "proxy_agent/tls_context.h"

struct ssl_st;
struct bio_method_st;

namespace countersign::proxy {

// TlsFailure says why a connection ended; metrics and the log name it. Where it is kPeerRefused,
// TlsEngine::verify_error says what was wrong with the peer's certificate.
enum class TlsFailure : uint8_t {
  kNone,
  kProtocol,       // Not TLS 1.3 as we speak it, or broken records.
  kNoCertificate,  // The client sent none.
  kPeerRefused,    // PeerVerifier refused the chain.
  kWrongPeer,      // A valid SVID, but not the expected one.
  kAlpn,           // No protocol in common.
  kAlert,          // The peer gave up, often because it refused our certificate.
  kKeyUpdates,     // More than the budget.
};
std::string_view TlsFailureName(TlsFailure failure);

// TlsEngine belongs to one worker. The driver gives it what arrived with Feed, then calls Handshake
// or Read until they want more; what is to be sent is appended to the chain given at creation.
class TlsEngine {
 public:
  enum class Io : uint8_t {
    kOk,
    kWantInput,  // All that was fed is used up.
    kClosed,     // The peer's close_notify: a clean end.
    kFailed,     // failure() says why. What is in `out` (an alert) may still be sent.
  };

  // With `expected_peer`, a client refuses every other SPIFFE ID inside the handshake. A peer that
  // asks for new keys, or sends tickets, more than `key_updates_max` times is cut.
  TlsEngine(std::shared_ptr<const TlsContext> context, const Clock& clock, BlockChain& out,
            std::optional<identity::SpiffeId> expected_peer, uint32_t key_updates_max);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  // Feed borrows `bytes` until the call of Settle, which keeps the unread rest.
  void Feed(std::string_view bytes);
  void Settle();

  Io Handshake();
  bool established() const { return established_; }
  Io Read(std::span<char> into, size_t& got);
  // wants_input: the last Read used up everything that was fed.
  bool wants_input() const { return wants_input_; }
  // Write takes all of `plain`; false if the connection failed.
  bool Write(std::string_view plain);
  void SendCloseNotify();

  // The rest is known once established.
  const std::optional<identity::VerifiedPeer>& peer() const { return peer_; }
  std::string_view alpn() const;
  std::string_view sni() const { return sni_; }
  // VerifyAgain asks another verifier about the chain that the peer presented.
  bool VerifyAgain(const identity::PeerVerifier& verifier) const;
  // StillTrusted asks it if it is another one than the handshake's: a sweep finds only what was
  // established, so whoever was shaking hands is asked here.
  bool StillTrusted(const identity::PeerVerifier& verifier) const;

  TlsFailure failure() const { return failure_; }
  std::optional<identity::VerifyError> verify_error() const { return verify_error_; }

 private:
  friend class TlsCallbacks;
  Io Fail(int ssl_error);
  TlsFailure Classify() const;

  std::shared_ptr<const TlsContext> context_;
  const Clock& clock_;
  BlockChain& out_;
  std::optional<identity::SpiffeId> expected_peer_;
  ssl_st* ssl_ = nullptr;
  std::string_view input_;  // Borrowed between Feed and Settle, or a view of kept_.
  std::string kept_;
  bool established_ = false;
  bool close_notify_sent_ = false;
  bool wants_input_ = false;
  const uint32_t key_updates_max_;
  uint32_t key_updates_ = 0;
  TlsFailure failure_ = TlsFailure::kNone;
  std::optional<identity::VerifyError> verify_error_;
  std::optional<identity::VerifiedPeer> peer_;
  std::string sni_;
};

}  // namespace countersign::proxy
