#include "cli/host/port_holder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace countersign::cli::host {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kListening = "0A";
constexpr size_t kSmallFileBytesMax = 4096;

// Every address as IPv6, so that one comparison serves both families.
using Ip = std::array<uint8_t, 16>;

struct IpAndPort {
  Ip ip = {};
  uint16_t port = 0;
};

Ip Mapped(const void* four_bytes) {
  Ip ip = {};
  ip[10] = ip[11] = 0xff;
  std::memcpy(ip.data() + 12, four_bytes, 4);
  return ip;
}

bool IsWildcard(const Ip& ip) { return ip == Ip{} || ip == Mapped("\0\0\0\0"); }

std::optional<IpAndPort> ParseAddress(std::string_view text) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view digits = text.substr(colon + 1);
  std::string name(text.substr(0, colon));
  if (name.starts_with('[') && name.ends_with(']')) {
    name = name.substr(1, name.size() - 2);
  }
  IpAndPort out;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return std::nullopt;
  }
  in_addr four = {};
  if (::inet_pton(AF_INET, name.c_str(), &four) == 1) {
    out.ip = Mapped(&four);
    return out;
  }
  if (::inet_pton(AF_INET6, name.c_str(), out.ip.data()) == 1) {
    return out;
  }
  return std::nullopt;
}

// "0100007F:4A25": 32-bit words of the address in the order of this host, and the port.
std::optional<IpAndPort> ParseHex(std::string_view text) {
  size_t colon = text.find(':');
  if (colon != 8 && colon != 32) {
    return std::nullopt;
  }
  std::array<uint32_t, 4> words = {};
  for (size_t i = 0; i < colon / 8; ++i) {
    std::from_chars(text.data() + i * 8, text.data() + i * 8 + 8, words[i], 16);
  }
  IpAndPort out;
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), out.port, 16);
  if (colon == 8) {
    out.ip = Mapped(words.data());
  } else {
    std::memcpy(out.ip.data(), words.data(), out.ip.size());
  }
  return out;
}

struct Row {
  uid_t uid = 0;
  std::string inode;
  bool every_address = false;
};

// The row of a table of /proc/net that listens where `wanted` would.
std::optional<Row> FindRow(const char* table, const IpAndPort& wanted) {
  std::istringstream lines(ReadFile(table, PortLimits::kTableBytesMax).value_or(""));
  std::string line;
  std::getline(lines, line);  // Heads.
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string slot, local, remote, state, queues, timer, retransmits, timeout;
    Row row;
    words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> row.uid >>
        timeout >> row.inode;
    std::optional<IpAndPort> at = ParseHex(local);
    if (words && state == kListening && at.has_value() && at->port == wanted.port &&
        (at->ip == wanted.ip || IsWildcard(at->ip) || IsWildcard(wanted.ip))) {
      row.every_address = IsWildcard(at->ip);
      return row;
    }
  }
  return std::nullopt;
}

std::string FirstWordsOf(const fs::path& file) {
  std::string text = ReadFile(file.string(), kSmallFileBytesMax).value_or("");
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) {
    text.pop_back();
  }
  return text;
}

bool Holds(const fs::path& process, const std::string& socket) {
  std::error_code error;
  for (fs::directory_iterator at(process / "fd", error), end; !error && at != end;
       at.increment(error)) {
    std::error_code gone;
    if (fs::read_symlink(at->path(), gone).string() == socket) {
      return true;
    }
  }
  return false;
}

// The parent, if it is a `countersign dev`; "stat" names it behind the program's name in brackets.
pid_t DevParent(const fs::path& process) {
  std::string stat = FirstWordsOf(process / "stat");
  size_t bracket = stat.rfind(')');
  if (bracket == std::string::npos) {
    return 0;
  }
  std::istringstream words(stat.substr(bracket + 1));
  std::string state;
  pid_t parent = 0;
  words >> state >> parent;
  std::string command = FirstWordsOf(fs::path("/proc") / std::to_string(parent) / "cmdline");
  bool is_dev = command.find("countersign") != std::string::npos &&
                command.find(std::string("\0dev\0up", 7)) != std::string::npos;
  return is_dev ? parent : 0;
}

void FindProcess(const std::string& socket, PortHolder& holder) {
  std::error_code error;
  for (fs::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
    std::string name = at->path().filename().string();
    pid_t pid = 0;
    auto [rest, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad != std::errc() || rest != name.data() + name.size() || !Holds(at->path(), socket)) {
      continue;
    }
    holder.pid = pid;
    std::error_code gone;
    holder.program = fs::read_symlink(at->path() / "exe", gone).filename().string();
    holder.dev_up = DevParent(at->path());
    return;
  }
}

}  // namespace

std::optional<PortHolder> HolderOf(std::string_view address) {
  std::optional<IpAndPort> wanted = ParseAddress(address);
  if (!wanted.has_value()) {
    return std::nullopt;
  }
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    if (std::optional<Row> row = FindRow(table, *wanted); row.has_value()) {
      PortHolder holder;
      holder.uid = row->uid;
      holder.every_address = row->every_address;
      FindProcess(Concat("socket:[", row->inode, "]"), holder);
      return holder;
    }
  }
  return std::nullopt;
}

std::string Describe(const PortHolder& holder) {
  if (holder.pid == 0) {
    return Concat("a process of uid ", holder.uid);
  }
  return Concat(holder.program, " (pid ", holder.pid, ", uid ", holder.uid, ")");
}

bool IsLoopback(std::string_view address) {
  std::optional<IpAndPort> at = ParseAddress(address);
  if (!at.has_value()) {
    return false;
  }
  Ip six = {};
  six[15] = 1;
  return at->ip == six || (std::memcmp(at->ip.data(), Mapped("\x7f\0\0\1").data(), 13) == 0);
}

}  // namespace countersign::cli::host
