#include "cli/admin_output.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>

#include "authz/kinds/field_table.h"
#include "authz/kinds/printer.h"
#include "base/clock.h"
#include "cli/text_diff.h"

namespace countersign::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShortBytes = 12;  // Of a digest or serial in a table.

std::string Short(const std::string& text) { return text.substr(0, kShortBytes); }

std::string Time(int64_t unix_ms) {
  return unix_ms == 0 ? "-" : FormatTime(WallTime(std::chrono::milliseconds(unix_ms)));
}

std::string RevisionText(const v1::Revision& revision) {
  return revision.n() == 0 ? "-" : Concat(revision.term(), ".", revision.n());
}

Json RevisionJson(const v1::Revision& revision) {
  return {{"term", revision.term()}, {"n", revision.n()}};
}

// A document of the server is JSON; one that is not is shown as text rather than dropped.
Json DocumentJson(const std::string& document) {
  Json parsed = Json::parse(document, nullptr, false);
  return parsed.is_discarded() ? Json(document) : parsed;
}

std::string At(const Json& document, std::initializer_list<const char*> path) {
  const Json* here = &document;
  for (const char* key : path) {
    if (!here->is_object() || !here->contains(key)) {
      return "-";
    }
    here = &(*here)[key];
  }
  return here->is_string() ? here->get<std::string>() : here->dump();
}

// Several as JSON are one List; where they are documents, apply -f takes it again.
Json ListJson(std::vector<Json> items) {
  return {{"apiVersion", authz::kApiVersion}, {"kind", "List"}, {"items", std::move(items)}};
}

Status PrintDocuments(std::ostream& out, const std::vector<Json>& items, OutputFormat format,
                      bool single) {
  if (format == OutputFormat::kJson) {
    Json list = ListJson(items);
    // Names come from elsewhere: nothing but printable ASCII goes to the terminal.
    out << (single && items.size() == 1 ? items[0] : list)
               .dump(2, ' ', true, Json::error_handler_t::replace)
        << "\n";
    return absl::OkStatus();
  }
  for (const Json& item : items) {
    auto yaml = authz::ToYaml(item.dump());
    if (!yaml.ok()) {
      return yaml.status();
    }
    out << (items.size() > 1 ? "---\n" : "") << *yaml;
  }
  return absl::OkStatus();
}

bool IsDocumentFormat(OutputFormat format) {
  return format == OutputFormat::kJson || format == OutputFormat::kYaml;
}

// A version of a set: a List of its documents, with what the server says of it as metadata.
Json SetJson(const v1::PolicySetVersion& set) {
  std::vector<Json> documents;
  for (const std::string& document : set.documents()) {
    documents.push_back(DocumentJson(document));
  }
  Json facts = {{"set", set.set()},
                {"version", set.version()},
                {"digest", set.digest()},
                {"author", set.author()},
                {"applied", Time(set.applied_unix_ms())},
                {"rollback_of", set.rollback_of()}};
  if (documents.empty()) {
    return facts;  // Of the history, which keeps no documents here.
  }
  Json list = ListJson(std::move(documents));
  list["metadata"] = std::move(facts);
  return list;
}

Json ProxyJson(const v1::ProxyStatus& proxy) {
  Json acknowledged = Json::array();
  for (const v1::SetDigest& digest : proxy.acknowledged()) {
    acknowledged.push_back(
        {{"set", digest.set()}, {"version", digest.version()}, {"digest", digest.digest()}});
  }
  return {{"instance", proxy.instance()},
          {"workload_id", proxy.workload_id()},
          {"agent_id", proxy.agent_id()},
          {"pid", proxy.pid()},
          {"ready", proxy.ready()},
          {"acknowledged", std::move(acknowledged)},
          {"refused", proxy.refused()},
          {"svid_serial", proxy.svid_serial()},
          {"svid_expires", Time(proxy.svid_expires_unix_ms())},
          {"seen", Time(proxy.seen_unix_ms())},
          {"config_version", proxy.config_version()}};
}

std::string_view VerbName(v1::Change::Verb verb) {
  switch (verb) {
    case v1::Change::CREATED:
      return "created";
    case v1::Change::CONFIGURED:
      return "configured";
    case v1::Change::DELETED:
      return "deleted";
    default:
      return "unchanged";
  }
}

