// PolicyTest documents.
#include <algorithm>

#include "authz/kinds/builders.h"
#include "authz/kinds/nearest_word.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

using NamedValues = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kHttpKeys[] = {"method", "host", "path", "headers", "query"};

NamedValues ReadNamedValues(const Value* map) {
  NamedValues out;
  if (map == nullptr) {
    return out;
  }
  for (const auto& [name, values] : map->members) {
    for (const Value& value : values.items) {
      out.emplace_back(name, value.text);
    }
  }
  return out;
}

PolicyTestCase::Request BuildRequest(const Value& value, CheckedDocument& document) {
  PolicyTestCase::Request request;
  request.http = value.TextOf("kind") != "tcp";
  request.caller = value.TextOf("caller");
  request.workload = value.TextOf("workload");
  request.peer_ip = value.TextOf("peerIp");
  request.port = static_cast<uint16_t>(value.NumberOf("port").value_or(0));
  request.sni = value.TextOf("sni");
  request.method = value.TextOf("method");
  request.host = value.TextOf("host");
  request.path = value.TextOf("path");
  request.headers = ReadNamedValues(value.Get("headers"));
  request.query = ReadNamedValues(value.Get("query"));
  if (size_t mark = request.path.find('?'); mark != std::string::npos) {
    document.Error(value.Get("path")->where, "write query parameters under query, not in the path");
  }
  for (std::string_view key : kHttpKeys) {
    const Value* member = value.Get(key);
    if (!request.http && member != nullptr) {
      document.Error(member->where, Concat("a tcp connection has no ", key));
    } else if (request.http && member == nullptr && (key == "method" || key == "path") &&
               !document.broken) {
      document.Error(value.where, Concat("required key \"", key,
                                         "\" is missing in request (for a "
                                         "raw connection say kind: tcp)"));
    }
  }
  return request;
}

// The rule must have three names; one of the set itself must exist.
void CheckRuleName(const Value& rule, std::string_view set, std::span<const std::string> rules,
                   CheckedDocument& document) {
  if (std::ranges::count(rule.text, '/') != 2) {
    document.Error(rule.where, Concat("rule must be SET/POLICY/RULE, not ", Quoted(rule.text)));
    return;
  }
  bool own = std::string_view(rule.text).substr(0, rule.text.find('/')) == set;
  if (own && !std::ranges::binary_search(rules, rule.text)) {
    std::vector<std::string_view> known(rules.begin(), rules.end());
    std::string_view nearest = NearestWord(rule.text, known);
    document.Error(rule.where, Concat("no rule is named ", Quoted(rule.text),
                                      nearest.empty() ? "" : " (did you mean \"", nearest,
                                      nearest.empty() ? "" : "\"?)"));
  }
}

}  // namespace

std::vector<PolicyTestCase> BuildTests(CheckedDocument& document, std::string_view set,
                                       std::span<const std::string> rules) {
  std::vector<PolicyTestCase> tests;
  const Value* cases = document.spec.Get("cases");
  if (cases == nullptr) {
    return tests;
  }
  for (const Value& value : cases->items) {
    if (document.context->reporter.full()) {
      break;
    }
    PolicyTestCase test;
    test.name = value.TextOf("name");
    test.where = document.context->reporter.Position(value.where);
    test.expect = value.TextOf("expect") == "allow" ? Effect::kAllow : Effect::kDeny;
    if (const Value* request = value.Get("request"); request != nullptr) {
      test.request = BuildRequest(*request, document);
    }
    if (const Value* rule = value.Get("rule"); rule != nullptr) {
      test.rule = rule->text;
      CheckRuleName(*rule, set, rules, document);
    }
    tests.push_back(std::move(test));
  }
  return tests;
}

}  // namespace countersign::authz
