#include "cli/doctor/doctor_commands.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/doctor/host_checks.h"

namespace countersign::cli {
namespace {

using doctor::Finding;
using doctor::Health;

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

void PrintJson(Context& context, const std::vector<Finding>& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"check", finding.check},
                    {"health", HealthName(finding.health)},
                    {"what", finding.what},
                    {"mend", finding.mend}});
  }
  context.out << list.dump(2, ' ', false, decltype(list)::error_handler_t::replace) << "\n";
}

void Examine(Context& context, const std::string& format_name) {
  StatusOr<OutputFormat> format = ParseOutputFormat(format_name);
  if (!format.ok()) {
    context.Fail(format.status());
    return;
  }
  std::string agent_socket = context.agent_socket;
  if (agent_socket.starts_with("unix://")) {
    agent_socket.erase(0, 7);
  }
  std::vector<Finding> findings =
      doctor::CheckHost({context.server_socket, agent_socket, context.audit_dir});
  if (*format == OutputFormat::kJson) {
    PrintJson(context, findings);
  }
  for (const Finding& finding : findings) {
    if (finding.health == Health::kBad) {
      context.exit_code = kFindings;
    }
    if (*format != OutputFormat::kJson) {
      context.out << HealthName(finding.health)
                  << std::string(9 - HealthName(finding.health).size(), ' ') << finding.check
                  << ": " << EscapeForTerminal(finding.what) << "\n";
      if (!finding.mend.empty()) {
        context.out << "         mend: " << EscapeForTerminal(finding.mend) << "\n";
      }
    }
  }
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("doctor", "look at this host: what is wrong, and how to mend it");
  auto format = std::make_shared<std::string>();
  command->add_option("-o,--output", *format, "table or json");
  command->footer(
      "Exit status 1 if anything is bad. Examples:\n  countersign doctor\n"
      "  countersign --agent-socket /run/countersign/agent.sock --audit-dir "
      "/var/lib/countersign/audit doctor -o json");
  command->callback([&context, format] { Examine(context, *format); });
}

}  // namespace countersign::cli
