// countersign-server: issues identities and publishes registrations and policies for one trust
// domain.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "base/clock.h"
#include "base/core_files.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unix_grpc/grpc_log.h"
#include "identity/server/peer_identity_service.h"
#include "identity/server/restore.h"
#include "identity/server/server_main.h"

namespace countersign::server {
namespace {

constexpr const char* kFooter = R"(
Examples:
  countersign-server run --trust-domain shop.example --data-dir /var/lib/countersign-server \
      --admin-socket /run/countersign/server.sock
  countersign-server run ... --listen 10.0.0.5:8081 --upstream-ca-cert ca.pem --upstream-ca-key ca.key
  countersign-server backup --data-dir /var/lib/countersign-server --to /backup/store.db
  countersign-server restore --data-dir /var/lib/countersign-server --from /backup/store.db

Agents join with a token: countersign token generate --node NAME
Exit codes: 0 ended as asked, 2 wrong use or a fault that the last line of the log explains.)";

struct Flags {
  ServerOptions server;
  std::string agent_svid_ttl = "1h";
  std::string ca_ttl = "8760h";  // Nothing renews it by itself, so not soon.
  std::string log_format = "console";
  std::string log_level = "info";
  std::string backup_path;
};

int Fail(const Status& status) {
  LogError(Message(status));
  return 2;
}

Status ParseTexts(Flags& flags) {
  ASSIGN_OR_RETURN(LogFormat format, ParseLogFormat(flags.log_format));
  ASSIGN_OR_RETURN(LogLevel level, ParseLogLevel(flags.log_level));
  ConfigureLog("countersign-server", format, level);
  ASSIGN_OR_RETURN(flags.server.agent_svid_ttl, ParseDuration(flags.agent_svid_ttl));
  ASSIGN_OR_RETURN(flags.server.authority_ttl, ParseDuration(flags.ca_ttl));
  return absl::OkStatus();
}

int Run(const Flags& flags) {
  // Blocked before the first thread starts, so that this thread alone takes them.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  StatusOr<std::unique_ptr<Server>> server = Server::Start(flags.server, Clock::System());
  if (!server.ok()) {
    return Fail(server.status());
  }
  LogInfo("ready", {{"trust_domain", flags.server.trust_domain},
                    {"listen", flags.server.listen},
                    {"port", (*server)->port()},
                    {"admin_socket", flags.server.admin_socket}});
  int signal_number = 0;
  while (sigwait(&ends, &signal_number) != 0) {
  }
  LogInfo("ending", {{"signal", signal_number}});
  server->reset();
  return 0;
}

void AddRun(CLI::App& app, Flags& flags) {
  CLI::App* run = app.add_subcommand("run", "serve until SIGTERM");
  run->add_option("--trust-domain", flags.server.trust_domain, "such as shop.example")->required();
  run->add_option("--data-dir", flags.server.data_dir, "store and keys; one server at a time")
      ->required();
  run->add_option("--listen", flags.server.listen, "where agents connect")->capture_default_str();
  run->add_option("--admin-socket", flags.server.admin_socket, "Unix socket for countersign")
      ->required();
  run->add_option("--agent-svid-ttl", flags.agent_svid_ttl, "life of an agent's SVID")
      ->capture_default_str();
  run->add_option("--ca-ttl", flags.ca_ttl, "life of a new authority, at least 6 SVID lives")
      ->capture_default_str();
  run->add_option("--upstream-ca-cert", flags.server.upstream_cert_path,
                  "PEM chain of a CA to sign under, used when the authority is made");
  run->add_option("--upstream-ca-key", flags.server.upstream_key_path, "its key, mode 0600");
}

int Main(int argc, char** argv) {
  ::umask(077);
  IgnoreSigpipe();
  RouteGrpcLog();
  RequireTls13();
  CLI::App app("Countersign's server: signs identities, publishes policies.", "countersign-server");
  app.footer(kFooter);
  app.set_version_flag("--version", "countersign-server " COUNTERSIGN_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  Flags flags;
  app.add_option("--log-format", flags.log_format, "console or json")->capture_default_str();
  app.add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->capture_default_str();
  AddRun(app, flags);
  CLI::App* backup = app.add_subcommand("backup", "copy the store, also while a server runs");
  backup->add_option("--data-dir", flags.server.data_dir)->required();
  backup->add_option("--to", flags.backup_path, "a file that does not exist yet")->required();
  CLI::App* restore = app.add_subcommand("restore", "put a backup in place; the server is stopped");
  restore->add_option("--data-dir", flags.server.data_dir)->required();
  restore->add_option("--from", flags.backup_path)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (const Status& status : {ParseTexts(flags), ForbidCoreFiles(), ForbidReadingMemory()}) {
    if (!status.ok()) {
      return Fail(status);
    }
  }
  if (app.got_subcommand("run")) {
    return Run(flags);
  }
  Status status = app.got_subcommand(backup)
                      ? BackUpDataFolder(flags.server.data_dir, flags.backup_path)
                      : RestoreDataFolder(flags.server.data_dir, flags.backup_path);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace
}  // namespace countersign::server

int main(int argc, char** argv) { return countersign::server::Main(argc, argv); }
