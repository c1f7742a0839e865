#include "tests/authz/import/random_istio.h"

namespace countersign::authz::import::testing {
namespace {

const Strings kPrincipals = {"td/ns/foo/sa/web",
                             "cluster.local/ns/foo/sa/db",
                             "td/ns/foo/*",
                             "*/sa/web",
                             "*/ns/foo/sa/web",
                             "td/ns/*",
                             "other/ns/bar/sa/api",
                             "*",
                             "*b",
                             "old-td/ns/bar/sa/api"};
const Strings kNamespaces = {"foo", "bar", "fo*", "*ar", "f*o", "*"};
const Strings kAccounts = {"web", "foo/web", "bar/api", "db.x"};
const Strings kDomains = {"td", "other", "o*r", "*", "t*", "ns", "old-td"};
const Strings kBlocks = {"10.0.0.0/8",     "10.1.0.0/16", "10.1.2.3",
                         "192.168.0.0/24", "fd00::/8",    "0.0.0.0/0"};
const Strings kMethods = {"GET", "POST", "DELETE", "*"};
const Strings kPaths = {
    "/",    "/api", "/api*",        "/api/*",      "*.js",           "*/admin", "*",
    "/a*b", "*a*",  "/u/{*}/items", "/files/{**}", "/f/{**}/end.js", "/x/{*}",  "/api/orders"};
const Strings kHosts = {"shop.example", "shop.example:*", "api.*", "*", "Shop.Example", "shop*"};
const Strings kPorts = {"80", "8080", "443"};
const Strings kSnis = {"shop", "*.shop", "api.*", "*", "old"};
const Strings kHeaderValues = {"a", "ab", "a*", "*b", "*", "prod-*", "x*y", "abc"};

const Strings kCallers = {"",
                          "spiffe://td/ns/foo/sa/web",
                          "spiffe://td/ns/foo/sa/db",
                          "spiffe://td/ns/foo/sa/web2",
                          "spiffe://td/ns/bar/sa/api",
                          "spiffe://other/ns/bar/sa/api",
                          "spiffe://other/ns/foo/sa/web",
                          "spiffe://old-td/ns/bar/sa/api",
                          "spiffe://old-td/ns/foo/sa/db",
                          "spiffe://ns/foo/sa/web",
                          "spiffe://td/x/ns/foo/y/sa/web",
                          "spiffe://td/ns/foo/sa/web/pod",
                          "spiffe://td/ns/fo/sa/db.x",
                          "spiffe://td/ns/foo/sa/dbzx",
                          "spiffe://td2/ns/foo/sa/web",
                          "spiffe://td/web"};
const Strings kAddresses = {"10.0.0.1",      "10.1.0.1",    "10.1.2.3", "10.1.2.4", "11.0.0.1",
                            "192.168.0.255", "192.168.1.0", "fd00::1",  "fe00::1"};
const Strings kSourceNames = {"principals", "namespaces", "serviceAccounts", "trustDomains"};

}  // namespace

Strings RandomIstio::Some(const Strings& list, size_t most) {
  Strings out;
  size_t count = 1 + Below(most);
  for (size_t i = 0; i < count; ++i) {
    out.push_back(Of(list));
  }
  return out;
}

Field RandomIstio::FieldOf(const Strings& list) {
  Field field;
  bool negated = Chance(30);
  (negated ? field.not_values : field.values) = Some(list, 3);
  if (Chance(15)) {
    (negated ? field.values : field.not_values) = Some(list, 2);
  }
  return field;
}

Fields RandomIstio::Source() {
  Fields fields;
  if (Chance(55)) {
    fields["principals"] = FieldOf(kPrincipals);
  }
  if (Chance(30)) {
    fields["namespaces"] = FieldOf(kNamespaces);
  }
  if (fields.empty() && Chance(60)) {
    fields["serviceAccounts"] = FieldOf(kAccounts);
  }
  if (Chance(25)) {
    fields["trustDomains"] = FieldOf(kDomains);
  }
  if (fields.empty() || Chance(25)) {
    fields["ipBlocks"] = FieldOf(kBlocks);
  }
  return fields;
}

Fields RandomIstio::Operation() {
  Fields fields;
  if (Chance(50)) {
    fields["paths"] = FieldOf(kPaths);
  }
  if (Chance(40)) {
    fields["methods"] = FieldOf(kMethods);
  }
  if (Chance(20)) {
    fields["hosts"] = FieldOf(kHosts);
  }
  if (fields.empty() || Chance(20)) {
    fields["ports"] = FieldOf(kPorts);
  }
  return fields;
}

SourceRule RandomIstio::Rule() {
  SourceRule rule;
  for (size_t n = Chance(70) ? 1 + Below(2) : 0; n > 0; --n) {
    rule.from.push_back(Source());
  }
  for (size_t n = Chance(70) ? 1 + Below(2) : 0; n > 0; --n) {
    rule.to.push_back(Operation());
  }
  if (Chance(20)) {
    rule.when.emplace_back("request.headers[X-Env]", FieldOf(kHeaderValues));
  }
  if (Chance(12)) {
    rule.when.emplace_back("connection.sni", FieldOf(kSnis));
  }
  if (Chance(12)) {
    rule.when.emplace_back("destination.port", FieldOf(kPorts));
  }
  if (Chance(10)) {
    rule.when.emplace_back("source.ip", FieldOf(kBlocks));
  }
  if (Chance(10)) {
    rule.when.emplace_back("source.namespace", FieldOf(kNamespaces));
  }
  if (Chance(10)) {
    rule.when.emplace_back("source.principal", FieldOf(kPrincipals));
  }
  return rule;
}

std::vector<SourceWorkload> RandomIstio::Workloads() {
  return {{"web", "foo", "web", {{"app", "web"}, {"tier", "front"}}},
          {"db", "foo", "db", {{"app", "db"}}},
          {"api", "bar", "api", {{"app", "api"}, {"tier", "front"}}}};
}

std::vector<SourcePolicy> RandomIstio::Policies() {
  std::vector<SourcePolicy> policies;
  for (size_t n = 1 + Below(3); n > 0; --n) {
    SourcePolicy policy;
    policy.name = "p" + std::to_string(n);
    policy.ns = Of({"foo", "foo", "bar", "istio-system"});
    policy.action = Of({"ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "AUDIT"});
    policy.dry_run = Chance(8);
    if (Chance(40)) {
      bool front = policy.ns == "istio-system" || Chance(30);
      policy.selector = front ? std::map<std::string, std::string>{{"tier", "front"}}
                              : std::map<std::string, std::string>{
                                    {"app", policy.ns == "bar" ? "api" : Of({"web", "db"})}};
    }
    size_t rules = policy.action == "ALLOW" && Chance(5) ? 0 : 1 + Below(2);
    for (; rules > 0; --rules) {
      policy.rules.push_back(Rule());
    }
    policies.push_back(policy);
  }
  return policies;
}

std::string RandomIstio::Near(const std::vector<SourcePolicy>& policies, const std::string& name,
                              const Strings& others) {
  Strings values;
  auto take = [&](const std::string& field_name, const Field& field) {
    if (field_name == name) {
      values.insert(values.end(), field.values.begin(), field.values.end());
      values.insert(values.end(), field.not_values.begin(), field.not_values.end());
    }
  };
  for (const SourcePolicy& policy : policies) {
    for (const SourceRule& rule : policy.rules) {
      for (const std::vector<Fields>* entries : {&rule.from, &rule.to}) {
        for (const Fields& fields : *entries) {
          for (const auto& [field_name, field] : fields) {
            take(field_name, field);
          }
        }
      }
      for (const auto& [key, field] : rule.when) {
        take(key, field);
      }
    }
  }
  if (values.empty() || Chance(25)) {
    return Of(others);
  }
  std::string text = Of(values);
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"{**}", "k/l"},
                                 {"{*}", Chance(20) ? "v=w" : "v"},
                                 {"*", Chance(50) ? "" : "q"}}) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from)) {
      text.replace(at, from.size(), to);
    }
  }
  switch (Below(6)) {
    case 0:
      return text + Of({"x", "/x", "*", "/"});
    case 1:
      return text.empty() ? text : text.substr(0, text.size() - 1);
    case 2:
      return Of({"/x", "x", "/"}) + text;
    default:
      return text;
  }
}

