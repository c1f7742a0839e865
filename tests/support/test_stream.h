// TestStream is a raw connection, plain or TLS by OpenSSL itself, that a test drives byte by byte.
//
// It shares no code with the proxy's TLS. Every wait has an end; nothing sleeps.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/status.h"

namespace countersign {

// kPatience is for what must come: long, because a loaded machine is slow; it costs nothing else.
inline constexpr std::chrono::milliseconds kPatience{20000};

// TlsIdentity is a chain and key in PEM: an SVID's, or any deliberately bad one.
struct TlsIdentity {
  std::string chain_pem;
  std::string key_pem;
};

// TlsOptions says how to be a TLS peer. Peers' certificates are taken as they come: the tests judge
// them, not OpenSSL.
struct TlsOptions {
  TlsIdentity identity;           // Empty: none is shown.
  std::vector<std::string> alpn;  // In order of preference.
  std::string server_name;
  int version_max = TLS1_3_VERSION;
  bool ask_for_certificate = true;  // Server: request the client's.
  SSL_SESSION* resume = nullptr;    // Client: a session to resume; borrowed for the call.
};

class TestStream {
 public:
  // Address: "127.0.0.1:80" or "unix:/path".
  static StatusOr<std::unique_ptr<TestStream>> Connect(const std::string& address);
  // ConnectTls ends with the client's side of the handshake; a TLS 1.3 server may still refuse, and
  // says so on the first read.
  static StatusOr<std::unique_ptr<TestStream>> ConnectTls(const std::string& address,
                                                          const TlsOptions& options);
  // FromAccepted takes an accepted socket; with options it is the TLS server.
  static StatusOr<std::unique_ptr<TestStream>> FromAccepted(Fd socket, const TlsOptions* options);
  ~TestStream();
  TestStream(const TestStream&) = delete;
  TestStream& operator=(const TestStream&) = delete;

  // Write gives up, and says so, when the peer is gone or takes nothing.
  bool Write(std::string_view bytes);
  // ReadSome waits for the next bytes; empty at the end or when patience ends.
  std::string ReadSome(std::chrono::milliseconds patience = kPatience);
  // ReadUntil reads until `marker` was read; ReadAtLeast until so many bytes were; ReadAll to the
  // end. They return everything read since the last of these calls, also when patience ends first.
  std::string ReadUntil(std::string_view marker, std::chrono::milliseconds patience = kPatience);
  std::string ReadAtLeast(size_t bytes, std::chrono::milliseconds patience = kPatience);
  std::string ReadAll(std::chrono::milliseconds patience = kPatience);
  // Unread gives back bytes to the next read.
  void Unread(std::string bytes) { unread_ = std::move(bytes) + unread_; }

  // WaitForEnd reads and drops until the end; false when it did not come.
  bool WaitForEnd(std::chrono::milliseconds patience = kPatience);
  bool ended() const { return ended_; }
  // clean_end is close_notify on TLS and FIN on a plain socket.
  bool clean_end() const { return clean_end_; }
  // error is OpenSSL's reason or errno's, with an alert's name; empty if there was none.
  const std::string& error() const { return error_; }

  void ShutdownWrite();  // close_notify and FIN.
  void Cut();            // FIN without close_notify, or RST for a plain socket.

  std::string alpn() const;
  std::string tls_version() const;
  std::vector<std::string> peer_chain_der() const;
  SSL* native() const { return ssl_.get(); }
  int fd() const { return socket_.get(); }

 private:
  struct FreeSsl {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  explicit TestStream(Fd socket) : socket_(std::move(socket)) {}
  Status StartTls(const TlsOptions& options, bool server);
  bool WaitFor(short events, std::chrono::steady_clock::time_point until) const;
  // Handle says whether to try again after OpenSSL's or the system's result.
  bool Handle(int result, std::chrono::steady_clock::time_point until);
  std::string ReadWhile(const std::function<bool(const std::string&)>& more,
                        std::chrono::milliseconds patience);

  Fd socket_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  std::string unread_;
  bool ended_ = false;
  bool clean_end_ = false;
  std::string error_;
};

// TestServer accepts connections and runs a handler for each on a thread of its own.
class TestServer {
 public:
  using Handler = std::function<void(TestStream& stream)>;
  // Address as in Connect, with port 0 for any. With `tls` connections whose handshake fails never
  // reach the handler; they are counted all the same.
  static std::unique_ptr<TestServer> Start(const std::string& address, Handler handler,
                                           std::unique_ptr<TlsOptions> tls = nullptr);
  ~TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  const std::string& address() const { return address_; }
  size_t accepted() const;
  size_t handshakes() const;

 private:
  TestServer() = default;
  void Run();

  Fd listener_;
  std::string address_;
  Handler handler_;
  std::unique_ptr<TlsOptions> tls_;
  mutable std::mutex mutex_;
  bool stopping_ = false;
  size_t accepted_ = 0;
  size_t handshakes_ = 0;
  std::vector<int> open_;  // Sockets to shut down at the end.
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// FreeAddress is a loopback TCP address on which nobody listened a moment ago.
std::string FreeAddress();

}  // namespace countersign
