#include "cli/doctor/doctor_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/doctor/host_checks.h"
#include "cli/doctor/kernel_checks.h"

namespace countersign::cli {
namespace {

using doctor::Finding;
using doctor::Findings;
using doctor::Health;

struct DoctorOptions {
  std::string format;
  std::string server_data;
  std::string agent_data;
  std::vector<std::string> files;
};

std::string_view HealthName(Health health) {
  switch (health) {
    case Health::kGood:
      return "good";
    case Health::kWarning:
      return "warning";
    case Health::kBad:
      return "bad";
  }
  return "bad";
}

size_t Count(const Findings& findings, Health health) {
  return static_cast<size_t>(std::ranges::count(findings, health, &Finding::health));
}

void PrintJson(Context& context, const Findings& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"check", finding.check},
                    {"health", HealthName(finding.health)},
                    {"what", finding.what},
                    {"mend", finding.mend}});
  }
  context.out << list.dump(2, ' ', true, decltype(list)::error_handler_t::replace) << "\n";
}

// What is good is counted; -o wide names it.
void PrintText(Context& context, const Findings& findings, OutputFormat format) {
  for (const Finding& finding : findings) {
    if (finding.health == Health::kGood && format != OutputFormat::kWide) {
      continue;
    }
    std::string_view health = HealthName(finding.health);
    context.out << health << std::string(9 - health.size(), ' ') << finding.check << ": "
                << EscapeForTerminal(finding.what) << "\n";
    if (!finding.mend.empty()) {
      context.out << "         mend: " << EscapeForTerminal(finding.mend) << "\n";
    }
  }
  context.out << findings.size() << " checks: " << Count(findings, Health::kBad) << " bad, "
              << Count(findings, Health::kWarning) << " to think about\n";
}

StatusOr<Findings> LookAt(const Context& context, const DoctorOptions& options) {
  Findings findings = doctor::CheckKernel("/proc");
  std::string agent_socket = context.agent_socket;
  if (agent_socket.starts_with("unix://")) {
    agent_socket.erase(0, 7);
  }
  Findings folders = doctor::CheckFolders({context.server_socket, agent_socket, context.audit_dir,
                                           options.server_data, options.agent_data},
                                          Clock::System().Now());
  std::ranges::move(folders, std::back_inserter(findings));
  std::vector<authz::SourceFile> sources;
  for (const std::string& path : options.files) {
    ASSIGN_OR_RETURN(std::vector<authz::SourceFile> found, authz::ReadSources(path));
    std::ranges::move(found, std::back_inserter(sources));
  }
  authz::LoadResult documents = authz::Load(sources);
  if (!documents.ok()) {
    std::string all = "the documents have errors: see countersign policy check";
    for (const authz::Diagnostic& one : documents.diagnostics) {
      all += "\n" + authz::FormatDiagnostic(one);
    }
    return InvalidArgument(all);
  }
  Findings expected = doctor::CheckDocuments(documents, "/proc");
  std::ranges::move(expected, std::back_inserter(findings));
  return findings;
}

Status Examine(Context& context, const DoctorOptions& options) {
  ASSIGN_OR_RETURN(OutputFormat format, ParseOutputFormat(options.format));
  if (format == OutputFormat::kYaml || format == OutputFormat::kName) {
    return InvalidArgument("doctor prints as table, wide or json, not as ", Quoted(options.format));
  }
  ASSIGN_OR_RETURN(Findings findings, LookAt(context, options));
  context.exit_code = Count(findings, Health::kBad) > 0 ? kFindings : kGood;
  if (format == OutputFormat::kJson) {
    PrintJson(context, findings);
  } else {
    PrintText(context, findings, format);
  }
  return absl::OkStatus();
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("doctor", "look at this host: what is wrong, and how to mend it");
  auto options = std::make_shared<DoctorOptions>();
  command->add_option(
      "-f,--file", options->files,
      "Services and Registrations that this host is to carry: ports, users, sockets");
  command->add_option("--server-data", options->server_data, "countersign-server's --data-dir");
  command->add_option("--agent-data", options->agent_data, "countersign-agent's --data-dir");
  command->add_option("-o,--output", options->format,
                      "table (what is not good), wide (every check) or json");
  command->footer(
      "It looks at the kernel, and at every socket, folder and document that it is given.\n"
      "Exit status 1 if anything is bad. Examples:\n  countersign doctor\n"
      "  countersign doctor --agent-socket /run/countersign/agent.sock --agent-data "
      "/var/lib/countersign-agent/data\n"
      "  countersign doctor --server-data /var/lib/countersign-server -o json\n"
      "  countersign doctor -f examples/shop -o wide");
  command->callback([&context, options] {
    if (Status status = Examine(context, *options); !status.ok()) {
      context.Fail(status);
    }
  });
}

}  // namespace countersign::cli
