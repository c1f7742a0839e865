#include "tests/support/test_stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace countersign {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

SteadyTime Until(std::chrono::milliseconds patience) {
  return std::chrono::steady_clock::now() + patience;
}

StatusOr<sockaddr_in> ParseIpv4(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in parsed = {};
  parsed.sin_family = AF_INET;
  if (colon == std::string::npos ||
      inet_pton(AF_INET, address.substr(0, colon).c_str(), &parsed.sin_addr) != 1) {
    return InvalidArgument("not an IPv4 address with a port: ", Quoted(address));
  }
  parsed.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  return parsed;
}

StatusOr<Fd> ConnectSocket(const std::string& address) {
  if (address.starts_with("unix:")) {
    return ConnectUnix(address.substr(5));
  }
  ASSIGN_OR_RETURN(const sockaddr_in to, ParseIpv4(address));
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    return ErrnoError(errno, Concat("connect ", address));
  }
  const int one = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return socket;
}

std::string OpenSslReason() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    text += (text.empty() ? "" : "; ") + std::string(reason == nullptr ? "unknown" : reason);
  }
  return text;
}

using BioPtr = std::unique_ptr<BIO, decltype([](BIO* bio) { BIO_free(bio); })>;
using X509Ptr = std::unique_ptr<X509, decltype([](X509* x) { X509_free(x); })>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype([](EVP_PKEY* key) { EVP_PKEY_free(key); })>;
using ContextPtr = std::unique_ptr<SSL_CTX, decltype([](SSL_CTX* c) { SSL_CTX_free(c); })>;

bool UseIdentity(SSL_CTX* context, const TlsIdentity& identity) {
  const BioPtr chain(
      BIO_new_mem_buf(identity.chain_pem.data(), static_cast<int>(identity.chain_pem.size())));
  const BioPtr key_text(
      BIO_new_mem_buf(identity.key_pem.data(), static_cast<int>(identity.key_pem.size())));
  const X509Ptr leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  const KeyPtr key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  if (!leaf || !key || SSL_CTX_use_certificate(context, leaf.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return false;
  }
  while (const X509Ptr next{PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)}) {
    SSL_CTX_add1_chain_cert(context, next.get());
  }
  ERR_clear_error();  // The end of the chain leaves "no start line".
  return true;
}

std::string AlpnWire(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) {
    wire += static_cast<char>(name.size());
    wire += name;
  }
  return wire;
}

int SelectAlpn(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size,
               const unsigned char* in, unsigned int in_size, void* argument) {
  const auto& wire = *static_cast<const std::string*>(argument);
  return SSL_select_next_proto(const_cast<unsigned char**>(out), out_size,
                               reinterpret_cast<const unsigned char*>(wire.data()),
                               static_cast<unsigned>(wire.size()), in,
                               in_size) == OPENSSL_NPN_NEGOTIATED
             ? SSL_TLSEXT_ERR_OK
             : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

TestStream::~TestStream() = default;

StatusOr<std::unique_ptr<TestStream>> TestStream::Connect(const std::string& address) {
  ASSIGN_OR_RETURN(Fd socket, ConnectSocket(address));
  RETURN_IF_ERROR(SetNonBlocking(socket.get()));
  return std::unique_ptr<TestStream>(new TestStream(std::move(socket)));
}

StatusOr<std::unique_ptr<TestStream>> TestStream::ConnectTls(const std::string& address,
                                                             const TlsOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<TestStream> stream, Connect(address));
  RETURN_IF_ERROR(stream->StartTls(options, /*server=*/false));
  return stream;
}

StatusOr<std::unique_ptr<TestStream>> TestStream::FromAccepted(Fd socket,
                                                               const TlsOptions* options) {
  RETURN_IF_ERROR(SetNonBlocking(socket.get()));
  std::unique_ptr<TestStream> stream(new TestStream(std::move(socket)));
  if (options != nullptr) {
    RETURN_IF_ERROR(stream->StartTls(*options, /*server=*/true));
  }
  return stream;
}

Status TestStream::StartTls(const TlsOptions& options, bool server) {
  IgnoreSigpipe();  // OpenSSL writes with write(2).
  const ContextPtr context(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_max_proto_version(context.get(), options.version_max);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (!options.identity.chain_pem.empty() && !UseIdentity(context.get(), options.identity)) {
    return InvalidArgument("identity: ", OpenSslReason());
  }
  const auto take_any = [](int, X509_STORE_CTX*) { return 1; };
  const bool ask = !server || options.ask_for_certificate;
  SSL_CTX_set_verify(context.get(), ask ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, take_any);
  const std::string alpn = AlpnWire(options.alpn);
  if (server) {
    SSL_CTX_set_alpn_select_cb(context.get(), SelectAlpn, const_cast<std::string*>(&alpn));
  } else if (!alpn.empty()) {
    SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                            static_cast<unsigned>(alpn.size()));
  }
  ssl_.reset(SSL_new(context.get()));
  SSL_set_fd(ssl_.get(), socket_.get());
  if (!server && !options.server_name.empty()) {
    SSL_set_tlsext_host_name(ssl_.get(), options.server_name.c_str());
  }
  if (options.resume != nullptr) {
    SSL_set_session(ssl_.get(), options.resume);
  }
  const SteadyTime until = Until(kPatience);
  while (true) {
    ERR_clear_error();
    const int result = server ? SSL_accept(ssl_.get()) : SSL_connect(ssl_.get());
    if (result == 1) {
      return absl::OkStatus();
    }
    if (!Handle(result, until)) {
      return Unavailable("handshake: ", error_.empty() ? "ended" : error_);
    }
  }
}

