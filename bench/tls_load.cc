// tls_load: mutual TLS 1.3 connections as load, and the bare OpenSSL server to compare with.
//
//   tls_load handshakes ADDRESS:PORT N CERT KEY   N connections one after the other, each one
//   request tls_load hold ADDRESS:PORT N CERT KEY         N idle connections until standard input
//   ends tls_load serve PORT CERT KEY CA               the bare server: handshake, fixed answer,
//   keep open
//
// CERT, KEY and CA are PEM files. Nothing is verified by the load; the server under test verifies.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/status.h"

namespace countersign {
namespace {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using ContextPtr = std::unique_ptr<SSL_CTX, FreeContext>;
using SslPtr = std::unique_ptr<SSL, FreeSsl>;

struct Connection {
  Fd fd;
  SslPtr ssl;
};

constexpr std::string_view kRequest = "GET /orders/7 HTTP/1.1\r\nHost: orders\r\n\r\n";
constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

sockaddr_in Address(const std::string& text) {
  size_t colon = text.rfind(':');
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1)));
  ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr);
  return address;
}

ContextPtr MakeContext(const SSL_METHOD* method, const char* certificate, const char* key) {
  ContextPtr context(SSL_CTX_new(method));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set1_groups_list(context.get(), "X25519");
  SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_128_GCM_SHA256");
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), key, SSL_FILETYPE_PEM) != 1) {
    ERR_print_errors_fp(stderr);
    std::exit(2);
  }
  return context;
}

bool Open(SSL_CTX* context, const sockaddr_in& to, Connection& out) {
  out.fd = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(out.fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    return false;
  }
  static constexpr unsigned char kAlpn[] = "\x08http/1.1";
  out.ssl.reset(SSL_new(context));
  SSL_set_alpn_protos(out.ssl.get(), kAlpn, sizeof(kAlpn) - 1);
  SSL_set_fd(out.ssl.get(), out.fd.get());
  if (SSL_connect(out.ssl.get()) != 1) {
    return false;
  }
  char block[4096];
  return SSL_write(out.ssl.get(), kRequest.data(), static_cast<int>(kRequest.size())) > 0 &&
         SSL_read(out.ssl.get(), block, sizeof(block)) > 12 &&
         std::memcmp(block + 9, "200", 3) == 0;
}

int Load(bool hold, const char* address, long count, const char* certificate, const char* key) {
  ContextPtr context = MakeContext(TLS_client_method(), certificate, key);
  sockaddr_in to = Address(address);
  std::vector<Connection> held;
  long good = 0;
  for (long i = 0; i < count; ++i) {
    Connection connection;
    if (Open(context.get(), to, connection)) {
      ++good;
    }
    if (hold) {
      held.push_back(std::move(connection));
    }
  }
  std::printf("{\"connections\": %ld, \"failed\": %ld}\n", good, count - good);
  std::fflush(stdout);
  if (hold) {
    while (std::getchar() != EOF) {
    }
  }
  return good == count ? 0 : 1;
}

// One step of a served connection: handshake, then an answer for whatever was read.
bool Step(Connection& connection) {
  ERR_clear_error();
  char block[4096];
  int got = SSL_read(connection.ssl.get(), block, sizeof(block));
  if (got > 0) {
    return SSL_write(connection.ssl.get(), kAnswer.data(), static_cast<int>(kAnswer.size())) > 0;
  }
  int error = SSL_get_error(connection.ssl.get(), got);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

int Serve(const char* port, const char* certificate, const char* key, const char* authority) {
  ContextPtr context = MakeContext(TLS_server_method(), certificate, key);
  SSL_CTX_load_verify_file(context.get(), authority);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int one = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address = Address(Concat("127.0.0.1:", port));
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), 512) != 0) {
    std::perror("listen");
    return 2;
  }
  Fd poller(::epoll_create1(EPOLL_CLOEXEC));
  auto watch = [&](int fd) {
    epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(poller.get(), EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener.get());
  std::map<int, Connection> connections;
  for (;;) {
    epoll_event events[64];
    int count = ::epoll_wait(poller.get(), events, 64, -1);
    for (int i = 0; i < count; ++i) {
      int fd = events[i].data.fd;
      if (fd == listener.get()) {
        Connection connection{Fd(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)),
                              SslPtr(SSL_new(context.get()))};
        SSL_set_fd(connection.ssl.get(), connection.fd.get());
        SSL_set_accept_state(connection.ssl.get());
        watch(connection.fd.get());
        connections[connection.fd.get()] = std::move(connection);
      } else if (!Step(connections[fd])) {
        connections.erase(fd);
      }
    }
  }
}

int Main(int argc, char** argv) {
  IgnoreSigpipe();
  std::string_view mode = argc > 1 ? argv[1] : "";
  if ((mode == "handshakes" || mode == "hold") && argc == 6) {
    return Load(mode == "hold", argv[2], std::atol(argv[3]), argv[4], argv[5]);
  }
  if (mode == "serve" && argc == 6) {
    return Serve(argv[2], argv[3], argv[4], argv[5]);
  }
  std::fprintf(stderr,
               "usage: tls_load handshakes|hold ADDRESS:PORT N CERT KEY\n"
               "       tls_load serve PORT CERT KEY CA\n");
  return 2;
}

}  // namespace
}  // namespace countersign

int main(int argc, char** argv) { return countersign::Main(argc, argv); }
