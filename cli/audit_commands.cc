#include "cli/audit_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "audit/query/explain.h"
#include "audit/query/record_json.h"
#include "audit/query/search.h"
#include "audit/query/verify.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/log_options.h"
#include "identity/spiffe_id.h"

namespace countersign::cli {
namespace {

constexpr size_t kProofBytesMax = 256 * 1024;

// Options of one run; every verb uses some.
struct Options {
  std::string format = "table";
  std::string id, caller, callee, rule, effect, reason, path, since, until;
  std::string vkey, known, proof_file;
  int64_t limit = 100;
  bool proof = false;
};
using OptionsPtr = std::shared_ptr<Options>;

// One that lost a part of its log is for `verify` to name: it looks for any.
StatusOr<std::string> LogFolder(const Context& context,
                                std::initializer_list<std::string_view> files = {"log.vkey"}) {
  ASSIGN_OR_RETURN(std::string folder, AuditFolder(context));
  RETURN_IF_ERROR(CheckLogFolder(folder, files));
  return folder;
}

StatusOr<audit::LogSearcher> OpenLog(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(std::string folder, LogFolder(context));
  return audit::LogSearcher::Open(folder, TrustedKey(options.vkey));
}

StatusOr<authz::Reason> ParseReason(const std::string& text) {
  std::string known;
  for (uint8_t i = 0; authz::ReasonName(static_cast<authz::Reason>(i)) != "unknown"; ++i) {
    std::string_view name = authz::ReasonName(static_cast<authz::Reason>(i));
    if (name == text) {
      return static_cast<authz::Reason>(i);
    }
    known += Concat(known.empty() ? "" : ", ", name);
  }
  return InvalidArgument("unknown reason ", Quoted(text), " (know ", known, ")");
}

// An id as records hold it; "-" is what tables show for none.
StatusOr<std::optional<std::string>> ParseId(std::string_view option, const std::string& text) {
  if (text.empty()) {
    return std::optional<std::string>();
  }
  if (text == "-") {
    return std::optional<std::string>("");
  }
  if (StatusOr<identity::SpiffeId> id = identity::SpiffeId::Parse(text); !id.ok()) {
    return InvalidArgument(option, ": ", Message(id.status()), "; give spiffe://... or - for none");
  }
  return std::optional<std::string>(text);
}

StatusOr<std::optional<std::string>> ParseRule(const std::string& text) {
  if (text.empty()) {
    return std::optional<std::string>();
  }
  bool whole = std::ranges::count(text, '/') == 2 && !text.starts_with('/') &&
               !text.ends_with('/') && text.find("//") == std::string::npos;
  if (!whole) {
    return InvalidArgument("--rule is set/policy/rule, as the records show it, not ", Quoted(text));
  }
  return std::optional<std::string>(text);
}

// What people write for a wildcard would be looked for as it stands, and not be found.
StatusOr<std::optional<std::string>> ParsePath(const std::string& text) {
  if (text.empty()) {
    return std::optional<std::string>();
  }
  if (!text.starts_with('/')) {
    return InvalidArgument("--path ", Quoted(text), " must begin with /");
  }
  if (size_t at = text.find_first_of("*{?#"); at != std::string::npos) {
    bool pattern = text[at] == '*' || text[at] == '{';
    return InvalidArgument("--path is the beginning of a path; '", text.substr(at, 1), "' in ",
                           Quoted(text),
                           pattern ? " is no pattern" : ": query and fragment are not recorded",
                           ": give what stands before it");
  }
  return std::optional<std::string>(text);
}

StatusOr<size_t> ParseLimit(int64_t limit) {
  constexpr auto kMost = static_cast<int64_t>(audit::SearchLimits::kFoundMax);
  if (limit < 1 || limit > kMost) {
    return InvalidArgument("--limit is 1 to ", kMost, ", not ", limit,
                           "; narrow a search with --since and --until");
  }
  return static_cast<size_t>(limit);
}

StatusOr<audit::SearchQuery> ToQuery(const Options& options) {
  audit::SearchQuery query;
  ASSIGN_OR_RETURN(query.caller, ParseId("--caller", options.caller));
  ASSIGN_OR_RETURN(query.callee, ParseId("--callee", options.callee));
  ASSIGN_OR_RETURN(query.rule, ParseRule(options.rule));
  ASSIGN_OR_RETURN(query.path_prefix, ParsePath(options.path));
  ASSIGN_OR_RETURN(query.limit, ParseLimit(options.limit));
  if (!options.effect.empty()) {
    if (options.effect != "allow" && options.effect != "deny") {
      return InvalidArgument("--effect is allow or deny, not ", Quoted(options.effect));
    }
    query.effect = options.effect == "allow" ? authz::Effect::kAllow : authz::Effect::kDeny;
  }
  if (!options.reason.empty()) {
    ASSIGN_OR_RETURN(query.reason, ParseReason(options.reason));
  }
  if (!options.since.empty()) {
    ASSIGN_OR_RETURN(query.since, ParseMoment(options.since));
  }
  if (!options.until.empty()) {
    ASSIGN_OR_RETURN(query.until, ParseMoment(options.until));
  }
  return query;
}

StatusOr<OutputFormat> TableOrJson(const Options& options) {
  ASSIGN_OR_RETURN(OutputFormat format, ParseOutputFormat(options.format));
  if (format == OutputFormat::kYaml || format == OutputFormat::kName) {
    return InvalidArgument("audit records are printed as table, wide or json");
  }
  return format;
}

std::vector<std::string> Row(const audit::FoundDecision& found, OutputFormat format) {
  const audit::DecisionRecord& r = *found.decision.record.decision();
  std::string id = audit::DecisionIdText(r.id);
  std::string request =
      r.kind == authz::RequestKind::kTcp ? Concat("tcp :", r.port) : Concat(r.method, " ", r.path);
  std::string why(r.rule.empty() ? authz::ReasonName(r.reason) : r.rule);
  std::string status = found.completion() == nullptr ? "-" : Concat(found.completion()->status);
  std::vector<std::string> row = {audit::FormatTimeNs(r.time_ns),
                                  id,
                                  std::string(audit::EffectName(r.effect)),
                                  std::string(r.listener),
                                  std::string(r.caller),
                                  std::string(r.callee),
                                  request,
                                  why};
  if (format == OutputFormat::kWide) {
    row.insert(row.end(), {status, audit::FormatPeerIp(r.peer_ip), std::string(r.service),
                           std::string(r.node), Concat(found.decision.index)});
  }
  for (std::string& cell : row) {
    cell = cell.empty() ? "-" : EscapeForTerminal(cell);
  }
  return row;
}

// Rings are drained one after the other, so the log is not in the order of time.
void SortByTime(std::vector<audit::FoundDecision>& found) {
  std::ranges::stable_sort(found, {}, [](const audit::FoundDecision& hit) {
    return hit.decision.record.decision()->time_ns;
  });
}

// What was not given must not pass for what is not there.
void SayHowMany(size_t found, uint64_t matched, std::ostream& err) {
  if (found == 0) {
    err << "no decision matches\n";
  } else if (found < matched) {
    err << found << " newest of " << matched << "; see --limit, --since\n";
  }
}

Status Search(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(OutputFormat format, TableOrJson(options));
  ASSIGN_OR_RETURN(audit::SearchQuery query, ToQuery(options));
  ASSIGN_OR_RETURN(audit::LogSearcher log, OpenLog(context, options));
  ASSIGN_OR_RETURN(std::vector<audit::FoundDecision> found, log.Search(query));
  SortByTime(found);
  SayHowMany(found.size(), log.matched(), context.err);
  if (format == OutputFormat::kJson) {
    context.out << "[";
    for (size_t i = 0; i < found.size(); ++i) {
      context.out << (i > 0 ? ",\n " : "")
                  << audit::RecordJson(found[i].decision, found[i].completion());
    }
    context.out << "]\n";
    return absl::OkStatus();
  }
  std::vector<std::string> heads = {"TIME",   "DECISION", "EFFECT",  "LISTENER",
                                    "CALLER", "CALLEE",   "REQUEST", "WHY"};
  if (format == OutputFormat::kWide) {
    heads.insert(heads.end(), {"STATUS", "PEER", "SERVICE", "NODE", "INDEX"});
  }
  Table table(heads);
  for (const audit::FoundDecision& hit : found) {
    table.AddRow(Row(hit, format));
  }
  table.Print(context.out);
  return absl::OkStatus();
}

// What show and explain give has been proved to stand in the signed log.
struct Proved {
  audit::FoundDecision found;
  audit::TlogProof proof;
};

StatusOr<Proved> FindProved(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(audit::DecisionId id, audit::ParseDecisionId(options.id));
  ASSIGN_OR_RETURN(audit::LogSearcher log, OpenLog(context, options));
  ASSIGN_OR_RETURN(audit::FoundDecision found, log.Find(id));
  ASSIGN_OR_RETURN(audit::TlogProof proof, log.reader().Prove(found.decision.index));
  if (found.completion_record.has_value()) {
    RETURN_IF_ERROR(log.reader().Prove(found.completion_record->index).status());
  }
  return Proved{std::move(found), std::move(proof)};
}

Status Show(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(OutputFormat format, TableOrJson(options));
  ASSIGN_OR_RETURN(Proved proved, FindProved(context, options));
  if (options.proof) {
    context.out << audit::PrintTlogProof(proved.proof);
    return absl::OkStatus();
  }
  std::string json = audit::RecordJson(proved.found.decision, proved.found.completion());
  if (format != OutputFormat::kJson) {
    json = nlohmann::ordered_json::parse(json).dump(
        2, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  }
  context.out << json << "\n";
  return absl::OkStatus();
}

Status Explain(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(OutputFormat format, TableOrJson(options));
  ASSIGN_OR_RETURN(Proved proved, FindProved(context, options));
  const audit::FoundDecision& found = proved.found;
  if (format == OutputFormat::kJson) {
    context.out << audit::ExplainJson(found.decision, found.completion()) << "\n";
  } else {
    context.out << audit::ExplainText(*found.decision.record.decision(), found.completion());
  }
  return absl::OkStatus();
}

// At most so many rings are named; the most missing come first.
constexpr size_t kRingsNamed = 10;

void PrintMissing(Context& context, const std::vector<audit::RingGaps>& gaps) {
  for (size_t i = 0; i < gaps.size() && i < kRingsNamed; ++i) {
    const audit::RingGaps& ring = gaps[i];
    context.out << "  missing: " << ring.missing << " by " << ring.records << " gap records of "
                << (ring.ring.empty() ? std::string("all other rings")
                    : ring.owner.empty()
                        ? Concat("ring ", ring.ring)
                        : Concat(EscapeForTerminal(ring.owner), ", id ", ring.ring))
                << "\n";
  }
  if (gaps.size() > kRingsNamed) {
    context.out << "  and of " << gaps.size() - kRingsNamed << " more rings; -o json names all\n";
  }
}

void PrintReport(Context& context, const audit::VerifyReport& report, OutputFormat format) {
  if (format == OutputFormat::kJson) {
    nlohmann::ordered_json out = {{"good", report.good()},
                                  {"origin", report.checkpoint.origin},
                                  {"vkey", report.vkey},
                                  {"size", report.checkpoint.size},
                                  {"decisions", report.decisions},
                                  {"completions", report.completions},
                                  {"events", report.events},
                                  {"missing", report.missing},
                                  {"missing_by_ring", nlohmann::ordered_json::array()},
                                  {"findings", report.findings}};
    for (const audit::RingGaps& ring : report.gaps) {
      out["missing_by_ring"].push_back({{"ring", ring.ring},
                                        {"owner", ring.owner},
                                        {"records", ring.records},
                                        {"missing", ring.missing}});
    }
    if (report.first_bad_record.has_value()) {
      out["first_bad_record"] = *report.first_bad_record;
      out["first_bad_decision"] = report.first_bad_decision;
    }
    context.out << out.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace)
                << "\n";
    return;
  }
  for (const std::string& finding : report.findings) {
    context.out << "FAILED: " << EscapeForTerminal(finding) << "\n";
  }
  if (report.good()) {
    context.out << "good: " << report.checkpoint.size << " records of " << report.checkpoint.origin
                << " (" << report.decisions << " decisions, " << report.completions
                << " completions, " << report.events << " events, " << report.missing
                << " known missing) give the signed root; key " << report.vkey << "\n";
  }
  PrintMissing(context, report.gaps);
}

Status VerifyProof(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(options.proof_file, kProofBytesMax));
  ASSIGN_OR_RETURN(audit::TlogProof proof, audit::ParseTlogProof(text));
  ASSIGN_OR_RETURN(audit::NoteVerifierKey key, audit::NoteVerifierKey::Parse(options.vkey));
  StatusOr<audit::LocatedRecord> record = audit::CheckTlogProof(proof, key);
  if (!record.ok()) {
    context.Fail(record.status(), kFindings);
    return absl::OkStatus();
  }
  context.out << audit::RecordJson(*record) << "\n";
  return absl::OkStatus();
}

Status Verify(Context& context, const Options& options) {
  if (!options.proof_file.empty()) {
    if (options.vkey.empty()) {
      return InvalidArgument("--proof needs --vkey: a proof is worth what its key is worth");
    }
    return VerifyProof(context, options);
  }
  ASSIGN_OR_RETURN(OutputFormat format, TableOrJson(options));
  audit::VerifyOptions verify;
  ASSIGN_OR_RETURN(verify.folder, LogFolder(context, {"log.vkey", "checkpoint", "tile"}));
  verify.vkey = TrustedKey(options.vkey);
  if (!options.known.empty()) {
    ASSIGN_OR_RETURN(verify.known, ReadFile(options.known, kProofBytesMax));
  }
  ASSIGN_OR_RETURN(audit::VerifyReport report, audit::VerifyLog(verify));
  PrintReport(context, report, format);
  context.exit_code = report.good() ? kGood : kFindings;
  return absl::OkStatus();
}

Status Export(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(audit::SearchQuery query, ToQuery(options));
  ASSIGN_OR_RETURN(std::string folder, LogFolder(context));
  ASSIGN_OR_RETURN(audit::LogReader log, audit::LogReader::Open(folder, TrustedKey(options.vkey)));
  for (uint64_t i = 0; i < log.size() && context.out.good(); ++i) {
    ASSIGN_OR_RETURN(audit::LocatedRecord record, log.Record(i));
    WallTime time{std::chrono::nanoseconds(record.record.time_ns())};
    if ((!query.since.has_value() || time >= *query.since) &&
        (!query.until.has_value() || time < *query.until)) {
      context.out << audit::RecordJson(record) << "\n";
    }
  }
  return absl::OkStatus();
}

using Verb = Status (*)(Context&, const Options&);

CLI::App* AddVerb(CLI::App& audit, Context& context, const OptionsPtr& options, Verb verb,
                  const char* name, const char* summary) {
  CLI::App* sub = audit.add_subcommand(name, summary);
  sub->callback([&context, options, verb] {
    if (Status status = verb(context, *options); !status.ok()) {
      context.Fail(status);
    }
  });
  return sub;
}

void AddTimes(CLI::App& sub, Options& options) {
  sub.add_option("--since", options.since, "from this time, or from so long ago (15m)");
  sub.add_option("--until", options.until, "before this time, or until so long ago");
}

void AddKey(CLI::App& sub, Options& options) {
  sub.add_option("--vkey", options.vkey,
                 "the log's verifier key, kept elsewhere; else the one beside the log is believed");
}

}  // namespace