bool TestStream::WaitFor(short events, SteadyTime until) const {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      until - std::chrono::steady_clock::now());
  if (left.count() < 0) {
    return false;
  }
  pollfd poll_fd = {.fd = socket_.get(), .events = events, .revents = 0};
  return ::poll(&poll_fd, 1, static_cast<int>(left.count())) > 0;
}

bool TestStream::Handle(int result, SteadyTime until) {
  const int saved_errno = errno;
  if (!ssl_) {
    if (saved_errno == EAGAIN) {
      return false;  // The caller waits.
    }
    ended_ = true;
    error_ = std::strerror(saved_errno);
    return false;
  }
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return WaitFor(POLLIN, until);
    case SSL_ERROR_WANT_WRITE:
      return WaitFor(POLLOUT, until);
    case SSL_ERROR_ZERO_RETURN:
      ended_ = clean_end_ = true;
      return false;
    case SSL_ERROR_SYSCALL:
      ended_ = true;
      error_ = saved_errno == 0 ? "cut" : std::strerror(saved_errno);
      return false;
    default:
      ended_ = true;
      error_ = OpenSslReason();
      return false;
  }
}

bool TestStream::Write(std::string_view bytes) {
  const SteadyTime until = Until(kPatience);
  while (!bytes.empty()) {
    ssize_t n = 0;
    if (ssl_) {
      ERR_clear_error();
      errno = 0;
      n = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
      if (n <= 0) {
        if (Handle(static_cast<int>(n), until)) {
          continue;
        }
        return false;
      }
    } else {
      n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) {
        if (errno == EAGAIN && WaitFor(POLLOUT, until)) {
          continue;
        }
        return false;
      }
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string TestStream::ReadSome(std::chrono::milliseconds patience) {
  if (!unread_.empty()) {
    return std::exchange(unread_, "");
  }
  const SteadyTime until = Until(patience);
  std::string buffer(64 * 1024, '\0');
  while (!ended_) {
    ssize_t n = 0;
    if (ssl_) {
      ERR_clear_error();
      errno = 0;
      n = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
      if (n <= 0 && !Handle(static_cast<int>(n), until)) {
        return "";
      }
    } else {
      n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (n == 0) {
        ended_ = clean_end_ = true;
      } else if (n < 0 && errno == EAGAIN && !WaitFor(POLLIN, until)) {
        return "";
      } else if (n < 0 && errno != EAGAIN) {
        Handle(-1, until);
      }
    }
    if (n > 0) {
      buffer.resize(static_cast<size_t>(n));
      return buffer;
    }
  }
  return "";
}

std::string TestStream::ReadWhile(const std::function<bool(const std::string&)>& more,
                                  std::chrono::milliseconds patience) {
  const SteadyTime until = Until(patience);
  std::string all;
  while (more(all)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    const std::string some = ReadSome(std::max(left, std::chrono::milliseconds(0)));
    if (some.empty()) {
      break;
    }
    all += some;
  }
  return all;
}

std::string TestStream::ReadUntil(std::string_view marker, std::chrono::milliseconds patience) {
  return ReadWhile([&](const std::string& all) { return all.find(marker) == std::string::npos; },
                   patience);
}

std::string TestStream::ReadAtLeast(size_t bytes, std::chrono::milliseconds patience) {
  return ReadWhile([&](const std::string& all) { return all.size() < bytes; }, patience);
}

std::string TestStream::ReadAll(std::chrono::milliseconds patience) {
  return ReadWhile([](const std::string&) { return true; }, patience);
}

bool TestStream::WaitForEnd(std::chrono::milliseconds patience) {
  ReadAll(patience);
  return ended_;
}

void TestStream::ShutdownWrite() {
  if (ssl_) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }
  ::shutdown(socket_.get(), SHUT_WR);
}

void TestStream::Cut() {
  if (!ssl_) {
    const linger reset = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  socket_.Reset();
  ended_ = true;
}

std::string TestStream::alpn() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string TestStream::tls_version() const { return SSL_get_version(ssl_.get()); }

std::vector<std::string> TestStream::peer_chain_der() const {
  std::vector<std::string> chain;
  const auto add = [&](const X509* certificate) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    chain.emplace_back(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
  };
  // On the server's side OpenSSL's chain lacks the leaf.
  if (const X509Ptr leaf{SSL_get1_peer_certificate(ssl_.get())};
      leaf != nullptr && SSL_is_server(ssl_.get()) == 1) {
    add(leaf.get());
  }
  const STACK_OF(X509)* certificates = SSL_get_peer_cert_chain(ssl_.get());
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    add(sk_X509_value(certificates, i));
  }
  return chain;
}

}  // namespace countersign