Request RandomIstio::Draw(const std::vector<SourcePolicy>& policies) {
  std::vector<SourceWorkload> workloads = Workloads();
  const SourceWorkload& callee = workloads[Below(workloads.size())];
  Request request;
  request.http = !Chance(20);
  request.callee_ns = callee.ns;
  request.callee_account = callee.service_account;
  request.callee_labels = callee.labels;
  std::string near = "spiffe://" + Near(policies, "principals", {"td/ns/bar/sa/web"});
  request.caller = Chance(30) ? near : Of(kCallers);
  request.peer_ip = Of(kAddresses);
  request.port = static_cast<unsigned>(std::stoi(Of({"80", "8080", "443", "81"})));
  request.sni = Chance(30) ? "" : Near(policies, "connection.sni", {"shop", "x.shop", "other"});
  if (!request.http) {
    return request;
  }
  request.method = Of({"GET", "POST", "DELETE", "PUT"});
  request.path = Near(policies, "paths", {"/", "/api", "/api/", "/apis", "/u/1/items", "/x/y/z"});
  request.authority =
      Near(policies, "hosts", {"shop.example", "api.shop", "other", "shop.example:8080"});
  size_t lines = Below(4) == 0 ? 0 : 1 + (Chance(10) ? 1 : 0);
  for (; lines > 0; --lines) {
    request.headers.emplace_back(
        "x-env", Near(policies, "request.headers[X-Env]", {"a", "zab", "", "prod-"}));
  }
  return request;
}

}  // namespace countersign::authz::import::testing