void AddAuditCommands(CLI::App& app, Context& context) {
  CLI::App* audit = app.add_subcommand("audit", "search, explain and verify a node's audit log");
  audit->require_subcommand(1);
  audit->fallthrough();
  auto options = std::make_shared<Options>();
  Options& o = *options;

  CLI::App* search = AddVerb(*audit, context, options, Search, "search", "find decisions");
  search->add_option("--caller", o.caller, "SPIFFE ID of the caller; -: without identity");
  search->add_option("--callee", o.callee, "SPIFFE ID of the guarded workload");
  search->add_option("--rule", o.rule, "the rule that decided: set/policy/rule");
  search->add_option("--effect", o.effect, "allow or deny");
  search->add_option("--reason", o.reason, "no_rule_matched, deny_rule, ...");
  search->add_option("--path", o.path, "beginning of the path");
  AddTimes(*search, o);
  search->add_option("--limit", o.limit, "at most so many, the newest ones")->capture_default_str();
  search->add_option("-o,--output", o.format, "table, wide or json");
  AddKey(*search, o);
  search->footer(
      "\nReads the whole log and proves that it did: what is not found is not in the log.\n"
      "A request between two workloads of the mesh leaves two records: the caller's proxy records\n"
      "on listener `outbound` which process used its way out (local_caller), the callee's proxy\n"
      "what policy said. --reason allow_rule finds what policy allowed.\n"
      "\nExamples:\n"
      "  countersign audit search --effect deny --since 1h\n"
      "  countersign audit search --caller spiffe://shop.example/ns/prod/sa/web -o json");

  CLI::App* show = AddVerb(*audit, context, options, Show, "show", "print one decision's record");
  show->add_option("id", o.id, "decision id")->required();
  show->add_flag("--proof", o.proof,
                 "print its inclusion proof (C2SP tlog-proof, with the record)");
  show->add_option("-o,--output", o.format, "table or json");
  AddKey(*show, o);
  show->footer("\nExample:\n  countersign audit show ID --proof > ID.tlog-proof");

  CLI::App* explain = AddVerb(*audit, context, options, Explain, "explain",
                              "say why a request was allowed or denied");
  explain->add_option("id", o.id, "decision id, as the denied caller was told")->required();
  explain->add_option("-o,--output", o.format, "table or json");
  AddKey(*explain, o);
  explain->footer("\nExample:\n  countersign audit explain 0123456789abcdef0123456789abcdef");

  CLI::App* verify = AddVerb(*audit, context, options, Verify, "verify",
                             "check every record against the signed checkpoint (exit 1: altered)");
  AddKey(*verify, o);
  verify->add_option("--known", o.known,
                     "a checkpoint of this log, kept elsewhere: must be its past");
  verify->add_option("--proof", o.proof_file,
                     "check one proof file instead of a log (needs --vkey)");
  verify->add_option("-o,--output", o.format, "table or json");
  verify->footer(
      "\nExamples:\n"
      "  countersign audit verify --audit-dir /var/lib/countersign-agent/audit\n"
      "  countersign audit verify --vkey \"$KEY\" --proof ID.tlog-proof");

  CLI::App* dump = AddVerb(*audit, context, options, Export, "export",
                           "print all records, one JSON object a line");
  AddTimes(*dump, o);
  AddKey(*dump, o);
  dump->footer(
      "\nExamples:\n"
      "  countersign audit export --since 1h\n"
      "  countersign audit export --since 2027-01-31 --until 2027-02-01 > january-31.jsonl");
}

}  // namespace countersign::cli
