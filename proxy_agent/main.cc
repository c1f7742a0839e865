// countersign-proxy: enforces identity and policy beside one workload.
#include <signal.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>

#include "base/core_files.h"
#include "base/descriptor_limit.h"
#include "base/log.h"
#include "proxy_agent/proxy.h"

namespace countersign::proxy {
namespace {

struct RunFlags {
  std::string agent_socket;
  std::string admin = "127.0.0.1:15000";
  std::vector<std::string> listen, application, reach;
  std::string log_format = "console";
  std::string log_level = "info";
  InstanceOptions instance;
};

void AddFlags(CLI::App& run, RunFlags& flags) {
  run.add_option("--agent-socket", flags.agent_socket, "The node agent's Unix socket")->required();
  run.add_option("--instance", flags.instance.name, "Name of this proxy, unique on its node");
  run.add_option("--admin", flags.admin, "Loopback address of /metrics, /ready and /config")
      ->capture_default_str();
  run.add_option("--workers", flags.instance.workers, "Threads that carry traffic")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  run.add_option("--listen", flags.listen, "PORTNAME=ADDR:PORT instead of the Service's listen");
  run.add_option("--application", flags.application,
                 "PORTNAME=unix:PATH or PORTNAME=ADDR:PORT instead of the Service's application");
  run.add_option("--reach", flags.reach, "SERVICE=ADDR or SERVICE/PORTNAME=ADDR for the way out");
  run.add_option("--log-format", flags.log_format, "console or json")->capture_default_str();
  run.add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->capture_default_str();
}

Status ReadOverrides(RunFlags& flags) {
  for (const std::string& text : flags.listen) {
    RETURN_IF_ERROR(Annotate(AddOverride(flags.instance.listen, text), "--listen: "));
  }
  for (const std::string& text : flags.application) {
    RETURN_IF_ERROR(Annotate(AddOverride(flags.instance.application, text), "--application: "));
  }
  for (const std::string& text : flags.reach) {
    RETURN_IF_ERROR(Annotate(AddOverride(flags.instance.reach, text), "--reach: "));
  }
  return absl::OkStatus();
}

// Signals are taken by the main thread alone; the other threads inherit the mask.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Waits for a signal, and tells the agent meanwhile whenever readiness changes: it does so by
// itself when an SVID expires without a successor.
void ServeUntilSignal(const sigset_t& signals, const Proxy& proxy, sds::NodeClient& client) {
  constexpr timespec kLook = {.tv_sec = 0, .tv_nsec = 200'000'000};
  bool reported = false;
  while (sigtimedwait(&signals, nullptr, &kLook) < 0) {
    if (const bool ready = proxy.Ready(); ready != reported) {
      client.ReportResult({.ready = ready});
      reported = ready;
    }
  }
}

Status Serve(RunFlags flags) {
  RETURN_IF_ERROR(ReadOverrides(flags));
  ASSIGN_OR_RETURN(const LogFormat format, ParseLogFormat(flags.log_format));
  ASSIGN_OR_RETURN(const LogLevel level, ParseLogLevel(flags.log_level));
  ConfigureLog("countersign-proxy", format, level);
  IgnoreSigpipe();
  umask(077);
  RETURN_IF_ERROR(ForbidCoreFiles());
  // A connection costs a descriptor.
  RaiseDescriptorLimit(std::numeric_limits<size_t>::max());
  const sigset_t signals = BlockSignals();

  ASSIGN_OR_RETURN(const Address admin_address, Address::Parse(flags.admin));
  ASSIGN_OR_RETURN(std::vector<std::shared_ptr<const Listener>> given, InheritedListeners());
  const std::string instance = flags.instance.name;
  ASSIGN_OR_RETURN(std::unique_ptr<Proxy> proxy,
                   Proxy::Create(std::move(flags.instance), Clock::System(), std::move(given)));
  ASSIGN_OR_RETURN(std::unique_ptr<AdminServer> admin,
                   AdminServer::Start(admin_address, [&proxy](std::string_view path) {
                     return proxy->Admin(path);
                   }));
  LogInfo("started", {{"instance", instance}, {"admin", admin->address().text()}});
  std::unique_ptr<sds::NodeClient> client = sds::NodeClient::Start(
      {.agent_socket = flags.agent_socket, .instance = instance, .version = "0.1.0"}, *proxy);
  ServeUntilSignal(signals, *proxy, *client);
  LogInfo("stopping");
  client.reset();
  admin.reset();
  proxy->Stop();
  return absl::OkStatus();
}

}  // namespace
}  // namespace countersign::proxy

int main(int argc, char** argv) {
  CLI::App app("Enforces identity and policy beside one workload.", "countersign-proxy");
  app.require_subcommand(1);
  countersign::proxy::RunFlags flags;
  CLI::App* run = app.add_subcommand("run", "Serve until SIGTERM or SIGINT");
  countersign::proxy::AddFlags(*run, flags);
  CLI11_PARSE(app, argc, argv);
  if (const countersign::Status status = countersign::proxy::Serve(std::move(flags));
      !status.ok()) {
    countersign::LogError("ended", {{"error", status}});
    return 2;
  }
  return 0;
}
