// countersign-agent: attests its node, serves identities to the node's workloads, and keeps the
// node's audit log.
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "base/core_files.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unix_grpc/grpc_log.h"
#include "sds/agent/agent.h"

namespace countersign::agent {
namespace {

constexpr int kExitError = 2;
constexpr size_t kTokenBytesMax = 4096;

struct Flags {
  std::string trust_domain;
  std::string data_dir;
  std::string server = "127.0.0.1:8081";
  std::string socket;
  std::string audit_socket;
  std::string audit_dir;
  std::string join_token_file;
  std::string bundle_sha256;
  bool demo_selectors = false;
  std::string log_format = "console";
  std::string log_level = "info";
};

void Declare(CLI::App& run, Flags& flags) {
  run.add_option("--trust-domain", flags.trust_domain, "trust domain, such as shop.example")
      ->required();
  run.add_option("--data-dir", flags.data_dir, "folder for this agent's identity and state")
      ->required();
  run.add_option("--server", flags.server, "address of countersign-server")->capture_default_str();
  run.add_option("--socket", flags.socket, "Unix socket for workloads and proxies")->required();
  run.add_option("--audit-socket", flags.audit_socket, "Unix socket that takes audit rings");
  run.add_option("--audit-dir", flags.audit_dir, "folder of the node's audit log");
  run.add_option("--join-token-file", flags.join_token_file,
                 "file with the join token; needed until the node is attested");
  run.add_option("--bundle-sha256", flags.bundle_sha256,
                 "the pin that came with the token: SHA-256 of the server's bundle");
  run.add_flag("--demo-selectors", flags.demo_selectors,
               "believe COUNTERSIGN_DEMO_WORKLOAD in the callers' environment; isolates nothing");
  run.add_option("--log-format", flags.log_format, "console or json")->capture_default_str();
  run.add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->capture_default_str();
}

StatusOr<AgentOptions> ToOptions(const Flags& flags) {
  ASSIGN_OR_RETURN(identity::TrustDomain domain, identity::TrustDomain::Parse(flags.trust_domain));
  if (flags.audit_socket.empty() != flags.audit_dir.empty()) {
    return InvalidArgument("--audit-socket and --audit-dir go together");
  }
  AgentOptions options{
      .trust_domain = std::move(domain),
      .data_dir = flags.data_dir,
      .server = flags.server,
      .socket = flags.socket,
      .audit_socket = flags.audit_socket,
      .audit_dir = flags.audit_dir,
      .join_token = "",
      .bundle_sha256 = flags.bundle_sha256,
      .selector_mode = flags.demo_selectors ? SelectorMode::kDemo : SelectorMode::kUnix,
      .limits = {}};
  if (!flags.join_token_file.empty()) {
    if (flags.bundle_sha256.empty()) {
      return InvalidArgument("--join-token-file needs --bundle-sha256, the pin that came with it");
    }
    StatusOr<std::string> token = ReadSecretFile(flags.join_token_file, kTokenBytesMax);
    // The token was used at the first start; its file may be gone by the second.
    if (!token.ok() && token.status().code() != StatusCode::kNotFound) {
      return token.status();
    }
    options.join_token = token.ok() ? *token : "";
    while (options.join_token.ends_with('\n') || options.join_token.ends_with('\r')) {
      options.join_token.pop_back();
    }
  }
  return options;
}

// Signals are taken by one thread, from the start: an agent that waits for its server ends too.
class SignalWaiter {
 public:
  SignalWaiter() {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGTERM);
    ::sigaddset(&set_, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    thread_ = std::thread([this] {
      int signal = 0;
      ::sigwait(&set_, &signal);
      stop_.request_stop();
    });
  }
  ~SignalWaiter() {
    // Blocked in every thread: it ends the wait, not the thread.
    // NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread)
    ::pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;
  std::stop_token token() const { return stop_.get_token(); }
  void Wait() const {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait(lock, stop_.get_token(), [] { return false; });
  }

 private:
  sigset_t set_;
  std::stop_source stop_;
  std::thread thread_;
};

int Run(const Flags& flags) {
  StatusOr<LogFormat> format = ParseLogFormat(flags.log_format);
  StatusOr<LogLevel> level = ParseLogLevel(flags.log_level);
  StatusOr<AgentOptions> options = ToOptions(flags);
  for (const Status& status : {format.status(), level.status(), options.status(), ForbidCoreFiles(),
                               ForbidReadingMemory()}) {
    if (!status.ok()) {
      std::cerr << "countersign-agent: " << Message(status) << "\n";
      return kExitError;
    }
  }
  ConfigureLog("countersign-agent", *format, *level);
  RouteGrpcLog();
  IgnoreSigpipe();
  ::umask(077);
  SignalWaiter signals;
  std::string socket = options->socket;
  StatusOr<std::unique_ptr<Agent>> agent =
      Agent::Start(*std::move(options), Clock::System(), signals.token());
  if (!agent.ok()) {
    if (signals.token().stop_requested()) {
      return 0;
    }
    LogError("cannot start", {{"why", agent.status()}});
    return kExitError;
  }
  LogInfo("ready", {{"id", (*agent)->id().str()}, {"socket", socket}});
  signals.Wait();
  LogInfo("stopping");
  return 0;
}

}  // namespace
}  // namespace countersign::agent

int main(int argc, char** argv) {
  CLI::App app("countersign-agent serves SPIFFE identities to the workloads of one node");
  app.require_subcommand(1);
  countersign::agent::Flags flags;
  CLI::App* run = app.add_subcommand("run", "Run in the foreground until SIGTERM");
  countersign::agent::Declare(*run, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : countersign::agent::kExitError;
  }
  return countersign::agent::Run(flags);
}
