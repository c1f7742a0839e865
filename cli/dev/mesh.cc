#include "cli/dev/mesh.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "cli/host/port_holder.h"

namespace countersign::cli::dev {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto kStepTimeOut = 30s;  // Start-up takes well under a second; a loaded machine is slow.
constexpr auto kAskEvery = 1s;      // Why a proxy is not ready; asking takes some milliseconds.
constexpr uint32_t kRestartsMax = 3;  // One start may race with a port that is being let go.
constexpr size_t kDocumentBytesMax = 1 << 20;

Status Own(const std::string& path, uid_t uid, gid_t gid, mode_t mode) {
  if (::chown(path.c_str(), uid, gid) != 0 || ::chmod(path.c_str(), mode) != 0) {
    return ErrnoError(errno, Concat("chown ", path));
  }
  return absl::OkStatus();
}

// HTTP GET of a loopback admin port; true if the answer's status is 200.
bool IsReady(const std::string& address) {
  size_t colon = address.rfind(':');
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.substr(colon + 1).c_str())));
  if (::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) {
    return false;
  }
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  timeval wait = {.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    return false;
  }
  constexpr std::string_view kRequest =
      "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  std::string answer(64, '\0');
  if (::send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) {
    return false;
  }
  ssize_t got = ::recv(fd.get(), answer.data(), answer.size(), 0);
  return got > 12 && answer.substr(0, 12) == "HTTP/1.1 200";
}

std::string LastLine(const std::string& path) {
  std::string text = ReadFile(path, kDocumentBytesMax).value_or("");
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  return text.substr(text.rfind('\n') + 1);
}

// The programs that hold the addresses named in a sentence: "; 127.0.0.1:80 is held by nginx ...".
std::string HoldersNamedIn(const std::string& sentence) {
  std::istringstream words(sentence);
  std::string out;
  for (std::string word; words >> word;) {
    while (word.ends_with(':') || word.ends_with(',') || word.ends_with(';')) {
      word.pop_back();
    }
    if (auto holder = host::HolderOf(word); holder.has_value()) {
      out += Concat("; ", word, " is held by ", host::Describe(*holder));
    }
  }
  return out;
}

bool Answers(const std::string& socket_path) { return ConnectUnix(socket_path).ok(); }

}  // namespace

Mesh::Mesh(MeshPlan plan, MeshFolders folders, std::string program_folder,
           std::function<void(std::string_view)> say)
    : plan_(std::move(plan)),
      folders_(std::move(folders)),
      program_folder_(std::move(program_folder)),
      say_(std::move(say)),
      one_user_(::geteuid() != 0) {}

Status Mesh::BringUp(Supervisor& supervisor) {
  RETURN_IF_ERROR(CheckPorts());
  RETURN_IF_ERROR(MakeFolders());
  RETURN_IF_ERROR(StartServer(supervisor));
  RETURN_IF_ERROR(StartAgent(supervisor));
  RETURN_IF_ERROR(ApplyDocuments(supervisor));
  for (const ApplicationPlan& application : plan_.applications) {
    RETURN_IF_ERROR(StartApplication(supervisor, application));
  }
  for (const ProxyPlan& proxy : plan_.proxies) {
    RETURN_IF_ERROR(StartProxy(supervisor, proxy));
  }
  return WaitForProxies(supervisor);
}

// Before anything is started: a port that is taken would show up late and in another's log.
Status Mesh::CheckPorts() const {
  std::string taken;
  for (const PlannedListener& listener : PlannedListeners(plan_)) {
    auto holder = host::HolderOf(listener.address);
    if (!holder.has_value()) {
      continue;
    }
    taken +=
        Concat("\n  ", listener.address, ", for ", listener.who, ": ", host::Describe(*holder));
    if (holder->dev_up != 0) {
      taken += Concat(", of the mesh of another `countersign dev up` (pid ", holder->dev_up, ")");
    }
  }
  if (taken.empty()) {
    return absl::OkStatus();
  }
  return FailedPrecondition(
      "ports of this mesh are in use; stop what holds them, or choose others ", "in ", plan_.folder,
      "/mesh.json:", taken);
}

Status Mesh::MakeFolders() {
  // Others must be able to go through to the agent's socket and their own folder, and no further.
  RETURN_IF_ERROR(MakeFolder(folders_.top, 0711));
  for (const char* name : {"/apps", "/log", "/agent"}) {
    RETURN_IF_ERROR(MakeFolder(folders_.top + name, 0711));
  }
  RETURN_IF_ERROR(MakeFolder(folders_.top + "/server", 0700));
  RETURN_IF_ERROR(MakeFolder(folders_.audit_dir(), 0700));
  if (one_user_) {
    return absl::OkStatus();
  }
  // The proxies' users must be able to execute their program, wherever the build is.
  std::string folder = folders_.top + "/bin";
  RETURN_IF_ERROR(MakeFolder(folder, 0755));
  std::error_code error;
  fs::copy_file(program_folder_ + "/countersign-proxy", folder + "/countersign-proxy",
                fs::copy_options::overwrite_existing, error);
  if (error) {
    return NotFound("cannot copy ", program_folder_, "/countersign-proxy: ", error.message());
  }
  return Own(folder + "/countersign-proxy", 0, 0, 0755);
}

