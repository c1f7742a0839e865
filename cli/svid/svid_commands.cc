#include "cli/svid/svid_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.h"
#include "cli/svid/svid_files.h"
#include "cli/svid/workload_api_client.h"

namespace countersign::cli {
namespace {

using svid::Next;
using svid::SignalTarget;
using svid::WorkloadIdentities;
using svid::WorkloadIdentity;
using svid::WorkloadQuestion;
using namespace std::chrono_literals;

// How long `svid watch` and `svid write` wait before they ask a lost agent again.
constexpr std::chrono::milliseconds kRetryMin = 100ms;
constexpr std::chrono::milliseconds kRetryMax = 10s;

struct Flags {
  std::string output;
  std::string timeout = "10s";
  std::string folder;
  std::string id;
  std::string signal = "HUP";
  std::string pid_file;
  int pid = 0;
  bool once = false;
};

StatusOr<std::string> Socket(const Context& context) {
  if (!context.agent_socket.empty()) {
    return svid::ParseEndpoint(context.agent_socket);
  }
  const char* standard = std::getenv("SPIFFE_ENDPOINT_SOCKET");
  return svid::ParseEndpoint(standard != nullptr ? standard : "");
}

ExitCode CodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kPermissionDenied:
      return kFindings;
    case StatusCode::kDeadlineExceeded:
      return kGaveUp;
    default:
      return kError;
  }
}

void Print(Context& context, OutputFormat format, const WorkloadIdentities& identities) {
  if (format == OutputFormat::kJson) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const WorkloadIdentity& identity : identities) {
      list.push_back({{"spiffeId", identity.svid->id().str()},
                      {"serial", identity.svid->serial()},
                      {"notBefore", FormatTime(identity.svid->not_before())},
                      {"notAfter", FormatTime(identity.svid->not_after())},
                      {"hint", identity.hint},
                      {"chainPem", identity.svid->ChainPem()},
                      {"bundlePem", identity.bundle->AuthoritiesPem()}});
    }
    context.out << list.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) << std::endl;
    return;
  }
  Table table({"SPIFFE ID", "SERIAL", "NOT AFTER", "HINT"});
  for (const WorkloadIdentity& identity : identities) {
    table.AddRow({identity.svid->id().str(), identity.svid->serial(),
                  FormatTime(identity.svid->not_after()), identity.hint});
  }
  table.Print(context.out);
  context.out.flush();
}

StatusOr<OutputFormat> TableOrJson(const std::string& text) {
  ASSIGN_OR_RETURN(OutputFormat format, ParseOutputFormat(text));
  if (format != OutputFormat::kTable && format != OutputFormat::kJson) {
    return InvalidArgument("svid prints as table or json, not as ", Quoted(text));
  }
  return format;
}

Status Fetch(Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(OutputFormat format, TableOrJson(flags.output));
  ASSIGN_OR_RETURN(std::string socket, Socket(context));
  ASSIGN_OR_RETURN(std::chrono::nanoseconds patience, ParseDuration(flags.timeout));
  return svid::StreamIdentities({socket, patience}, [&](const WorkloadIdentities& identities) {
    Print(context, format, identities);
    return Next::kEnough;
  });
}

// Follow streams for ever. A lost agent and a missing registration are said once and waited for;
// `take` asks with kEnough to be given the same again later.
template <class Take>
[[noreturn]] void Follow(Context& context, const std::string& socket, Take take) {
  std::chrono::milliseconds wait = kRetryMin;
  std::string said;
  while (true) {
    Status ended = svid::StreamIdentities(WorkloadQuestion{socket, std::nullopt},
                                          [&](const WorkloadIdentities& identities) {
                                            said.clear();
                                            Next next = take(identities);
                                            wait = next == Next::kMore ? kRetryMin : wait;
                                            return next;
                                          });
    if (!ended.ok() && Message(ended) != said) {
      said = Message(ended);
      context.err << "waiting: " << EscapeForTerminal(said) << std::endl;
    }
    std::this_thread::sleep_for(wait);
    wait = std::min(wait * 2, kRetryMax);
  }
}

Status Watch(Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(OutputFormat format, TableOrJson(flags.output));
  ASSIGN_OR_RETURN(std::string socket, Socket(context));
  Follow(context, socket, [&](const WorkloadIdentities& identities) {
    Print(context, format, identities);
    return Next::kMore;
  });
}

StatusOr<const WorkloadIdentity*> Choose(const WorkloadIdentities& identities,
                                         const std::string& id) {
  for (const WorkloadIdentity& identity : identities) {
    if (id.empty() || identity.svid->id().str() == id) {
      return &identity;
    }
  }
  return NotFound("the agent gives this process no identity ", Quoted(id));
}

bool SameIdentity(const WorkloadIdentity& a, const WorkloadIdentity& b) {
  return a.svid->chain_der() == b.svid->chain_der() &&
         a.svid->key_pkcs8_der() == b.svid->key_pkcs8_der() &&
         a.bundle->authorities_der() == b.bundle->authorities_der();
}