std::string Lower(std::string text) {
  for (char& c : text) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return text;
}

StatusOr<std::string> DocumentsAsYaml(const std::string& lines) {
  std::string out;
  for (size_t at = 0; at < lines.size();) {
    size_t end = std::min(lines.find('\n', at), lines.size());
    auto yaml = authz::ToYaml(lines.substr(at, end - at));
    if (!yaml.ok()) {
      return yaml.status();
    }
    out += (out.empty() ? "" : "---\n") + *yaml;
    at = end + 1;
  }
  return out;
}

Json DiagnosticsJson(const v1::ApplyResponse& response) {
  Json list = Json::array();
  for (const v1::Diagnostic& one : response.diagnostics()) {
    list.push_back({{"severity", one.severity() == v1::Diagnostic::ERROR ? "error" : "warning"},
                    {"file", one.file()},
                    {"line", one.line()},
                    {"column", one.column()},
                    {"message", one.message()}});
  }
  return list;
}

}  // namespace

Status PrintResources(std::ostream& out, const std::string& kind,
                      const std::vector<v1::Resource>& resources, OutputFormat format,
                      bool single) {
  std::vector<Json> items;
  for (const v1::Resource& resource : resources) {
    items.push_back(DocumentJson(resource.document()));
  }
  if (IsDocumentFormat(format)) {
    return PrintDocuments(out, items, format, single);
  }
  if (format == OutputFormat::kName) {
    for (const v1::Resource& resource : resources) {
      out << kind << "/" << EscapeForTerminal(resource.name()) << "\n";
    }
    return absl::OkStatus();
  }
  bool registrations = kind == "registration";
  bool services = kind == "service";
  bool bundles = kind == "bundle";
  Table table(registrations ? std::vector<std::string>{"NAME", "ID", "NODES", "REVISION"}
              : services    ? std::vector<std::string>{"NAME", "WORKLOAD", "REVISION"}
              : bundles     ? std::vector<std::string>{"TRUST DOMAIN", "KEYS", "REVISION"}
                            : std::vector<std::string>{"NAME", "SERVICE", "REVISION"});
  for (size_t i = 0; i < items.size(); ++i) {
    std::string revision = RevisionText(resources[i].revision());
    const Json& item = items[i];
    if (registrations) {
      std::string nodes;
      for (const Json& node : item.value("/spec/nodes"_json_pointer, Json::array())) {
        nodes += (nodes.empty() ? "" : ",") + At(node, {"id"});
      }
      table.AddRow({resources[i].name(), At(item, {"spec", "id"}), nodes, revision});
    } else if (services) {
      table.AddRow({resources[i].name(), At(item, {"spec", "workload", "id"}), revision});
    } else if (bundles) {
      size_t keys = item.contains("keys") ? item["keys"].size() : 0;
      table.AddRow({resources[i].name(), Concat(keys), revision});
    } else {
      table.AddRow({resources[i].name(), At(item, {"spec", "service"}), revision});
    }
  }
  table.Print(out);
  return absl::OkStatus();
}

Status PrintPolicySets(std::ostream& out, const std::vector<v1::PolicySetVersion>& sets,
                       OutputFormat format, bool single) {
  bool whole = std::any_of(sets.begin(), sets.end(),
                           [](const auto& set) { return set.documents_size() > 0; });
  if (format == OutputFormat::kYaml && whole) {
    std::vector<Json> documents;
    for (const v1::PolicySetVersion& set : sets) {
      for (const std::string& document : set.documents()) {
        documents.push_back(DocumentJson(document));
      }
    }
    return PrintDocuments(out, documents, format, false);
  }
  if (IsDocumentFormat(format)) {
    std::vector<Json> items;
    for (const v1::PolicySetVersion& set : sets) {
      items.push_back(SetJson(set));
    }
    return PrintDocuments(out, items, format, single);
  }
  if (format == OutputFormat::kName) {
    for (const v1::PolicySetVersion& set : sets) {
      out << "policyset/" << EscapeForTerminal(set.set()) << "\n";
    }
    return absl::OkStatus();
  }
  bool wide = format == OutputFormat::kWide;
  Table table({"SET", "VERSION", "DIGEST", "AUTHOR", "APPLIED", "NOTE"});
  for (const v1::PolicySetVersion& set : sets) {
    std::string note =
        set.rollback_of() == 0 ? "" : Concat("rollback of version ", set.rollback_of());
    table.AddRow({set.set(), Concat(set.version()), wide ? set.digest() : Short(set.digest()),
                  set.author(), Time(set.applied_unix_ms()), note});
  }
  table.Print(out);
  return absl::OkStatus();
}

