#include "cli/dev/dev_commands.h"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "cli/dev/mesh.h"

namespace countersign::cli {
namespace {

struct UpOptions {
  std::string plan = "examples/shop";
  std::string folder;
  bool keep = false;
};

std::string DefaultFolder() {
  if (::geteuid() == 0) {
    return "/run/countersign-dev";
  }
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  return runtime != nullptr ? Concat(runtime, "/countersign-dev")
                            : Concat("/tmp/countersign-dev-", ::geteuid());
}

// Under several users the proxy's copy comes first, which all of them may execute.
void PrintWhatToTry(Context& context, const dev::MeshFolders& folders,
                    const std::string& program_folder) {
  std::string copies = folders.top + "/bin";
  std::string first = std::filesystem::exists(copies) ? copies + ":" : "";
  context.out << "\nthe mesh is up; Ctrl-C stops it and removes " << folders.top
              << "\n\nin another shell:\n"
              << "  export PATH=" << first << program_folder << ":$PATH\n"
              << "  export COUNTERSIGN_SERVER_SOCKET=" << folders.server_socket() << "\n"
              << "  export COUNTERSIGN_AGENT_SOCKET=" << folders.agent_socket() << "\n"
              << "  export COUNTERSIGN_AUDIT_DIR=" << folders.audit_dir() << "\n"
              << "  countersign get proxies\n"
              << "  countersign audit search --effect deny\n"
              << "\na service of your own takes four steps, each in docs/walkthrough.md:\n"
              << "  1. your program, under a user of its own\n"
              << "  2. its identity: a Registration\n"
              << "  3. its doors: a Service\n"
              << "  4. who may do what: a PolicySet with an AccessPolicy and a PolicyTest\n";
  context.out.flush();
}

// Everything that a run puts into its folder.
bool IsOurs(const std::filesystem::path& entry) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "agent", "apps", "audit", "bin", "documents", "lock", "log", "processes.json", "server"};
  return std::ranges::find(kNames, entry.filename().string()) != kNames.end();
}

// What stands at the folder's place may be nothing, an empty folder of our own, or what a run left
// that was killed. Anything else is somebody's data: at the end the folder is removed.
Status CheckFolder(const std::string& top) {
  struct stat facts = {};
  if (::lstat(top.c_str(), &facts) != 0) {
    return absl::OkStatus();  // Making it says what else is wrong.
  }
  if (!S_ISDIR(facts.st_mode) || facts.st_uid != ::geteuid()) {
    return FailedPrecondition(top, " is not a folder of this user; give --dir a folder that does ",
                              "not exist yet");
  }
  std::error_code error;
  for (std::filesystem::directory_iterator at(top, error), end; !error && at != end;
       at.increment(error)) {
    if (!IsOurs(at->path())) {
      return FailedPrecondition(
          top, " holds ", Quoted(at->path().filename().string()),
          ", which is not of a mesh; give --dir a folder that does not exist ",
          "yet: it is removed at the end");
    }
  }
  return error ? ErrnoError(error.value(), Concat("look into ", top)) : absl::OkStatus();
}

// The state folder is made here and removed at the end: one that is locked belongs to another run.
StatusOr<Fd> TakeFolder(const std::string& top) {
  RETURN_IF_ERROR(CheckFolder(top));
  if (std::filesystem::exists(top)) {
    if (StatusOr<Fd> lock = LockFolder(top); !lock.ok()) {
      return Annotate(lock.status(),
                      "another mesh runs; a second one needs --dir and ports of its "
                      "own in mesh.json");
    }
    std::error_code error;
    std::filesystem::remove_all(top, error);  // Left by a run that was killed.
  }
  RETURN_IF_ERROR(MakeFolder(top, 0711));
  return LockFolder(top);
}

Status Up(Context& context, const UpOptions& options) {
  ConfigureLog("countersign", LogFormat::kConsole, LogLevel::kInfo);
  ASSIGN_OR_RETURN(dev::MeshPlan plan,
                   dev::ReadMeshPlan(std::filesystem::absolute(options.plan).string()));
  dev::MeshFolders folders{
      std::filesystem::absolute(options.folder.empty() ? DefaultFolder() : options.folder)
          .lexically_normal()
          .string()};
  ASSIGN_OR_RETURN(Fd lock, TakeFolder(folders.top));
  std::string program_folder =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
  ASSIGN_OR_RETURN(dev::Supervisor supervisor, dev::Supervisor::Create(folders.state(), {}));
  dev::Mesh mesh(std::move(plan), folders, program_folder,
                 [&](std::string_view line) { context.out << line << std::endl; });
  if (mesh.one_user()) {
    context.err
        << "warning: not root: every program runs under one uid, workloads are told apart by "
           "--demo-selectors, and that isolates nothing; run as root to see the real thing\n";
  }
  Status status = mesh.BringUp(supervisor);
  if (status.ok()) {
    PrintWhatToTry(context, folders, program_folder);
    supervisor.Run();
  }
  supervisor.StopAll();
  if (status.code() == StatusCode::kCancelled) {
    status = absl::OkStatus();
  }
  // After a failure the logs stay, since the error names them.
  if (!options.keep && status.ok()) {
    std::error_code error;
    std::filesystem::remove_all(folders.top, error);
  }
  return status;
}

}  // namespace

void AddDevCommands(CLI::App& app, Context& context) {
  CLI::App* dev = app.add_subcommand("dev", "a whole mesh on one machine, for trying things");
  dev->require_subcommand(1);
  CLI::App* up = dev->add_subcommand(
      "up", "start server, agent, proxies and applications of a plan; supervise them until Ctrl-C");
  auto options = std::make_shared<UpOptions>();
  up->add_option("plan", options->plan, "folder with mesh.json")->capture_default_str();
  up->add_option("--dir", options->folder,
                 "folder for sockets, data and logs; made, and removed at the end")
      ->default_str(DefaultFolder());
  up->add_flag("--keep", options->keep, "leave the folder when stopping");
  up->footer(
      "Examples:\n  countersign dev up examples/shop\n  countersign dev up my-mesh --dir "
      "/run/my-mesh --keep");
  up->callback([&context, options] {
    if (Status status = Up(context, *options); !status.ok()) {
      context.Fail(status);
    }
  });
}

}  // namespace countersign::cli