Status Mesh::WaitFor(Supervisor& supervisor, const std::string& what,
                     const std::function<bool()>& good) {
  // A program that ends again and again will not come up: say so now, with its own last word.
  bool hopeless = false;
  Status status = supervisor.WaitUntil(
      [&] {
        hopeless = supervisor.Restarts(what) >= kRestartsMax;
        return hopeless || good();
      },
      kStepTimeOut);
  if (hopeless) {
    return FailedPrecondition(what, " ends as soon as it starts: ", LastLine(folders_.log(what)),
                              " (see ", folders_.log(what), ")");
  }
  return Annotate(status, Concat(what, " (see ", folders_.log(what), ")"));
}

std::map<std::string, std::string> Mesh::CommandEnvironment() const {
  return {{"COUNTERSIGN_SERVER_SOCKET", folders_.server_socket()}};
}

Status Mesh::StartServer(Supervisor& supervisor) {
  RETURN_IF_ERROR(supervisor.Add(
      {.name = "server",
       .command = {Program("countersign-server"), "run", "--trust-domain", plan_.trust_domain,
                   "--data-dir", folders_.top + "/server/data", "--listen", plan_.server_address,
                   "--admin-socket", folders_.server_socket()},
       .account = {},
       .environment = {},
       .log_file = folders_.log("server")}));
  RETURN_IF_ERROR(WaitFor(supervisor, "server", [&] { return Answers(folders_.server_socket()); }));
  say_(Concat("server       up, trust domain ", plan_.trust_domain));
  return absl::OkStatus();
}

Status Mesh::StartAgent(Supervisor& supervisor) {
  ASSIGN_OR_RETURN(Outcome made, dev::Run({Program("countersign"), "token", "generate", "--node",
                                           plan_.node, "-o", "json"},
                                          CommandEnvironment()));
  nlohmann::json token = nlohmann::json::parse(made.out, nullptr, false);
  if (made.exit_code != 0 || !token.is_object() || !token.contains("token") ||
      !token.contains("bundle_sha256")) {
    return Internal("countersign token generate failed: ", made.err);
  }
  std::string token_file = folders_.top + "/agent/join-token";
  RETURN_IF_ERROR(WriteFileAtomically(token_file, token["token"].get<std::string>(), 0600));
  ProcessSpec spec = {
      .name = "agent",
      .command = {Program("countersign-agent"), "run", "--trust-domain", plan_.trust_domain,
                  "--data-dir", folders_.top + "/agent/data", "--server", plan_.server_address,
                  "--socket", folders_.agent_socket(), "--audit-socket", folders_.audit_socket(),
                  "--audit-dir", folders_.audit_dir(), "--join-token-file", token_file,
                  "--bundle-sha256", token["bundle_sha256"].get<std::string>()},
      .account = {},
      .environment = {},
      .log_file = folders_.log("agent")};
  if (one_user_) {
    spec.command.push_back("--demo-selectors");
  }
  RETURN_IF_ERROR(supervisor.Add(std::move(spec)));
  RETURN_IF_ERROR(WaitFor(supervisor, "agent", [&] { return Answers(folders_.agent_socket()); }));
  say_(Concat("agent        attested as spiffe://", plan_.trust_domain, "/agent/", plan_.node,
              ", with a one-use token and the bundle's pin"));
  return absl::OkStatus();
}

// Documents as they are; under one user the uids of the plan are replaced by the caller's own.
StatusOr<std::string> Mesh::RenderedDocuments() {
  std::string folder = folders_.top + "/documents";
  RETURN_IF_ERROR(MakeFolder(folder, 0700));
  std::error_code error;
  for (const std::string& name : plan_.apply) {
    fs::copy(plan_.folder + "/" + name, folder + "/" + name,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing, error);
    if (error) {
      return NotFound("cannot copy ", plan_.folder, "/", name, ": ", error.message());
    }
  }
  if (!one_user_) {
    return folder;
  }
  for (const auto& file : fs::recursive_directory_iterator(folder)) {
    if (!file.is_regular_file()) {
      continue;
    }
    ASSIGN_OR_RETURN(std::string text, ReadFile(file.path().string(), kDocumentBytesMax));
    constexpr std::string_view kKey = "applicationUid: ";
    for (size_t at = text.find(kKey); at != std::string::npos; at = text.find(kKey, at + 1)) {
      size_t digits = at + kKey.size();
      size_t end = text.find_first_not_of("0123456789", digits);
      text.replace(digits, end - digits, Concat(::geteuid()));
    }
    RETURN_IF_ERROR(WriteFileAtomically(file.path().string(), text, 0600));
  }
  return folder;
}

