// `countersign policy diff OLD NEW`: the exact difference in meaning.
#include "cli/policy_diff_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "authz/check/assertions.h"
#include "authz/prove/diff.h"
#include "base/clock.h"
#include "cli/policy_changes.h"
#include "cli/policy_output.h"
#include "cli/policy_proofs.h"
#include "cli/running_policies.h"

namespace countersign::cli {
namespace {

using authz::prove::DiffReport;

struct DiffOptions {
  std::vector<std::string> versions;  // Old and new; new alone with `running`.
  bool running = false;
  std::string output = "table";
};

void Diff(Context& context, const DiffOptions& options) {
  if (options.versions.size() != (options.running ? 1 : 2)) {
    context.Fail(InvalidArgument(
        options.running ? "with --running, give only what would replace it"
                        : "give the old and the new policies, or --running and the new"));
    return;
  }
  StatusOr<authz::LoadResult> before = options.running
                                           ? RunningPolicies(context)
                                           : LoadFaultless({options.versions.front()}, context);
  StatusOr<authz::LoadResult> after = LoadFaultless({options.versions.back()}, context);
  for (const Status& status : {before.status(), after.status()}) {
    if (!status.ok()) {
      context.Fail(status);
      return;
    }
  }
  if (options.running) {
    KeepOthers(before->sets, after->sets);
  }
  std::vector<authz::Service>& services = after->services;
  services.insert(services.end(), before->services.begin(), before->services.end());
  StatusOr<DiffReport> report = authz::prove::DiffPolicies(
      before->sets, after->sets, authz::ProveOptionsFor(after->services, Clock::System().Now()));
  if (!report.ok()) {
    FailProof(report.status(), context);
    return;
  }
  context.exit_code = report->same() ? kGood : kFindings;
  if (options.output == "json") {
    context.out << Print(ChangesJson(*report));
  } else {
    PrintChanges(*report, context.out);
  }
}

}  // namespace

void AddPolicyDiff(CLI::App& policy, Context& context) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* diff = policy.add_subcommand("diff", "prove what a change of policies changes");
  diff->add_option("versions", options->versions,
                   "files or folders: the policies as they are, and as they would be")
      ->required()
      ->expected(1, 2);
  diff->add_flag("--running", options->running, "compare with what the server runs now");
  diff->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  diff->footer(
      "Examples:\n  countersign policy diff main/policies policies\n"
      "  countersign policy diff --running policies\n"
      "Every region of requests whose verdict changes, with one request of it that\n"
      "`countersign policy eval -f -` reads. Ends with 0 if nothing changes, 1 if something\n"
      "does, 2 on an error, 3 if a stated limit was reached first: then nothing is proved.");
  diff->callback([&context, options] { Diff(context, *options); });
}

}  // namespace countersign::cli
