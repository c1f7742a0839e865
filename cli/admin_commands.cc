#include "cli/admin_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <ostream>

#include "authz/kinds/loader.h"
#include "base/clock.h"
#include "cli/admin_client.h"
#include "cli/admin_output.h"

namespace countersign::cli {
namespace {

// Options of one run; every verb uses some.
struct Options {
  std::string kind;
  std::string name;
  std::string format = "table";
  std::vector<std::string> files;
  bool watch = false;
  uint64_t to_version = 0;
  std::string ttl = "10m";
};
using OptionsPtr = std::shared_ptr<Options>;

struct Session {
  std::unique_ptr<AdminClient> client;
  OutputFormat format;
};

StatusOr<Session> Begin(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(OutputFormat format, ParseOutputFormat(options.format));
  ASSIGN_OR_RETURN(std::unique_ptr<AdminClient> client,
                   AdminClient::Connect(context.server_socket));
  return Session{std::move(client), format};
}

// "registrations", "Registration" and "registration" are one kind.
StatusOr<std::string> KindWord(const std::string& given) {
  std::string word;
  for (char c : given) {
    word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  for (const char* known :
       {"registration", "service", "route", "policyset", "bundle", "proxy", "agent"}) {
    std::string plural = known == std::string("proxy") ? "proxies" : Concat(known, "s");
    if (word == known || word == plural) {
      return std::string(known);
    }
  }
  return InvalidArgument("unknown kind ", Quoted(given), " (know registrations, services, routes, ",
                         "policysets, bundles, proxies, agents)");
}

StatusOr<v1::ApplyRequest> ReadFiles(const Options& options) {
  v1::ApplyRequest request;
  bool any = false;
  for (const std::string& path : options.files) {
    ASSIGN_OR_RETURN(std::vector<authz::SourceFile> sources, authz::ReadSources(path));
    for (authz::SourceFile& source : sources) {
      v1::SourceFile* file = request.add_files();
      any = any || source.content.find_first_not_of(" \t\r\n") != std::string::npos;
      file->set_path(std::move(source.path));
      file->set_content(std::move(source.content));
    }
  }
  if (!any) {
    return InvalidArgument("no document in ",
                           options.files.front() == "-" ? "standard input" : "these files");
  }
  return request;
}

bool HasError(const v1::ApplyResponse& response) {
  for (const v1::Diagnostic& diagnostic : response.diagnostics()) {
    if (diagnostic.severity() == v1::Diagnostic::ERROR) {
      return true;
    }
  }
  return false;
}

template <class T>
std::vector<T> ToVector(const google::protobuf::RepeatedPtrField<T>& field) {
  return {field.begin(), field.end()};
}

Status GetAgents(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  ASSIGN_OR_RETURN(v1::ListAgentsResponse response, session.client->ListAgents());
  std::vector<v1::AgentStatus> agents = ToVector(response.agents());
  std::erase_if(agents, [&](const v1::AgentStatus& agent) {
    return !options.name.empty() && agent.id() != options.name;
  });
  if (!options.name.empty() && agents.empty()) {
    return Error(StatusCode::kNotFound, "no agent ", Quoted(options.name),
                 " has attested (see countersign get agents)");
  }
  return PrintAgents(context.out, agents, session.format);
}

Status PrintOne(Context& context, const std::string& kind, const v1::Resource& resource,
                OutputFormat format) {
  if (kind == "proxy") {
    v1::ProxyStatus proxy;
    proxy.ParseFromString(resource.document());
    return PrintProxies(context.out, {proxy}, format);
  }
  if (kind == "policyset") {
    v1::PolicySetVersion set;
    set.ParseFromString(resource.document());
    return PrintPolicySets(context.out, {set}, format, true);
  }
  return PrintResources(context.out, kind, {resource}, format, true);
}

Status WatchKind(Context& context, const Options& options, const std::string& kind) {
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  Status printed;
  Status ended = session.client->Watch(kind, [&](const v1::WatchEvent& event) {
    const v1::Resource& resource = event.resource();
    if (event.type() == v1::WatchEvent::REMOVE) {
      context.out << kind << "/" << EscapeForTerminal(resource.name()) << " deleted\n";
    } else if (event.type() == v1::WatchEvent::UPSERT &&
               (options.name.empty() || options.name == resource.name())) {
      printed = PrintOne(context, kind, resource, session.format);
    }
    context.out.flush();
    return printed.ok() && context.out.good();
  });
  return printed.ok() ? ended : printed;
}

Status GetKind(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(std::string kind, KindWord(options.kind));
  if (kind == "agent" && options.watch) {
    return InvalidArgument("agents cannot be watched; -w knows every other kind");
  }
  if (kind == "agent") {
    return GetAgents(context, options);
  }
  if (options.watch) {
    return WatchKind(context, options, kind);
  }
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  if (kind == "proxy") {
    ASSIGN_OR_RETURN(v1::ListProxiesResponse response, session.client->ListProxies());
    std::vector<v1::ProxyStatus> proxies = ToVector(response.proxies());
    std::erase_if(proxies, [&](const v1::ProxyStatus& proxy) {
      return !options.name.empty() && proxy.instance() != options.name;
    });
    if (!options.name.empty() && proxies.empty()) {
      return Error(StatusCode::kNotFound, "no proxy ", Quoted(options.name),
                   " is connected to its agent (see countersign get proxies)");
    }
    return PrintProxies(context.out, proxies, session.format);
  }
  v1::GetRequest request;
  request.set_kind(kind);
  request.set_name(options.name);
  ASSIGN_OR_RETURN(v1::GetResponse response, session.client->Get(request));
  bool single = !options.name.empty();
  return kind == "policyset" ? PrintPolicySets(context.out, ToVector(response.policy_sets()),
                                               session.format, single)
                             : PrintResources(context.out, kind, ToVector(response.resources()),
                                              session.format, single);
}

Status ApplyFiles(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(v1::ApplyRequest request, ReadFiles(options));
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  ASSIGN_OR_RETURN(v1::ApplyResponse response, session.client->Apply(request));
  PrintDiagnostics(context.err, response);
  if (HasError(response)) {
    context.err << "nothing was applied\n";
    context.exit_code = kFindings;
    return session.format == OutputFormat::kJson
               ? PrintChanges(context.out, response, session.format)
               : absl::OkStatus();
  }
  return PrintChanges(context.out, response, session.format);
}

Status DiffFiles(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(v1::ApplyRequest request, ReadFiles(options));
  request.set_dry_run(true);
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  ASSIGN_OR_RETURN(v1::ApplyResponse response, session.client->Apply(request));
  PrintDiagnostics(context.err, response);
  RETURN_IF_ERROR(PrintDiff(context.out, response, session.format));
  bool differs = false;
  for (const v1::Change& change : response.changes()) {
    differs |= change.verb() != v1::Change::UNCHANGED;
  }
  if (differs) {
    context.exit_code = kFindings;
    context.err << "note: the documents are compared as text; `countersign policy diff --running` "
                   "proves what changes in meaning\n";
  }
  if (HasError(response)) {
    context.exit_code = differs ? kFindings : kError;
    context.err << "an apply would be refused\n";
  }
  return absl::OkStatus();
}

// Names of the documents in files, to delete what was applied from them.
Status AddKeysOfFiles(const Options& options, v1::DeleteRequest& request) {
  for (const std::string& path : options.files) {
    ASSIGN_OR_RETURN(std::vector<authz::SourceFile> sources, authz::ReadSources(path));
    authz::LoadResult loaded = authz::Load(sources);
    if (!loaded.ok()) {
      for (const authz::Diagnostic& one : loaded.diagnostics) {
        return InvalidArgument(authz::FormatDiagnostic(one));
      }
    }
    auto add = [&](const char* kind, const std::string& name) {
      v1::ResourceKey* key = request.add_keys();
      key->set_kind(kind);
      key->set_name(name);
    };
    for (const auto& one : loaded.registrations) {
      add("registration", one.name);
    }
    for (const auto& one : loaded.services) {
      add("service", one.name);
    }
    for (const auto& one : loaded.routes) {
      add("route", one.name);
    }
    for (const auto& one : loaded.sets) {
      add("policyset", one->name);
    }
  }
  return absl::OkStatus();
}

Status DeleteDocuments(Context& context, const Options& options) {
  v1::DeleteRequest request;
  RETURN_IF_ERROR(AddKeysOfFiles(options, request));
  if (!options.kind.empty()) {
    ASSIGN_OR_RETURN(std::string kind, KindWord(options.kind));
    if (kind == "proxy" || kind == "bundle") {
      return InvalidArgument("a ", kind, " cannot be deleted; registrations, services, routes, ",
                             "policysets and agents can");
    }
    v1::ResourceKey* key = request.add_keys();
    key->set_kind(kind);
    key->set_name(options.name);
  }
  if (request.keys().empty() || (!options.kind.empty() && options.name.empty())) {
    return InvalidArgument("name what to delete: countersign delete KIND NAME, or -f FILE");
  }
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  RETURN_IF_ERROR(session.client->Delete(request).status());
  for (const v1::ResourceKey& key : request.keys()) {
    context.out << key.kind() << "/" << EscapeForTerminal(key.name()) << " deleted\n";
  }
  return absl::OkStatus();
}

Status RollBack(Context& context, const Options& options) {
  v1::RollbackRequest request;
  request.set_set(options.name);
  request.set_to_version(options.to_version);
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  ASSIGN_OR_RETURN(v1::ApplyResponse response, session.client->Rollback(request));
  PrintDiagnostics(context.err, response);
  if (HasError(response)) {
    context.exit_code = kFindings;
  }
  return PrintChanges(context.out, response, session.format);
}

Status ShowHistory(Context& context, const Options& options) {
  v1::HistoryRequest request;
  request.set_set(options.name);
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  ASSIGN_OR_RETURN(v1::HistoryResponse response, session.client->History(request));
  return PrintPolicySets(context.out, ToVector(response.versions()), session.format, false);
}

Status GenerateToken(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(std::chrono::nanoseconds ttl, ParseDuration(options.ttl));
  v1::CreateJoinTokenRequest request;
  request.set_node(options.name);
  request.set_ttl_seconds(static_cast<uint32_t>(
      std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::seconds>(ttl).count())));
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  ASSIGN_OR_RETURN(v1::CreateJoinTokenResponse token, session.client->CreateJoinToken(request));
  return PrintToken(context.out, token, session.format);
}

Status ShowBundle(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Session session, Begin(context, options));
  ASSIGN_OR_RETURN(v1::GetServerInfoResponse info, session.client->GetServerInfo());
  return PrintBundle(context.out, info, session.format);
}

// Adds one verb whose work is a function of the options.
CLI::App* AddVerb(CLI::App& app, Context& context, const OptionsPtr& options, const char* name,
                  const char* what, Status (*work)(Context&, const Options&)) {
  CLI::App* verb = app.add_subcommand(name, what);
  verb->add_option("-o,--output", options->format, "table, wide, json, yaml or name");
  verb->callback([&context, options, work] {
    if (Status status = work(context, *options); !status.ok()) {
      context.Fail(status);
    }
  });
  return verb;
}

void AddFiles(CLI::App* verb, const OptionsPtr& options) {
  verb->add_option("-f,--file", options->files,
                   "a file of YAML or JSON, a folder, or - for standard input");
}

}  // namespace

