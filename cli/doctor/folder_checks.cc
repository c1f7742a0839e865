// Sockets, folders, private files and certificates on disk.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/crypto/base64.h"
#include "base/fd.h"
#include "base/file.h"
#include "cli/doctor/host_checks.h"
#include "identity/certificate.h"

namespace countersign::cli::doctor {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCertificatesMax = 16;
constexpr mode_t kOthersMayWrite = 022;

struct SocketRules {
  std::string check;    // "agent.socket"; its folder's is "agent.folder".
  std::string program;  // Whose it is.
  bool for_others;      // Workloads of any user connect; else its own user alone.
};

Finding CheckSocket(const SocketRules& rules, const std::string& path) {
  const std::string check = rules.check + ".socket";
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) != 0) {
    return {check, Health::kBad, Concat(path, " is not there"), Concat("start ", rules.program)};
  }
  if (!S_ISSOCK(facts.st_mode)) {
    return {check, Health::kBad, Concat(path, " is not a socket"), "give the right path"};
  }
  if (!rules.for_others && (facts.st_mode & 077) != 0) {
    return {check, Health::kBad, Concat(path, " may be opened by other users"),
            Concat("chmod 0600 ", path)};
  }
  if (rules.for_others && (facts.st_mode & 0002) == 0) {
    return {check, Health::kWarning, Concat(path, " cannot be opened by every user's workloads"),
            Concat("chmod 0666 ", path, "; the agent judges callers by what they are")};
  }
  if (StatusOr<Fd> fd = ConnectUnix(path); !fd.ok()) {
    return {check, Health::kBad, std::string(Message(fd.status())),
            Concat("see whether ", rules.program, " runs, and its log")};
  }
  return Good(check, Concat(path, " answers"));
}

// Who may write the folder of a socket can put another socket in its place.
Finding CheckFolderOf(const SocketRules& rules, const std::string& path) {
  const std::string check = rules.check + ".folder";
  std::string folder = fs::path(path).parent_path().string();
  struct stat facts = {};
  if (::stat(folder.c_str(), &facts) != 0) {
    return {check, Health::kBad, Concat(folder, " is not there"), Concat("start ", rules.program)};
  }
  if ((facts.st_mode & kOthersMayWrite) != 0) {
    return {
        check, Health::kBad,
        Concat(folder, " may be written by other users: one of them can put a socket of its own ",
               "in this one's place"),
        Concat("chmod go-w ", folder, ", or give the socket a folder of its own")};
  }
  if (rules.for_others && (facts.st_mode & 0001) == 0) {
    return {check, Health::kBad, Concat(folder, " lets no other user through to the socket"),
            Concat("chmod 0711 ", folder)};
  }
  return Good(check, Concat(folder, " is safe"));
}

Finding CheckAuditFolder(const std::string& path) {
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) {
    return {"audit.folder", Health::kBad, Concat(path, " is not a folder"),
            "give the folder that countersign-agent writes (--audit-dir)"};
  }
  if ((facts.st_mode & 027) != 0) {
    return {"audit.folder", Health::kBad, Concat(path, " may be changed or read by other users"),
            Concat("chmod 0750 ", path, " or less")};
  }
  return Good("audit.folder", Concat(path, " is closed to others"));
}

Finding CheckSpace(const std::string& check, const std::string& path, const std::string& then) {
  struct statvfs space = {};
  if (::statvfs(path.c_str(), &space) != 0) {
    return {check, Health::kBad, Concat(path, " cannot be looked at"), "give the right path"};
  }
  if ((space.f_flag & ST_RDONLY) != 0) {
    return {check, Health::kBad, Concat(path, " is mounted read-only"), "mount it writable"};
  }
  uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  if (free < DoctorLimits::kFreeBytesLeast) {
    return {check, Health::kWarning, Concat("only ", free >> 20, " MiB are free in ", path),
            Concat("make room: when it is full, ", then)};
  }
  return Good(check, Concat(free >> 20, " MiB are free"));
}

// Every file of a data folder is private to its owner: a key, or what is kept beside keys.
Finding CheckPrivateFiles(const std::string& check, const std::string& path) {
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) {
    return {check, Health::kBad, Concat(path, " is not a folder"), "give the program's --data-dir"};
  }
  if ((facts.st_mode & 077) != 0) {
    return {check, Health::kBad, Concat(path, " holds keys and is open to other users"),
            Concat("chmod 0700 ", path)};
  }
  std::error_code error;
  size_t count = 0;
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end;
       at.increment(error)) {
    std::string file = at->path().string();
    bool is_key = file.ends_with(".pem") || file.ends_with(".key") || file.ends_with(".svid");
    struct stat inner = {};
    if (++count > DoctorLimits::kFilesMax) {
      return {check, Health::kWarning,
              Concat("more than ", DoctorLimits::kFilesMax, " files in ", path),
              "see what fills it; not all were looked at"};
    }
    if (!is_key || ::lstat(file.c_str(), &inner) != 0 || !S_ISREG(inner.st_mode)) {
      continue;
    }
    if ((inner.st_mode & 077) != 0) {
      return {check, Health::kBad, Concat(file, " is open to other users"),
              Concat("chmod 0600 ", file)};
    }
    if (inner.st_uid != facts.st_uid && inner.st_uid != 0) {
      return {check, Health::kBad, Concat(file, " belongs to uid ", inner.st_uid),
              Concat("chown ", facts.st_uid, " ", file)};
    }
  }
  if (error) {
    return {check, Health::kBad, Concat(path, " cannot be read: ", error.message()),
            "look as root"};
  }
  return Good(check, Concat(path, " and its keys are private"));
}