Status Mesh::ApplyDocuments(Supervisor& supervisor) {
  ASSIGN_OR_RETURN(std::string folder, RenderedDocuments());
  ASSIGN_OR_RETURN(Outcome applied,
                   dev::Run({Program("countersign"), "apply", "-f", folder}, CommandEnvironment()));
  if (applied.exit_code != 0) {
    return Internal("countersign apply failed:\n", applied.err, applied.out);
  }
  (void)supervisor;
  say_("documents    registrations, services, routes and policy sets applied, their tests passed");
  return absl::OkStatus();
}

Status Mesh::StartApplication(Supervisor& supervisor, const ApplicationPlan& application) {
  std::string run = folders_.application(application.name);
  RETURN_IF_ERROR(MakeFolder(run, 0710));
  std::map<std::string, std::string> values = {{"run", run}, {"source", plan_.folder}};
  for (const auto& [from, to] : application.files) {
    ASSIGN_OR_RETURN(std::string text, ReadFile(plan_.folder + "/" + from, kDocumentBytesMax));
    ASSIGN_OR_RETURN(std::string rendered, Render(text, values));
    RETURN_IF_ERROR(WriteFileAtomically(run + "/" + to, rendered, 0644));
  }
  // The application's user owns the folder; the proxy's group may pass to the socket whose name it
  // knows; nobody else gets in.
  if (!one_user_) {
    RETURN_IF_ERROR(Own(run, application.account.uid, application.proxy_gid, 0710));
  }
  ProcessSpec spec = {.name = application.name,
                      .command = {},
                      .account = {},
                      .environment = {},
                      .log_file = folders_.log(application.name)};
  for (const std::string& word : application.command) {
    ASSIGN_OR_RETURN(std::string rendered, Render(word, values));
    spec.command.push_back(std::move(rendered));
  }
  if (!one_user_) {
    spec.account = application.account;
  }
  RETURN_IF_ERROR(supervisor.Add(std::move(spec)));
  say_(Concat("application  ", application.name,
              one_user_ ? std::string() : Concat(" (uid ", application.account.uid, ")")));
  return absl::OkStatus();
}

Status Mesh::StartProxy(Supervisor& supervisor, const ProxyPlan& proxy) {
  std::map<std::string, std::string> values;
  for (const ApplicationPlan& application : plan_.applications) {
    values["run:" + application.name] = folders_.application(application.name);
  }
  ProcessSpec spec = {
      .name = proxy.name,
      .command = {Program("countersign-proxy"), "run", "--agent-socket", folders_.agent_socket(),
                  "--instance", proxy.name, "--admin", proxy.admin},
      .account = {},
      .environment = {},
      .log_file = folders_.log(proxy.name)};
  for (const std::string& word : proxy.flags) {
    ASSIGN_OR_RETURN(std::string rendered, Render(word, values));
    spec.command.push_back(std::move(rendered));
  }
  if (one_user_) {
    spec.environment["COUNTERSIGN_DEMO_WORKLOAD"] = proxy.registration;
  } else {
    spec.account = proxy.account;
  }
  return supervisor.Add(std::move(spec));
}

std::string Mesh::RefusalOf(const ProxyPlan& proxy) const {
  StatusOr<Outcome> asked = dev::Run(
      {Program("countersign"), "get", "proxies", proxy.name, "-o", "json"}, CommandEnvironment());
  nlohmann::json list = nlohmann::json::parse(asked.ok() ? asked->out : "", nullptr, false);
  if (!list.is_object() || !list.contains("items") || list["items"].size() != 1) {
    return "";
  }
  return list["items"][0].value("refused", "");
}

Status Mesh::WaitForProxy(Supervisor& supervisor, const ProxyPlan& proxy) {
  auto next = std::chrono::steady_clock::now() + kAskEvery;
  std::string refusal;
  bool hopeless = false;
  RETURN_IF_ERROR(WaitFor(supervisor, proxy.name, [&] {
    if (IsReady(proxy.admin)) {
      return true;
    }
    if (std::chrono::steady_clock::now() >= next) {
      // Twice the same: not a port that is just being let go.
      std::string before = std::exchange(refusal, RefusalOf(proxy));
      hopeless = !refusal.empty() && refusal == before;
      next = std::chrono::steady_clock::now() + kAskEvery;
    }
    return hopeless;
  }));
  if (hopeless) {
    return FailedPrecondition(proxy.name, " refuses its configuration: ", refusal,
                              HoldersNamedIn(refusal), " (see ", folders_.log(proxy.name), ")");
  }
  return absl::OkStatus();
}

Status Mesh::WaitForProxies(Supervisor& supervisor) {
  for (const ProxyPlan& proxy : plan_.proxies) {
    RETURN_IF_ERROR(WaitForProxy(supervisor, proxy));
    say_(Concat("proxy        ", proxy.name, " ready",
                one_user_ ? std::string() : Concat(" (uid ", proxy.account.uid, ")"), ", admin ",
                proxy.admin));
  }
  return absl::OkStatus();
}

}  // namespace countersign::cli::dev
