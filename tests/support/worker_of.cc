#include "tests/support/worker_of.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/status.h"

namespace countersign {
namespace {

namespace fs = std::filesystem;

uint16_t PortOfEnd(int fd, decltype(&::getsockname) end) {
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  return end(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 ? ntohs(address.sin_port) : 0;
}

// "0100007F:1F90" ends with the port.
unsigned long PortIn(const std::string& field) {
  return std::stoul(field.substr(field.find(':') + 1), nullptr, 16);
}

// The inode of the process's socket whose own port is `local`; empty if there is none.
std::string SocketInode(const fs::path& process, uint16_t local, uint16_t remote) {
  std::ifstream table(process / "net" / "tcp");
  std::string line;
  std::getline(table, line);  // The columns' names.
  while (std::getline(table, line)) {
    std::istringstream row(line);
    std::string number, own, other, skipped, inode;
    row >> number >> own >> other;
    for (int i = 0; i < 6; ++i) {
      row >> skipped;
    }
    row >> inode;
    if (PortIn(own) == local && PortIn(other) == remote) {
      return inode;
    }
  }
  return "";
}

bool Watches(const fs::path& process, const std::string& epoll, const std::string& watched) {
  std::ifstream facts(process / "fdinfo" / epoll);
  std::string word, number;
  while (facts >> word) {
    if (word == "tfd:" && facts >> number && number == watched) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::optional<int> WorkerOf(pid_t proxy, const TestStream& stream) {
  const fs::path process(Concat("/proc/", proxy));
  const std::string inode = SocketInode(process, PortOfEnd(stream.fd(), &::getpeername),
                                        PortOfEnd(stream.fd(), &::getsockname));
  std::string socket;
  std::vector<std::string> epolls;
  for (const auto& entry : fs::directory_iterator(process / "fd")) {
    std::error_code gone;  // The proxy closes descriptors while we look.
    const std::string what = fs::read_symlink(entry.path(), gone).string();
    if (what == Concat("socket:[", inode, "]")) {
      socket = entry.path().filename().string();
    } else if (what == "anon_inode:[eventpoll]") {
      epolls.push_back(entry.path().filename().string());
    }
  }
  for (const std::string& epoll : epolls) {
    if (!socket.empty() && Watches(process, epoll, socket)) {
      return std::stoi(epoll);
    }
  }
  return std::nullopt;
}

}  // namespace countersign
