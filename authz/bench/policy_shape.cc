#include "authz/bench/policy_shape.h"

#include <re2/re2.h>

#include <algorithm>

#include "base/status.h"

namespace countersign::bench {

using authz::Condition;
using authz::Field;
using authz::Matcher;

namespace {

constexpr size_t kFileBytes = 500'000;
constexpr std::string_view kTenantPattern = "[a-z0-9-]{1,32}";

Matcher Make(Matcher::Kind kind, std::string text) {
  Matcher matcher;
  matcher.kind = kind;
  matcher.text = std::move(text);
  return matcher;
}

void DrawCaller(size_t i, size_t kind, ShapeRule& rule) {
  if (kind < 50) {
    rule.caller_example = Concat("spiffe://shop.example/ns/prod/sa/svc-", i);
    rule.caller = Make(Matcher::Kind::kExact, rule.caller_example);
  } else if (kind < 75) {
    std::string team = Concat("spiffe://shop.example/ns/team-", i);
    rule.caller_example = team + "/sa/worker";
    rule.caller = Make(Matcher::Kind::kUnder, team);
  } else {
    rule.caller_example = Concat("spiffe://shop.example/ns/stage/sa/job-", i, "-nightly");
    rule.caller = Make(Matcher::Kind::kRe2,
                       Concat("spiffe://shop\\.example/ns/(prod|stage)/sa/job-", i, "-[a-z]+"));
  }
}

void DrawPath(size_t i, size_t kind, ShapeRule& rule) {
  if (kind < 30) {
    rule.path_example = Concat("/api/v1/resource", i, "/list");
    rule.path = Make(Matcher::Kind::kExact, rule.path_example);
  } else if (kind < 60) {
    rule.path_example = Concat("/api/v2/resource", i, "/items/7");
    rule.path = Make(Matcher::Kind::kUnder, Concat("/api/v2/resource", i));
  } else if (kind < 80) {
    rule.path_example = Concat("/api/v3/resource", i, "/4711/state");
    rule.path = Make(Matcher::Kind::kTemplate, Concat("/api/v3/resource", i, "/{id}/state"));
  } else {
    rule.path_example = Concat("/api/v4/resource", i, "/4711/items");
    rule.path = Make(Matcher::Kind::kRe2, Concat("/api/v4/resource", i, "/[0-9]+(/items|/state)?"));
  }
}

Condition On(Field field, const Matcher& matcher) {
  Condition condition;
  condition.field = field;
  condition.any_of = {matcher};
  return condition;
}

authz::Rule Typed(const ShapeRule& shape, std::string name) {
  authz::Rule rule;
  rule.name = std::move(name);
  rule.effect = shape.deny ? authz::Effect::kDeny : authz::Effect::kAllow;
  rule.subject = authz::Subject::kEntries;
  rule.from.emplace_back().all_of = {On(Field::kId, shape.caller)};
  rule.to.emplace_back().all_of = {On(Field::kMethod, Make(Matcher::Kind::kExact, shape.method)),
                                   On(Field::kPath, shape.path)};
  if (shape.header) {
    Condition header = On(Field::kHeader, Make(Matcher::Kind::kRe2, std::string(kTenantPattern)));
    header.key = "x-tenant";
    rule.when = {header};
  }
  return rule;
}

std::string YamlMatcher(const Matcher& matcher) {
  switch (matcher.kind) {
    case Matcher::Kind::kUnder:
      return Concat("{under: '", matcher.text, "'}");
    case Matcher::Kind::kRe2:
      return Concat("{re2: '", matcher.text, "'}");
    default:
      return Concat("'", matcher.text, "'");
  }
}

}  // namespace

Shape::Shape(const ShapeOptions& options) {
  std::mt19937_64 random(20'260'101);
  auto percent = [&] { return random() % 100; };
  for (size_t i = 0; i < options.rules; ++i) {
    ShapeRule& rule = rules_.emplace_back();
    rule.deny = percent() < 10;
    rule.workload = Concat("spiffe://shop.example/ns/prod/sa/target-", i % options.workloads);
    rule.method = percent() < 70 ? "GET" : "POST";
    rule.header = percent() < 20;
    DrawCaller(i, percent(), rule);
    DrawPath(i, percent(), rule);
  }
}

std::vector<std::shared_ptr<const authz::PolicySet>> Shape::Sets() const {
  auto set = std::make_shared<authz::PolicySet>();
  set->name = "bench";
  set->scope = Make(Matcher::Kind::kUnder, "spiffe://shop.example");
  std::vector<std::string> workloads;
  for (size_t i = 0; i < rules_.size(); ++i) {
    auto place = std::find(workloads.begin(), workloads.end(), rules_[i].workload);
    auto number = static_cast<size_t>(place - workloads.begin());
    if (place == workloads.end()) {
      workloads.push_back(rules_[i].workload);
      authz::AccessPolicy& policy = set->policies.emplace_back();
      policy.name = Concat("target-", number);
      policy.applies_to = {Make(Matcher::Kind::kExact, rules_[i].workload)};
    }
    set->policies[number].rules.push_back(Typed(rules_[i], Concat("rule-", i)));
  }
  return {set};
}

std::vector<std::pair<std::string, std::string>> Shape::Files() const {
  std::vector<std::pair<std::string, std::string>> files;
  files.emplace_back(
      "bench/set.yaml",
      "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: bench }\n"
      "spec:\n  owner: { id: 'spiffe://shop.example/people/bench' }\n"
      "  scope: { under: 'spiffe://shop.example' }\n");
  std::vector<std::string> workloads;
  std::vector<std::string> bodies;
  for (size_t i = 0; i < rules_.size(); ++i) {
    const ShapeRule& rule = rules_[i];
    auto place = std::find(workloads.begin(), workloads.end(), rule.workload);
    auto number = static_cast<size_t>(place - workloads.begin());
    if (place == workloads.end()) {
      workloads.push_back(rule.workload);
      bodies.emplace_back();
    }
    // A file has a limit; a workload with more rules has several.
    if (bodies[number].empty() || bodies[number].size() > kFileBytes) {
      if (!bodies[number].empty()) {
        files.emplace_back(Concat("bench/target-", number, "-before-", i, ".yaml"),
                           std::move(bodies[number]));
      }
      bodies[number] = Concat("apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\n",
                              "metadata: { name: target-", number, "-from-", i, " }\nspec:\n",
                              "  appliesTo: { id: '", rule.workload, "' }\n  rules:\n");
    }
    std::string& body = bodies[number];
    body +=
        Concat("    - name: rule-", i, "\n      effect: ", rule.deny ? "deny" : "allow",
               "\n      from: [{ id: ", YamlMatcher(rule.caller), " }]\n      to: [{ methods: [",
               rule.method, "], path: ", YamlMatcher(rule.path), " }]\n");
    if (rule.header) {
      body += Concat("      when: { headers: { x-tenant: { re2: '", kTenantPattern, "' } } }\n");
    }
  }
  for (std::string& body : bodies) {
    files.emplace_back(Concat("bench/target-", files.size(), ".yaml"), std::move(body));
  }
  return files;
}

std::vector<ShapeRequest> Shape::Requests(size_t count) const {
  std::mt19937_64 random(4711);
  static constexpr authz::NameValue kHeaders[] = {
      {"accept", "*/*"},        {"user-agent", "bench/1.0"},          {"accept-encoding", "gzip"},
      {"x-request-id", "4711"}, {"content-type", "application/json"}, {"x-tenant", "acme-1"}};
  std::vector<ShapeRequest> requests;
  for (size_t i = 0; i < count; ++i) {
    const ShapeRule& rule = rules_[random() % rules_.size()];
    ShapeRequest& request = requests.emplace_back();
    request.callee = rule.workload;
    request.caller = rule.caller_example;
    request.method = rule.method;
    request.path = rule.path_example;
    request.headers.assign(std::begin(kHeaders), std::end(kHeaders));
    if (random() % 100 < 20) {
      switch (random() % 3) {
        case 0:
          request.caller += "1";
          break;
        case 1:
          request.path += "x";
          break;
        default:
          request.method = "PUT";
      }
    }
  }
  return requests;
}

authz::CanonicalRequest ShapeRequest::View() const {
  authz::CanonicalRequest request;
  request.kind = authz::RequestKind::kHttp;
  request.callee = callee;
  request.caller = caller;
  request.peer_ip = authz::IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3}};
  request.port = 8443;
  request.method = method;
  request.path = path;
  request.host = "target.shop.internal";
  request.headers = headers;
  return request;
}

std::string AsPattern(const Matcher& matcher) {
  auto quote = [](std::string_view text) {
    return RE2::QuoteMeta(re2::StringPiece(text.data(), text.size()));
  };
  switch (matcher.kind) {
    case Matcher::Kind::kRe2:
      return matcher.text;
    case Matcher::Kind::kUnder:
      return quote(matcher.text) + "(/.*)?";
    case Matcher::Kind::kTemplate: {
      size_t open = matcher.text.find('{');
      size_t close = matcher.text.find('}');
      return quote(std::string_view(matcher.text).substr(0, open)) + "[^/]+" +
             quote(std::string_view(matcher.text).substr(close + 1));
    }
    default:
      return quote(matcher.text);
  }
}

}  // namespace countersign::bench
