#include "cli/pdp_command.h"

#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>

#include "base/log.h"
#include "pdp/pdp_server.h"

namespace countersign::cli {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  countersign pdp run --policies policies --workload spiffe://shop.example/ns/prod/sa/orders "
    "\\\n"
    "    --listen-grpc unix:/run/countersign-pdp/authz.sock --listen-http 127.0.0.1:9080\n"
    "  countersign pdp run --policies policies --workload-from-context --socket-mode 0660 \\\n"
    "    --listen-grpc unix:/run/countersign-pdp/authz.sock\n"
    "  countersign pdp run --policies policies --listen-http 127.0.0.1:9080\n"
    "SIGHUP reads the folder at once, SIGINT and SIGTERM let open calls end and stop.\n"
    "Ends with 0 when it was told to stop, with 2 on wrong use or if it cannot listen. A folder "
    "that\n"
    "cannot be taken ends nothing: the last good policy stays, and before the first good one "
    "everything\n"
    "is denied and /readyz says 503. See docs/pdp.md.";

struct Flags {
  std::string policies;
  std::string listen_grpc;
  std::string listen_http;
  std::string workload;
  bool workload_from_context = false;
  std::string socket_mode = "0600";
  std::string public_url;
  bool insecure_network = false;
  std::string log_format = "json";
  std::string log_level = "info";
};

StatusOr<unsigned> ParseMode(std::string_view text) {
  unsigned mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc() || end != text.data() + text.size() || mode > 0777) {
    return InvalidArgument("--socket-mode ", Quoted(text), " is no octal mode, such as 0660");
  }
  return mode;
}

StatusOr<pdp::PdpOptions> ToOptions(const Flags& flags) {
  pdp::PdpOptions options;
  options.policies = flags.policies;
  if (!flags.listen_grpc.empty()) {
    ASSIGN_OR_RETURN(options.grpc, pdp::ListenAddress::Parse(flags.listen_grpc));
  }
  if (!flags.listen_http.empty()) {
    ASSIGN_OR_RETURN(options.http, pdp::ListenAddress::Parse(flags.listen_http));
  }
  if (!flags.workload.empty()) {
    ASSIGN_OR_RETURN(options.ext_authz.workload, identity::SpiffeId::Parse(flags.workload));
  }
  options.ext_authz.workload_from_context = flags.workload_from_context;
  ASSIGN_OR_RETURN(options.unix_mode, ParseMode(flags.socket_mode));
  options.public_url = flags.public_url;
  while (options.public_url.ends_with('/')) {
    options.public_url.pop_back();
  }
  if (flags.insecure_network) {
    options.network = pdp::NetworkUse::kInsecureNetwork;
  }
  return options;
}

// Blocks the signals that Wait takes, for this thread and those it starts.
class Signals {
 public:
  Signals() {
    ::sigemptyset(&set_);
    for (const int each : {SIGINT, SIGTERM, SIGHUP}) {
      ::sigaddset(&set_, each);
    }
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }
  int Wait() const {
    int signal = 0;
    return ::sigwait(&set_, &signal) == 0 ? signal : SIGTERM;
  }

 private:
  sigset_t set_;
};

std::string_view TextOf(const pdp::ListenAddress* address) {
  return address == nullptr ? std::string_view("none") : std::string_view(address->text());
}

void Run(Context& context, const Flags& flags) {
  StatusOr<LogFormat> format = ParseLogFormat(flags.log_format);
  StatusOr<LogLevel> level = ParseLogLevel(flags.log_level);
  StatusOr<pdp::PdpOptions> options = ToOptions(flags);
  for (const Status& status : {format.status(), level.status(), options.status()}) {
    if (!status.ok()) {
      return context.Fail(status);
    }
  }
  ConfigureLog("countersign-pdp", *format, *level);
  const Signals signals;
  StatusOr<std::unique_ptr<pdp::PdpServer>> server =
      pdp::PdpServer::Start(*std::move(options), Clock::System());
  if (!server.ok()) {
    return context.Fail(server.status());
  }
  LogInfo("listening", {{"grpc", TextOf((*server)->grpc_address())},
                        {"http", TextOf((*server)->http_address())}});
  while (signals.Wait() == SIGHUP) {
    LogInfo("reading the policy folder", {{"folder", flags.policies}});
    (*server)->LookNow();
  }
  LogInfo("stopping");
  (*server)->Stop();
  context.exit_code = kGood;
}

}  // namespace

void AddPdpCommands(CLI::App& app, Context& context) {
  CLI::App* pdp = app.add_subcommand("pdp", "decide for proxies and services of others");
  pdp->require_subcommand(1);
  CLI::App* run = pdp->add_subcommand(
      "run", "serve decisions over Envoy's ext_authz v3 and AuthZEN 1.0, by a folder of policies");
  auto flags = std::make_shared<Flags>();
  run->add_option("--policies", flags->policies, "folder with policy files; changes are taken live")
      ->required();
  run->add_option("--listen-grpc", flags->listen_grpc, "ext_authz: unix:PATH or IP:PORT");
  run->add_option("--listen-http", flags->listen_http,
                  "AuthZEN, health and metrics: unix:PATH or IP:PORT");
  run->add_option("--workload", flags->workload, "SPIFFE ID of the workload that is guarded");
  run->add_flag("--workload-from-context", flags->workload_from_context,
                "take the workload from Envoy's context_extensions[\"workload\"]");
  run->add_option("--socket-mode", flags->socket_mode, "of Unix sockets")->capture_default_str();
  run->add_option("--public-url", flags->public_url, "where AuthZEN's metadata says this is");
  run->add_flag("--insecure-network", flags->insecure_network,
                "listen in plain text where other machines reach it");
  run->add_option("--log-format", flags->log_format, "console or json")->capture_default_str();
  run->add_option("--log-level", flags->log_level, "debug, info, warning or error")
      ->capture_default_str();
  run->footer(kFooter);
  run->callback([&context, flags] { Run(context, *flags); });
}

}  // namespace countersign::cli
