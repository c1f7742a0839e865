#include "cli/policy_import_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "authz/import/import.h"
#include "cli/command.h"
#include "cli/policy_output.h"

namespace countersign::cli {
namespace {

struct ImportCommand {
  std::vector<std::string> paths;
  authz::import::ImportOptions options;
  std::string compat;
  std::string output = "yaml";
};

// The policies go to standard output whole or not at all; everything else to standard error.
void Import(Context& context, const ImportCommand& command) {
  StatusOr<std::vector<authz::SourceFile>> files = ReadPaths(command.paths);
  if (!files.ok()) {
    context.Fail(files.status());
    return;
  }
  authz::import::ImportOptions options = command.options;
  options.anonymous_as_istio = command.compat == "istio";
  authz::import::Imported imported = authz::import::ImportIstio(*files, options);
  context.exit_code = imported.ok() ? kGood : kFindings;
  if (command.output == "json") {
    context.out << Print({{"ok", imported.ok()},
                          {"policies", imported.yaml},
                          {"diagnostics", ToJson(imported.diagnostics)}});
    return;
  }
  PrintDiagnostics(imported.diagnostics, context.err);
  context.out << imported.yaml;
  size_t errors = CountErrors(imported.diagnostics);
  context.err << Count(imported.source_policies, "source") << " read; " << Count(errors, "error")
              << ", " << Count(imported.diagnostics.size() - errors, "warning")
              << (imported.ok() ? "\n" : "; nothing was imported\n");
}

}  // namespace

void AddPolicyImport(CLI::App& policy, Context& context) {
  CLI::App* import =
      policy.add_subcommand("import", "turn the policies of another mesh into policies of ours");
  import->require_subcommand(1);
  auto command = std::make_shared<ImportCommand>();
  CLI::App* verb = import->add_subcommand("istio", "import Istio's AuthorizationPolicies");
  authz::import::ImportOptions& options = command->options;
  verb->add_option("-f,--file", command->paths,
                   "files or folders with AuthorizationPolicies and the workloads that their "
                   "selectors mean (Deployments and the like); - is standard input")
      ->required();
  verb->add_option("--trust-domain", options.trust_domain,
                   "the mesh's trust domain, which cluster.local means too")
      ->capture_default_str();
  verb->add_option("--trust-domain-alias", options.trust_domain_aliases,
                   "another name of it, as in the mesh configuration; may be given again");
  verb->add_option("--root-namespace", options.root_namespace,
                   "the namespace whose policies speak of all namespaces")
      ->capture_default_str();
  verb->add_option("-n,--namespace", options.default_namespace, "of documents that name none");
  verb->add_option("--owner", options.owner, "the SPIFFE ID that answers for the sets");
  verb->add_flag("--hosts-with-any-port", options.hosts_with_any_port,
                 "read a host as that host with any port");
  verb->add_option("--compat", command->compat,
                   "istio: callers without identity match negated principals of an ALLOW")
      ->check(CLI::IsMember({"istio"}));
  verb->add_option("-o,--output", command->output, "yaml, or json with the findings")
      ->check(CLI::IsMember({"yaml", "json"}));
  verb->footer(
      "Examples:\n  countersign policy import istio -f istio --trust-domain shop.example > "
      "set.yaml\n"
      "  kubectl get authorizationpolicies,deployments -n shop -o yaml |\n"
      "    countersign policy import istio -f - --trust-domain shop.example\n"
      "The result admits what the source admits, and `policy check` accepts it. What cannot be "
      "said\n"
      "here is an error with its place, and then nothing is printed but errors.\n"
      "Ends with 0 if all was imported, with 1 if something was refused, with 2 if a file cannot "
      "be\n"
      "read.");
  verb->callback([&context, command] { Import(context, *command); });
}

}  // namespace countersign::cli
