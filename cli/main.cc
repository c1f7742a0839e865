// countersign: the command for people and CI.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <ostream>

#include "base/fd.h"
#include "cli/admin_commands.h"
#include "cli/audit_commands.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/dev/dev_commands.h"
#include "cli/doctor/doctor_commands.h"
#include "cli/pdp_command.h"
#include "cli/policy_commands.h"
#include "cli/svid/svid_commands.h"
#include "cli/usage_error.h"

namespace countersign::cli {
namespace {

constexpr const char* kFooter = R"(
Exit codes:
  0  good
  1  differs, denied, or a check found something
  2  wrong use, or it could not be done
  3  gave up at a stated limit

Run 'countersign VERB --help' for a verb's options and examples.)";

void AddGlobalOptions(CLI::App& app, Context& context) {
  app.add_option("--server-socket", context.server_socket, "the server's administration socket")
      ->envname("COUNTERSIGN_SERVER_SOCKET");
  app.add_option("--agent-socket", context.agent_socket, "the agent's workload socket")
      ->envname("COUNTERSIGN_AGENT_SOCKET");
  app.add_option("--audit-dir", context.audit_dir, "the node's audit folder")
      ->envname("COUNTERSIGN_AUDIT_DIR");
}

// Whether nobody reads the pipe behind standard output any more, as after `| head`.
bool ReaderIsGone() {
  pollfd out = {STDOUT_FILENO, POLLOUT, 0};
  return ::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

// Output that did not arrive whole is no good result.
int Finish(Context& context) {
  context.out.flush();
  if (context.out.good()) {
    return context.exit_code;
  }
  if (!ReaderIsGone()) {
    context.Fail(Unavailable("standard output cannot be written: what was printed is incomplete"));
  }
  return kError;
}

int Main(int argc, char** argv) {
  IgnoreSigpipe();
  CLI::App app("Countersign: identity and policy for services, proved and recorded.",
               "countersign");
  Context context;
  app.set_version_flag("--version", "countersign " COUNTERSIGN_VERSION);
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  AddGlobalOptions(app, context);
  AddAdminCommands(app, context);
  AddPolicyCommands(app, context);
  AddPdpCommands(app, context);
  AddAuditCommands(app, context);
  AddDevCommands(app, context);
  AddDoctorCommand(app, context);
  AddSvidCommands(app, context);
  AddCompletionCommand(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);  // --help and --version.
  } catch (const CLI::ParseError& error) {
    context.Fail(UsageError(app, error));
  } catch (const std::exception& error) {
    context.Fail(Internal("it could not be done: ", error.what()));
  }
  return Finish(context);
}

}  // namespace
}  // namespace countersign::cli

int main(int argc, char** argv) { return countersign::cli::Main(argc, argv); }
