// Istio's semantics read off its documentation and its generated Envoy configuration, sentence by
// sentence, over the source itself. std::regex, because the importer uses RE2.
#include <arpa/inet.h>

#include <algorithm>
#include <regex>

#include "tests/authz/import/istio_model.h"

namespace countersign::authz::import::testing {
namespace {

bool FullMatch(const std::string& text, const std::string& pattern) {
  static std::map<std::string, std::regex> compiled;
  auto found = compiled.find(pattern);
  if (found == compiled.end()) {
    found = compiled.emplace(pattern, std::regex(pattern)).first;
  }
  return std::regex_match(text, found->second);
}

std::string QuoteMeta(const std::string& text) {
  std::string out;
  for (char c : text) {
    bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' || c == ':' ||
                 c == '-' || c == '_';
    out += plain ? std::string(1, c) : std::string("\\") + c;
  }
  return out;
}

// Exact, prefix, suffix, presence. `start` is prepended to everything but suffixes.
bool StringMatch(const std::string& value, const std::string& text, const std::string& start = "") {
  if (value == "*") {
    return !text.empty();
  }
  if (value.starts_with('*')) {
    return start.empty() ? text.ends_with(value.substr(1))
                         : FullMatch(text, QuoteMeta(start) + ".*" + QuoteMeta(value.substr(1)));
  }
  if (value.ends_with('*')) {
    return text.starts_with(start + value.substr(0, value.size() - 1));
  }
  return text == start + value;
}

std::string Lower(std::string text) {
  for (char& c : text) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

bool InBlock(const std::string& block, const std::string& address) {
  size_t slash = block.find('/');
  std::string base = block.substr(0, slash);
  int family = base.find(':') == std::string::npos ? AF_INET : AF_INET6;
  unsigned char want[16] = {};
  unsigned char have[16] = {};
  if (inet_pton(family, base.c_str(), want) != 1 || inet_pton(family, address.c_str(), have) != 1) {
    return false;
  }
  int bits = slash != std::string::npos ? std::stoi(block.substr(slash + 1))
             : family == AF_INET        ? 32
                                        : 128;
  for (int bit = 0; bit < bits; ++bit) {
    int mask = 0x80 >> (bit % 8);
    if ((want[bit / 8] & mask) != (have[bit / 8] & mask)) {
      return false;
    }
  }
  return true;
}

// Judge judges the fields of one policy for one request.
struct Judge {
  const Mesh& mesh;
  const Request& request;
  const std::string& policy_ns;
  bool allow;

  static bool IsHttpOnly(const std::string& name) {
    return name == "hosts" || name == "methods" || name == "paths" ||
           name.starts_with("request.headers[");
  }

  // The mesh's own trust domain stands for its aliases, and "cluster.local" for it.
  Strings WithAliases(const std::string& principal) const {
    size_t slash = principal.find('/');
    std::string domain = principal.substr(0, slash);
    Strings own = mesh.aliases;
    own.insert(own.begin(), mesh.trust_domain);
    bool five_parts = std::count(principal.begin(), principal.end(), '/') == 4;
    bool ours = domain == "cluster.local" || std::find(own.begin(), own.end(), domain) != own.end();
    if (!five_parts || domain == "*" || !ours) {
      return {principal};
    }
    Strings out;
    for (const std::string& each : own) {
      out.push_back(each + principal.substr(slash));
    }
    return out;
  }

  bool Principal(const std::string& value) const {
    if (value == "*") {
      return !request.caller.empty();
    }
    for (const std::string& each : WithAliases(value)) {
      if (StringMatch(each, request.caller, "spiffe://")) {
        return true;
      }
    }
    return false;
  }
  bool Namespace(const std::string& value) const {
    std::string name;
    for (char c : value) {
      name += c == '*' ? ".*" : QuoteMeta(std::string(1, c));
    }
    return FullMatch(request.caller, ".*/ns/" + name + "/.*");
  }
  bool ServiceAccount(const std::string& value) const {
    size_t slash = value.find('/');
    std::string ns = slash == std::string::npos ? policy_ns : value.substr(0, slash);
    std::string account = slash == std::string::npos ? value : value.substr(slash + 1);
    return FullMatch(request.caller, "spiffe://.+/ns/" + QuoteMeta(ns) + "/(.+/|)sa/" +
                                         QuoteMeta(account) + "(/.+)?");
  }
  bool TrustDomain(const std::string& value) const {
    if (value == "*") {
      return request.caller.starts_with("spiffe://");
    }
    size_t star = value.find('*');
    if (star != std::string::npos) {
      return FullMatch(request.caller, "spiffe://" + QuoteMeta(value.substr(0, star)) + "[^/]*" +
                                           QuoteMeta(value.substr(star + 1)) + "/.*");
    }
    Strings own = mesh.aliases;
    own.push_back(mesh.trust_domain);
    Strings domains = std::find(own.begin(), own.end(), value) == own.end() ? Strings{value} : own;
    for (const std::string& each : domains) {
      if (request.caller.starts_with("spiffe://" + each + "/")) {
        return true;
      }
    }
    return false;
  }
  bool Path(const std::string& value) const {
    if (value.find('{') == std::string::npos) {
      return StringMatch(value, request.path);
    }
    std::string pattern;
    for (size_t at = 0; at < value.size();) {
      if (value.compare(at, 4, "{**}") == 0) {
        pattern += "[a-zA-Z0-9._~%!$&'()+,;:@/-]*";
        at += 4;
      } else if (value.compare(at, 3, "{*}") == 0) {
        pattern += "[a-zA-Z0-9._~%!$&'()+,;:@-]+";
        at += 3;
      } else {
        pattern += QuoteMeta(value.substr(at++, 1));
      }
    }
    return FullMatch(request.path, pattern);
  }
  bool Header(const std::string& name, const std::string& value) const {
    for (const auto& [key, text] : request.headers) {
      if (key == Lower(name) && (value == "*" || StringMatch(value, text))) {
        return true;
      }
    }
    return false;
  }

  bool Value(const std::string& name, const std::string& value) const {
    if (name == "principals" || name == "source.principal") {
      return Principal(value);
    }
    if (name == "namespaces" || name == "source.namespace") {
      return Namespace(value);
    }
    if (name == "serviceAccounts" || name == "source.serviceAccount") {
      return ServiceAccount(value);
    }
    if (name == "trustDomains" || name == "source.trustDomain") {
      return TrustDomain(value);
    }
    if (name == "ipBlocks" || name == "source.ip") {
      return InBlock(value, request.peer_ip);
    }
    if (name == "hosts") {
      return StringMatch(Lower(value), Lower(request.authority));
    }
    if (name == "methods") {
      return StringMatch(value, request.method);
    }
    if (name == "paths") {
      return Path(value);
    }
    if (name == "ports" || name == "destination.port") {
      return value == std::to_string(request.port);
    }
    if (name == "connection.sni") {
      return StringMatch(value, request.sni);
    }
    std::string header = name.substr(std::string("request.headers[").size());
    return Header(header.substr(0, header.size() - 1), value);
  }

  // values OR, notValues NOT OR. On TCP the HTTP part of a DENY is not there.
  bool FieldHolds(const std::string& name, const Field& field) const {
    if (!request.http && IsHttpOnly(name)) {
      return !allow;
    }
    auto matches = [&](const std::string& value) { return Value(name, value); };
    return (field.values.empty() ||
            std::any_of(field.values.begin(), field.values.end(), matches)) &&
           std::none_of(field.not_values.begin(), field.not_values.end(), matches);
  }
  bool AnyEntry(const std::vector<Fields>& entries) const {
    return entries.empty() ||
           std::any_of(entries.begin(), entries.end(), [&](const Fields& fields) {
             return std::all_of(fields.begin(), fields.end(), [&](const auto& field) {
               return FieldHolds(field.first, field.second);
             });
           });
  }
  static bool HasHttpOnly(const SourceRule& rule) {
    auto http = [](const auto& field) { return IsHttpOnly(field.first); };
    return std::any_of(rule.when.begin(), rule.when.end(), http) ||
           std::any_of(rule.to.begin(), rule.to.end(), [&](const Fields& fields) {
             return std::any_of(fields.begin(), fields.end(), http);
           });
  }
  bool RuleMatches(const SourceRule& rule) const {
    // On TCP an ALLOW rule with an HTTP field anywhere is dropped whole.
    if (!request.http && allow && HasHttpOnly(rule)) {
      return false;
    }
    return AnyEntry(rule.from) && AnyEntry(rule.to) &&
           std::all_of(rule.when.begin(), rule.when.end(), [&](const auto& condition) {
             return FieldHolds(condition.first, condition.second);
           });
  }
};

bool Selects(const SourcePolicy& policy, const Mesh& mesh, const Request& request) {
  if (policy.ns != request.callee_ns && policy.ns != mesh.root_namespace) {
    return false;
  }
  return std::all_of(policy.selector.begin(), policy.selector.end(), [&](const auto& label) {
    auto found = request.callee_labels.find(label.first);
    return found != request.callee_labels.end() && found->second == label.second;
  });
}

}  // namespace

bool IstioAllows(const std::vector<SourcePolicy>& policies, const Mesh& mesh,
                 const Request& request) {
  bool any_allow_policy = false;
  bool allowed = false;
  for (const SourcePolicy& policy : policies) {
    if (policy.dry_run || policy.action == "AUDIT" || !Selects(policy, mesh, request)) {
      continue;
    }
    bool allow = policy.action == "ALLOW";
    Judge judge{mesh, request, policy.ns, allow};
    bool matches = std::any_of(policy.rules.begin(), policy.rules.end(),
                               [&](const SourceRule& rule) { return judge.RuleMatches(rule); });
    if (matches && !allow) {
      return false;
    }
    any_allow_policy = any_allow_policy || allow;
    allowed = allowed || (allow && matches);
  }
  return allowed || !any_allow_policy;
}

}  // namespace countersign::authz::import::testing