// IdentityFiles remembers what it wrote, so that an agent that comes back with the same makes no
// program read its files again.
class IdentityFiles {
 public:
  IdentityFiles(Context& context, const Flags& flags, int signal_number)
      : context_(context), flags_(flags), signal_number_(signal_number) {}

  Status Write(const WorkloadIdentities& identities) {
    ASSIGN_OR_RETURN(const WorkloadIdentity* identity, Choose(identities, flags_.id));
    if (written_.svid != nullptr && SameIdentity(*identity, written_)) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(svid::WriteIdentity(*identity, flags_.folder));
    written_ = *identity;
    context_.out << "wrote " << identity->svid->id().str() << " serial " << identity->svid->serial()
                 << " until " << FormatTime(identity->svid->not_after()) << std::endl;
    told_ = svid::Tell({signal_number_, flags_.pid_file, flags_.pid});
    return absl::OkStatus();
  }
  // told says how the signal after the last write went.
  const Status& told() const { return told_; }

 private:
  Context& context_;
  const Flags& flags_;
  int signal_number_;
  WorkloadIdentity written_;
  Status told_;
};

Status WriteOnce(const WorkloadQuestion& question, IdentityFiles& files) {
  Status written;
  RETURN_IF_ERROR(svid::StreamIdentities(question, [&](const WorkloadIdentities& identities) {
    written = files.Write(identities);
    return Next::kEnough;
  }));
  return written.ok() ? files.told() : written;
}

Status Write(Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(std::string socket, Socket(context));
  ASSIGN_OR_RETURN(std::chrono::nanoseconds patience, ParseDuration(flags.timeout));
  ASSIGN_OR_RETURN(int signal_number, svid::ParseSignal(flags.signal));
  IdentityFiles files(context, flags, signal_number);
  if (flags.once) {
    return WriteOnce({socket, patience}, files);
  }
  Follow(context, socket, [&](const WorkloadIdentities& identities) {
    // A full disk or a program that restarts now must not end what renews its certificate: writing
    // is tried again, the signal comes again with the next renewal.
    Status written = files.Write(identities);
    const Status& fault = written.ok() ? files.told() : written;
    if (!fault.ok()) {
      context.err << "error: " << EscapeForTerminal(Message(fault)) << std::endl;
    }
    return written.ok() ? Next::kMore : Next::kEnough;
  });
}

using Verb = Status (*)(Context&, const Flags&);

void SetCallback(CLI::App& command, Context& context, std::shared_ptr<Flags> flags, Verb verb) {
  command.callback([&context, flags = std::move(flags), verb] {
    if (Status status = verb(context, *flags); !status.ok()) {
      context.Fail(status, CodeOf(status));
    }
  });
}

void AddWrite(CLI::App& svid, Context& context) {
  auto flags = std::make_shared<Flags>();
  CLI::App* write = svid.add_subcommand("write", "keep svid.pem, key.pem and bundle.pem current");
  write->add_option("--dir", flags->folder, "existing folder to write into")->required();
  write->add_option("--id", flags->id, "which SPIFFE ID; the default identity if not given");
  write->add_flag("--once", flags->once, "write once and end");
  write->add_option("--timeout", flags->timeout, "how long --once waits")->capture_default_str();
  write->add_option("--signal", flags->signal, "HUP, USR1, USR2 or TERM")->capture_default_str();
  CLI::Option* pid = write->add_option("--pid", flags->pid, "process to signal after each write");
  write->add_option("--pid-file", flags->pid_file, "file with the number of that process")
      ->excludes(pid);
  write->footer(
      "Each file is replaced whole; the signal follows when all three are. Examples:\n"
      "  countersign svid write --dir /run/web/svid --pid-file /run/nginx.pid --signal HUP\n"
      "  countersign svid write --dir . --once");
  SetCallback(*write, context, flags, Write);
}

}  // namespace

void AddSvidCommands(CLI::App& app, Context& context) {
  CLI::App* svid = app.add_subcommand("svid", "this process's identities, from the agent");
  svid->require_subcommand(1);
  svid->fallthrough();
  auto fetch_flags = std::make_shared<Flags>();
  CLI::App* fetch = svid->add_subcommand("fetch", "show the identities that the agent gives now");
  fetch->add_option("-o,--output", fetch_flags->output, "table or json");
  fetch->add_option("--timeout", fetch_flags->timeout, "how long to wait")->capture_default_str();
  fetch->footer(
      "Exit status 1 if this process matches no registration, 3 at the timeout. Examples:\n"
      "  countersign svid fetch\n"
      "  SPIFFE_ENDPOINT_SOCKET=unix:///run/countersign/agent.sock countersign svid fetch -o json");
  SetCallback(*fetch, context, fetch_flags, Fetch);
  auto watch_flags = std::make_shared<Flags>();
  CLI::App* watch = svid->add_subcommand("watch", "show them, and again after each renewal");
  watch->add_option("-o,--output", watch_flags->output, "table or json");
  watch->footer("Example:\n  countersign svid watch");
  SetCallback(*watch, context, watch_flags, Watch);
  AddWrite(*svid, context);
}

}  // namespace countersign::cli