Status PrintProxies(std::ostream& out, const std::vector<v1::ProxyStatus>& proxies,
                    OutputFormat format) {
  if (IsDocumentFormat(format)) {
    std::vector<Json> items;
    for (const v1::ProxyStatus& proxy : proxies) {
      items.push_back(ProxyJson(proxy));
    }
    return PrintDocuments(out, items, format, false);
  }
  if (format == OutputFormat::kName) {
    for (const v1::ProxyStatus& proxy : proxies) {
      out << "proxy/" << EscapeForTerminal(proxy.instance()) << "\n";
    }
    return absl::OkStatus();
  }
  bool wide = format == OutputFormat::kWide;
  std::vector<std::string> heads = {"INSTANCE", "WORKLOAD", "READY", "POLICY", "SVID", "EXPIRES"};
  if (wide) {
    heads.insert(heads.end(), {"AGENT", "PID", "SEEN", "REFUSED"});
  }
  Table table(heads);
  for (const v1::ProxyStatus& proxy : proxies) {
    std::string policy;
    for (const v1::SetDigest& digest : proxy.acknowledged()) {
      policy += Concat(policy.empty() ? "" : " ", digest.set(), "@", digest.version(), ":",
                       wide ? digest.digest() : Short(digest.digest()));
    }
    std::vector<std::string> row = {proxy.instance(),
                                    proxy.workload_id(),
                                    proxy.ready() ? "yes" : "no",
                                    policy.empty() ? "-" : policy,
                                    wide ? proxy.svid_serial() : Short(proxy.svid_serial()),
                                    Time(proxy.svid_expires_unix_ms())};
    if (wide) {
      row.insert(row.end(), {proxy.agent_id(), Concat(proxy.pid()), Time(proxy.seen_unix_ms()),
                             proxy.refused().empty() ? "-" : proxy.refused()});
    }
    table.AddRow(std::move(row));
  }
  table.Print(out);
  return absl::OkStatus();
}

Status PrintAgents(std::ostream& out, const std::vector<v1::AgentStatus>& agents,
                   OutputFormat format) {
  if (IsDocumentFormat(format)) {
    std::vector<Json> items;
    for (const v1::AgentStatus& agent : agents) {
      items.push_back({{"id", agent.id()},
                       {"connected", agent.connected()},
                       {"svid_serial", agent.svid_serial()},
                       {"svid_expires", Time(agent.svid_expires_unix_ms())},
                       {"attested", Time(agent.attested_unix_ms())},
                       {"sent", RevisionJson(agent.sent())},
                       {"received", RevisionJson(agent.received())},
                       {"applied", RevisionJson(agent.applied())},
                       {"taken", RevisionJson(agent.taken())}});
    }
    return PrintDocuments(out, items, format, false);
  }
  if (format == OutputFormat::kName) {
    for (const v1::AgentStatus& agent : agents) {
      out << "agent/" << EscapeForTerminal(agent.id()) << "\n";
    }
    return absl::OkStatus();
  }
  Table table({"AGENT", "CONNECTED", "SVID EXPIRES", "SENT", "RECEIVED", "APPLIED", "TAKEN"});
  for (const v1::AgentStatus& agent : agents) {
    table.AddRow({agent.id(), agent.connected() ? "yes" : "no", Time(agent.svid_expires_unix_ms()),
                  RevisionText(agent.sent()), RevisionText(agent.received()),
                  RevisionText(agent.applied()), RevisionText(agent.taken())});
  }
  table.Print(out);
  return absl::OkStatus();
}

