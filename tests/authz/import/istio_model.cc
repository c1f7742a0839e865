#include "tests/authz/import/istio_model.h"

namespace countersign::authz::import::testing {
namespace {

std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    out += c == '\'' ? "''" : std::string(1, c);
  }
  return out + "'";
}

std::string ListOf(const Strings& values) {
  std::string out;
  for (const std::string& value : values) {
    out += (out.empty() ? "[" : ", ") + Quoted(value);
  }
  return out + "]";
}

std::string MapOf(const std::map<std::string, std::string>& map) {
  std::string out;
  for (const auto& [key, value] : map) {
    out += (out.empty() ? "{ " : ", ") + key + ": " + Quoted(value);
  }
  return out.empty() ? "{}" : out + " }";
}

std::string Negated(std::string name) {
  name.front() = static_cast<char>(name.front() - 'a' + 'A');
  return "not" + name;
}

std::string EntriesOf(const std::string& key, const std::string& inner,
                      const std::vector<Fields>& entries) {
  std::string out;
  for (const Fields& fields : entries) {
    std::string line;
    for (const auto& [name, field] : fields) {
      if (!field.values.empty()) {
        line += (line.empty() ? "" : ", ") + name + ": " + ListOf(field.values);
      }
      if (!field.not_values.empty()) {
        line += (line.empty() ? "" : ", ") + Negated(name) + ": " + ListOf(field.not_values);
      }
    }
    out += "        - " + inner + ": { " + line + " }\n";
  }
  return out.empty() ? "" : "      " + key + ":\n" + out;
}

std::string RuleYaml(const SourceRule& rule) {
  std::string out = EntriesOf("from", "source", rule.from) + EntriesOf("to", "operation", rule.to);
  if (!rule.when.empty()) {
    out += "      when:\n";
  }
  for (const auto& [key, field] : rule.when) {
    out += "        - { key: " + Quoted(key);
    out += field.values.empty() ? "" : ", values: " + ListOf(field.values);
    out += field.not_values.empty() ? "" : ", notValues: " + ListOf(field.not_values);
    out += " }\n";
  }
  if (out.empty()) {
    return "    - {}\n";
  }
  out.replace(0, 6, "    - ");
  return out;
}

}  // namespace

std::string ToYaml(const std::vector<SourcePolicy>& policies,
                   const std::vector<SourceWorkload>& workloads) {
  std::string out;
  for (const SourcePolicy& policy : policies) {
    out += "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: " +
           policy.name + "\n  namespace: " + policy.ns + "\n";
    out += policy.dry_run ? "  annotations: { 'istio.io/dry-run': 'true' }\n" : "";
    out += "spec:\n  action: " + policy.action + "\n";
    if (!policy.selector.empty()) {
      out += "  selector: { matchLabels: " + MapOf(policy.selector) + " }\n";
    }
    out += policy.rules.empty() ? "" : "  rules:\n";
    for (const SourceRule& rule : policy.rules) {
      out += RuleYaml(rule);
    }
  }
  for (const SourceWorkload& workload : workloads) {
    out += "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: " + workload.name +
           ", namespace: " + workload.ns +
           " }\nspec:\n  template:\n    metadata: { labels: " + MapOf(workload.labels) +
           " }\n    spec: { serviceAccountName: " + workload.service_account + " }\n";
  }
  return out;
}

}  // namespace countersign::authz::import::testing