struct Life {
  WallTime begin;
  WallTime end;
};

Finding CheckLife(const std::string& check, const std::string& whose, const Life& life,
                  WallTime now, const std::string& mend) {
  if (now < life.begin) {
    return {check, Health::kBad,
            Concat(whose, " begins at ", FormatTime(life.begin),
                   ", which this host's clock says is ", "still to come"),
            "set the clock"};
  }
  if (now >= life.end) {
    return {check, Health::kBad, Concat(whose, " ended at ", FormatTime(life.end)), mend};
  }
  using std::chrono::floor;
  using std::chrono::seconds;  // Of nanoseconds a long life has too many.
  auto whole = floor<seconds>(life.end) - floor<seconds>(life.begin);
  if (floor<seconds>(life.end) - floor<seconds>(now) < whole / DoctorLimits::kLifeLeftLeast) {
    return {check, Health::kWarning, Concat(whose, " ends soon, at ", FormatTime(life.end)), mend};
  }
  return Good(check, Concat(whose, " is good until ", FormatTime(life.end)));
}

// The earliest end and the latest beginning of the certificates of authority.pem.
Finding CheckAuthority(const std::string& data, WallTime now) {
  const std::string check = "server.authority";
  std::string path = data + "/ca/authority.pem";
  StatusOr<std::string> text = ReadFile(path, DoctorLimits::kFileBytesMax);
  StatusOr<std::vector<std::string>> chain =
      text.ok() ? identity::SplitPem(*text, kCertificatesMax)
                : StatusOr<std::vector<std::string>>(text.status());
  if (!chain.ok() || chain->empty()) {
    return {check, Health::kBad,
            Concat("no authority can be read from ", path, ": ",
                   chain.ok() ? "it holds no certificate" : Message(chain.status())),
            "look as root; a server that has run once has made one"};
  }
  Life life{WallTime::min(), WallTime::max()};
  for (const std::string& der : *chain) {
    X509Ptr certificate = identity::DecodeCertificate(der);
    life.begin = std::max(life.begin,
                          certificate ? identity::NotBefore(certificate.get()) : WallTime::max());
    life.end =
        std::min(life.end, certificate ? identity::NotAfter(certificate.get()) : WallTime::min());
  }
  return CheckLife(check, Concat("the authority of ", path), life, now,
                   Concat("stop the server, move ", data, "/ca away, start it, and attest every ",
                          "agent again (countersign token generate --node NAME)"));
}

Finding CheckAgentSvid(const std::string& data, WallTime now) {
  const std::string check = "agent.svid";
  std::string path = data + "/agent.svid";
  const std::string mend =
      "see the agent's log and that it reaches the server; once ended, a new token is needed "
      "(countersign token generate --node NAME)";
  StatusOr<std::string> text = ReadFile(path, DoctorLimits::kFileBytesMax);
  if (!text.ok()) {
    return {check, Health::kBad, Concat("the agent has no SVID: ", Message(text.status())), mend};
  }
  nlohmann::json file = nlohmann::json::parse(*text, nullptr, false);
  bool has_leaf = file.is_object() && file.contains("chain") && file["chain"].is_array() &&
                  !file["chain"].empty() && file["chain"][0].is_string();
  StatusOr<std::string> der = Base64Decode(has_leaf ? file["chain"][0].get<std::string>() : "");
  X509Ptr leaf = der.ok() ? identity::DecodeCertificate(*der) : nullptr;
  if (leaf == nullptr) {
    return {check, Health::kBad, Concat(path, " holds no certificate"), mend};
  }
  return CheckLife(check, "the agent's own SVID",
                   {identity::NotBefore(leaf.get()), identity::NotAfter(leaf.get())}, now, mend);
}

}  // namespace

Findings CheckFolders(const HostPaths& paths, WallTime now) {
  Findings out;
  const SocketRules server{"server", "countersign-server", false};
  const SocketRules agent{"agent", "countersign-agent", true};
  if (!paths.server_socket.empty()) {
    out.push_back(CheckSocket(server, paths.server_socket));
    out.push_back(CheckFolderOf(server, paths.server_socket));
  }
  if (!paths.agent_socket.empty()) {
    out.push_back(CheckSocket(agent, paths.agent_socket));
    out.push_back(CheckFolderOf(agent, paths.agent_socket));
  }
  if (!paths.audit_dir.empty()) {
    out.push_back(CheckAuditFolder(paths.audit_dir));
    if (std::error_code none; fs::exists(paths.audit_dir + "/private", none)) {
      out.push_back(CheckPrivateFiles("audit.keys", paths.audit_dir + "/private"));
    }
    out.push_back(CheckSpace("audit.space", paths.audit_dir,
                             "strict listeners answer 503 and the others drop records"));
  }
  if (!paths.server_data.empty()) {
    out.push_back(CheckPrivateFiles("server.keys", paths.server_data));
    out.push_back(CheckSpace("server.space", paths.server_data, "changes are refused"));
    out.push_back(CheckAuthority(paths.server_data, now));
  }
  if (!paths.agent_data.empty()) {
    out.push_back(CheckPrivateFiles("agent.keys", paths.agent_data));
    out.push_back(CheckAgentSvid(paths.agent_data, now));
  }
  return out;
}

}  // namespace countersign::cli::doctor
