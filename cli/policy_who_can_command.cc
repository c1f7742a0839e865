// `countersign policy who-can`: every region of requests that is allowed, within what is asked.
#include "cli/policy_who_can_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "authz/check/assertions.h"
#include "authz/kinds/report.h"
#include "authz/kinds/value.h"
#include "authz/prove/who_can.h"
#include "authz/prove/witness.h"
#include "base/clock.h"
#include "cli/policy_output.h"
#include "cli/policy_proofs.h"

namespace countersign::cli {
namespace {

using authz::Field;
using authz::Matcher;
using authz::prove::AllowedReport;

struct WhoCanOptions {
  std::vector<std::string> paths;
  std::string workload, caller, method, path;
  std::string output = "table";
};

authz::yaml::Node Scalar(std::string_view text) {
  authz::yaml::Node node;
  node.kind = authz::yaml::Node::Kind::kScalar;
  node.text = text;
  return node;
}

// "under:X" and the like as the map that a policy would hold, or the text itself.
authz::yaml::Node AsPredicate(std::string_view text) {
  for (std::string_view word : {"exact", "under", "prefix", "suffix", "re2"}) {
    if (text.starts_with(word) && text.substr(word.size()).starts_with(':')) {
      authz::yaml::Node map;
      map.kind = authz::yaml::Node::Kind::kMap;
      map.members.push_back({std::string(word), {}, Scalar(text.substr(word.size() + 1))});
      return map;
    }
  }
  return Scalar(text);
}

// The predicate that `text` is in a policy: what could not match there is refused here, since
// "nothing of it is allowed" would be taken for a proof.
StatusOr<Matcher> ReadMatcher(std::string_view option, std::string_view text, Field field) {
  bool method = field == Field::kMethod;
  const authz::FieldRow row = {
      .path = option,
      .type = method ? authz::FieldType::kMethod : authz::FieldType::kMatcher,
      .field = field};
  authz::LoadContext context{authz::Reporter("")};
  authz::Value value;
  if (method ? CheckScalar(Scalar(text), row, context, value)
             : CheckMatcher(AsPredicate(text), row, context, value)) {
    return value.matcher;
  }
  return InvalidArgument(context.reporter.diagnostics().front().message);
}

Status AddCondition(std::string_view option, std::string_view text, Field field,
                    authz::Entry& entry) {
  if (!text.empty()) {
    authz::Condition& condition = entry.all_of.emplace_back();
    condition.field = field;
    ASSIGN_OR_RETURN(condition.any_of.emplace_back(), ReadMatcher(option, text, field));
  }
  return absl::OkStatus();
}

StatusOr<authz::PolicyAssertion> PartOf(const WhoCanOptions& options) {
  authz::PolicyAssertion part;
  part.subject = authz::Subject::kAnyone;
  if (options.caller == "none") {
    authz::Condition& condition = part.from.emplace_back().all_of.emplace_back();
    condition.any_of.emplace_back().kind = Matcher::Kind::kAbsent;
  } else if (!options.caller.empty()) {
    RETURN_IF_ERROR(AddCondition("--caller", options.caller, Field::kId, part.from.emplace_back()));
  }
  part.subject = part.from.empty() ? authz::Subject::kAnyone : authz::Subject::kEntries;
  if (!options.workload.empty()) {
    ASSIGN_OR_RETURN(part.workloads.emplace_back(),
                     ReadMatcher("--workload", options.workload, Field::kId));
  }
  authz::Entry to;
  RETURN_IF_ERROR(AddCondition("--method", options.method, Field::kMethod, to));
  RETURN_IF_ERROR(AddCondition("--path", options.path, Field::kPath, to));
  if (!to.all_of.empty()) {
    part.to.push_back(std::move(to));
  }
  return part;
}

void PrintTable(const AllowedReport& report, std::ostream& out) {
  size_t number = 0;
  for (const authz::prove::Counterexample& region : report.regions) {
    out << "  " << ++number << ". ";
    for (size_t i = 0; i < region.conditions.size(); ++i) {
      out << (i == 0 ? "" : "\n     ") << EscapeForTerminal(region.conditions[i]);
    }
    out << (region.conditions.empty() ? "every request" : "")
        << "\n     request: " << EscapeForTerminal(authz::prove::RequestText(region.request))
        << "\n     by: "
        << EscapeForTerminal(region.judgement.rule.empty()
                                 ? authz::ReasonName(region.judgement.reason)
                                 : std::string_view(region.judgement.rule))
        << "\n";
  }
  if (report.regions.empty()) {
    out << "nothing of it is allowed\n";
  } else {
    out << Count(report.regions.size(), "region") << " allowed\n";
  }
  if (!report.complete) {
    out << "there are more regions than are listed\n";
  }
}

void PrintAsJson(const AllowedReport& report, std::ostream& out) {
  Json regions = Json::array();
  for (const authz::prove::Counterexample& region : report.regions) {
    regions.push_back({{"conditions", region.conditions},
                       {"request", authz::prove::RequestText(region.request)},
                       {"replayable", region.replayable},
                       {"reason", authz::ReasonName(region.judgement.reason)},
                       {"rule", region.judgement.rule}});
  }
  out << Print({{"complete", report.complete}, {"regions", regions}});
}

void WhoCan(Context& context, const WhoCanOptions& options) {
  StatusOr<authz::PolicyAssertion> part = PartOf(options);
  if (!part.ok()) {
    context.Fail(part.status());
    return;
  }
  StatusOr<authz::LoadResult> loaded = LoadFaultless(options.paths, context);
  if (!loaded.ok()) {
    context.Fail(loaded.status());
    return;
  }
  StatusOr<AllowedReport> report = authz::prove::WhoCan(
      loaded->sets, *part, authz::ProveOptionsFor(loaded->services, Clock::System().Now()));
  if (!report.ok()) {
    FailProof(report.status(), context);
    return;
  }
  context.exit_code = report->regions.empty() ? kFindings : kGood;
  options.output == "json" ? PrintAsJson(*report, context.out) : PrintTable(*report, context.out);
}

}  // namespace

void AddPolicyWhoCan(CLI::App& policy, Context& context) {
  auto options = std::make_shared<WhoCanOptions>();
  CLI::App* verb = policy.add_subcommand("who-can", "list all that is allowed, proved");
  verb->add_option("paths", options->paths, "files or folders with policies")->required();
  verb->add_option("--workload", options->workload, "of these workloads only");
  verb->add_option("--caller", options->caller, "by these callers only; none: without identity");
  verb->add_option("--method", options->method, "of this method only");
  verb->add_option("--path", options->path, "of these paths only");
  verb->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  verb->footer(
      "Examples:\n  countersign policy who-can policies --path under:/admin\n"
      "  countersign policy who-can policies --caller spiffe://shop.example/ns/prod/sa/web\n"
      "Values are exact; except of a method, under:X, prefix:X, suffix:X and re2:X are wider, and\n"
      "a path may be a template. Ends with 0 if something is allowed, 1 if nothing is, 2 on an "
      "error, 3 if a\n"
      "stated limit was reached first.");
  verb->callback([&context, options] { WhoCan(context, *options); });
}

}  // namespace countersign::cli
