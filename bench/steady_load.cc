// steady_load ADDRESS:PORT RATE SECONDS PATH: HTTP/1.1 GETs on one kept connection at evenly spaced
// times, one after the other; prints latencies measured from when each request was due.
//
// Evenly spaced, because a generator that sends in bursts measures its own bursts.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/status.h"

namespace countersign {
namespace {

using Steady = std::chrono::steady_clock;

StatusOr<Fd> Connect(const std::string& address) {
  size_t colon = address.rfind(':');
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
  if (::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) {
    return InvalidArgument("bad address ", Quoted(address));
  }
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int one = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    return ErrnoError(errno, Concat("connect to ", address));
  }
  return fd;
}

// Sends one request and reads one answer with a Content-Length; the status, or 0 on a fault.
int Exchange(int fd, std::string_view request, std::string& buffer) {
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return 0;
  }
  size_t have = 0;
  for (;;) {
    ssize_t got = ::recv(fd, buffer.data() + have, buffer.size() - have, 0);
    if (got <= 0) {
      return 0;
    }
    have += static_cast<size_t>(got);
    std::string_view text(buffer.data(), have);
    size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) {
      continue;
    }
    size_t field = text.find("ontent-");
    field = field == std::string_view::npos ? field : text.find("ength: ", field);
    size_t length = field < end ? static_cast<size_t>(std::atol(buffer.data() + field + 7)) : 0;
    if (have >= end + 4 + length) {
      return std::atoi(buffer.data() + 9);
    }
  }
}

int Main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: steady_load ADDRESS:PORT RATE SECONDS PATH\n");
    return 2;
  }
  StatusOr<Fd> fd = Connect(argv[1]);
  if (!fd.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(Message(fd.status())).c_str());
    return 2;
  }
  double rate = std::atof(argv[2]);
  auto count = static_cast<size_t>(rate * std::atof(argv[3]));
  std::string request = Concat("GET ", argv[4], " HTTP/1.1\r\nHost: orders\r\n\r\n");
  std::string buffer(1 << 16, '\0');
  std::vector<double> micros;
  size_t failed = 0;
  Steady::time_point start = Steady::now();
  for (size_t i = 0; i < count; ++i) {
    auto due = start + std::chrono::duration_cast<Steady::duration>(
                           std::chrono::duration<double>(static_cast<double>(i) / rate));
    std::this_thread::sleep_until(due);
    if (Exchange(fd->get(), request, buffer) != 200) {
      ++failed;
    }
    micros.push_back(std::chrono::duration<double, std::micro>(Steady::now() - due).count());
  }
  std::sort(micros.begin(), micros.end());
  auto at = [&](double share) {
    return micros[static_cast<size_t>(share * static_cast<double>(micros.size() - 1))];
  };
  std::printf("{\"requests\": %zu, \"failed\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", count,
              failed, at(0.5), at(0.99));
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace countersign

int main(int argc, char** argv) { return countersign::Main(argc, argv); }