Status PrintChanges(std::ostream& out, const v1::ApplyResponse& response, OutputFormat format) {
  if (IsDocumentFormat(format)) {
    Json changes = Json::array();
    for (const v1::Change& change : response.changes()) {
      changes.push_back({{"verb", VerbName(change.verb())},
                         {"kind", change.kind()},
                         {"name", change.name()},
                         {"version", change.version()},
                         {"digest", change.digest()}});
    }
    Json whole = {{"changes", std::move(changes)},
                  {"diagnostics", DiagnosticsJson(response)},
                  {"revision", RevisionJson(response.revision())}};
    return PrintDocuments(out, {std::move(whole)}, format, true);
  }
  for (const v1::Change& change : response.changes()) {
    out << Lower(change.kind()) << "/" << EscapeForTerminal(change.name()) << " "
        << VerbName(change.verb());
    if (change.version() != 0) {
      out << " (version " << change.version() << ", digest " << Short(change.digest()) << ")";
    }
    out << "\n";
  }
  return absl::OkStatus();
}

Status PrintDiff(std::ostream& out, const v1::ApplyResponse& response, OutputFormat format) {
  if (IsDocumentFormat(format)) {
    return PrintChanges(out, response, format);
  }
  for (const v1::Change& change : response.changes()) {
    if (change.verb() == v1::Change::UNCHANGED) {
      continue;
    }
    StatusOr<std::string> former = DocumentsAsYaml(change.old_document());
    StatusOr<std::string> next = DocumentsAsYaml(change.new_document());
    if (!former.ok() || !next.ok()) {
      return former.ok() ? next.status() : former.status();
    }
    std::string name = Concat(Lower(change.kind()), "/", EscapeForTerminal(change.name()));
    out << "--- " << name << (change.old_document().empty() ? " (none)" : " (running)") << "\n"
        << "+++ " << name << " (given)\n"
        << UnifiedDiff(*former, *next);
  }
  return absl::OkStatus();
}

Status PrintToken(std::ostream& out, const v1::CreateJoinTokenResponse& token,
                  OutputFormat format) {
  if (IsDocumentFormat(format)) {
    Json json = {{"token", token.token()},
                 {"bundle_sha256", token.bundle_sha256()},
                 {"agent_id", token.agent_id()},
                 {"expires", Time(token.expires_unix_ms())}};
    return PrintDocuments(out, {std::move(json)}, format, true);
  }
  out << "token          " << token.token() << "\n"
      << "bundle-sha256  " << token.bundle_sha256() << "\n"
      << "agent          " << token.agent_id() << "\n"
      << "expires        " << Time(token.expires_unix_ms()) << "\n\n"
      << "On the node, with the token in a file of mode 0600:\n"
      << "  countersign-agent run ... --join-token-file FILE --bundle-sha256 "
      << token.bundle_sha256() << "\n";
  return absl::OkStatus();
}

Status PrintBundle(std::ostream& out, const v1::GetServerInfoResponse& info, OutputFormat format) {
  if (format == OutputFormat::kJson) {
    out << info.bundle();
    return absl::OkStatus();
  }
  if (format == OutputFormat::kYaml) {
    return PrintDocuments(out, {DocumentJson(info.bundle())}, format, true);
  }
  Json bundle = DocumentJson(info.bundle());
  size_t keys = bundle.is_object() && bundle.contains("keys") ? bundle["keys"].size() : 0;
  Table table({"TRUST DOMAIN", "KEYS", "SHA256"});
  table.AddRow({info.trust_domain(), Concat(keys), info.bundle_sha256()});
  table.Print(out);
  return absl::OkStatus();
}

void PrintDiagnostics(std::ostream& out, const v1::ApplyResponse& response) {
  for (const v1::Diagnostic& one : response.diagnostics()) {
    if (!one.file().empty()) {
      out << EscapeForTerminal(one.file()) << ":";
    }
    if (one.line() != 0) {
      out << one.line() << ":" << one.column() << ":";
    }
    out << (one.file().empty() ? "" : " ")
        << (one.severity() == v1::Diagnostic::ERROR ? "" : "warning: ")
        << EscapeForTerminal(one.message()) << "\n";
  }
}

}  // namespace countersign::cli