void AddAdminCommands(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* get = AddVerb(app, context, options, "get", "show what the server has", GetKind);
  get->add_option("kind", options->kind,
                  "registrations, services, routes, policysets, bundles, proxies, agents")
      ->required();
  get->add_option("name", options->name, "one of them");
  get->add_flag("-w,--watch", options->watch, "stay and show each change");
  get->footer(
      "Examples:\n  countersign get proxies\n  countersign get registration web -o yaml\n"
      "  countersign get policysets -w");
  CLI::App* apply =
      AddVerb(app, context, options, "apply",
              "check documents and policy tests, then store all or nothing", ApplyFiles);
  AddFiles(apply, options);
  apply->get_option("--file")->required();
  apply->footer(
      "Exit status 1: refused, nothing changed.\nExamples:\n  countersign apply -f policies/shop\n"
      "  countersign get services -o json | countersign apply -f -");
  CLI::App* diff = AddVerb(app, context, options, "diff", "what an apply would change", DiffFiles);
  AddFiles(diff, options);
  diff->get_option("--file")->required();
  diff->footer(
      "Exit status 0: nothing would change; 1: something would; 2: the documents do not load.\n"
      "Examples:\n  countersign diff -f policies/shop\n"
      "  countersign get policyset shop -o yaml | countersign diff -f -");
  CLI::App* remove = AddVerb(app, context, options, "delete", "remove documents", DeleteDocuments);
  remove->add_option("kind", options->kind, "registration, service, route, policyset or agent");
  remove->add_option("name", options->name, "its name");
  AddFiles(remove, options);
  remove->footer(
      "Deleting an agent bans its node until it attests again with a new join token.\n"
      "Examples:\n  countersign delete route orders\n  countersign delete -f policies/shop");
  CLI::App* rollback = AddVerb(app, context, options, "rollback",
                               "apply an older version of a policy set as a new one", RollBack);
  rollback->add_option("set", options->name, "its name")->required();
  rollback->add_option("--to", options->to_version, "version (default: the one before)");
  rollback->footer("Examples:\n  countersign rollback shop\n  countersign rollback shop --to 3");
  CLI::App* history =
      AddVerb(app, context, options, "history", "the versions of a policy set", ShowHistory);
  history->add_option("set", options->name, "its name")->required();
  history->footer("Examples:\n  countersign history shop\n  countersign history shop -o json");
  AddVerb(app, context, options, "agents", "the nodes and how far each has come", GetAgents)
      ->footer("Examples:\n  countersign agents\n  countersign agents -o json");
  CLI::App* token = app.add_subcommand("token", "join tokens for nodes")->require_subcommand(1);
  AddVerb(*token, context, options, "generate", "make a one-use token and print it with the pin",
          GenerateToken);
  CLI::App* generate = token->get_subcommand("generate");
  generate->add_option("--node", options->name, "the node's name")->required();
  generate->add_option("--ttl", options->ttl, "until when it can be used")->capture_default_str();
  generate->footer(
      "Examples:\n  countersign token generate --node node-1\n"
      "  countersign token generate --node node-2 --ttl 1h -o json");
  CLI::App* bundle = app.add_subcommand("bundle", "the trust bundle")->require_subcommand(1);
  AddVerb(*bundle, context, options, "show", "print the server's bundle and its pin", ShowBundle)
      ->footer(
          "Examples:\n  countersign bundle show\n  countersign bundle show -o json > bundle.json");
}

}  // namespace countersign::cli
