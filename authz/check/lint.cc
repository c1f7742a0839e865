#include "authz/check/lint.h"

#include <algorithm>
#include <charconv>

#include "authz/check/breadth.h"

namespace countersign::authz {
namespace {

bool IsUnder(std::string_view value, std::string_view root) {
  return value.starts_with(root) && (value.size() == root.size() || value[root.size()] == '/');
}

// Whether a matcher may match an id; in doubt (patterns) it may.
bool MayMatch(const Matcher& matcher, std::string_view id) {
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
      return id == matcher.text;
    case Matcher::Kind::kUnder:
      return IsUnder(id, matcher.text);
    case Matcher::Kind::kPrefix:
      return id.starts_with(matcher.text);
    case Matcher::Kind::kSuffix:
      return id.ends_with(matcher.text);
    case Matcher::Kind::kAbsent:
      return false;
    default:
      return true;
  }
}

bool Guards(const PolicySet& set, const AccessPolicy& policy, std::string_view workload) {
  bool applies = policy.applies_to_all ||
                 std::ranges::any_of(policy.applies_to, [workload](const Matcher& matcher) {
                   return MayMatch(matcher, workload);
                 });
  return applies && MayMatch(set.scope, workload);
}

uint16_t PortNumber(std::string_view listen) {
  std::string_view digits = listen.substr(listen.rfind(':') + 1);
  uint16_t port = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return port;
}

bool HasHttpField(const std::vector<Condition>& conditions) {
  return std::ranges::any_of(conditions, IsHttpOnly, &Condition::field);
}
// An HTTP exception saves no raw connection from a deny.
bool HasHttpField(const Entry& entry) {
  return HasHttpField(entry.all_of) || std::ranges::any_of(entry.except, [](const auto& exception) {
           return HasHttpField(exception);
         });
}

// Whether an entry of `to` can hold on this TCP port when its HTTP fields are taken as true.
bool ReachesTcp(const Entry& entry, uint16_t port) {
  return std::ranges::all_of(entry.all_of, [port](const Condition& condition) {
    if (condition.field == Field::kProtocol) {
      return std::ranges::any_of(condition.any_of,
                                 [](const Matcher& matcher) { return matcher.text == "tcp"; });
    }
    if (condition.field == Field::kPort) {
      return std::ranges::any_of(condition.any_of,
                                 [port](const Matcher& matcher) { return matcher.port == port; });
    }
    return true;
  });
}

// Semantics 8: a deny with HTTP fields closes a TCP port unless its entry says `protocol: http`.
bool ClosesTcp(const Rule& rule, uint16_t port) {
  if (rule.effect != Effect::kDeny) {
    return false;
  }
  bool http_when = HasHttpField(rule.when);
  if (rule.to.empty()) {
    return http_when;
  }
  return std::ranges::any_of(rule.to, [&](const Entry& entry) {
    return (http_when || HasHttpField(entry)) && ReachesTcp(entry, port);
  });
}

// Linter gathers the findings of one LintPolicies.
class Linter {
 public:
  Linter(std::span<const Service> services, WallTime now) : services_(services), now_(now) {}

  void Check(const PolicySet& set) {
    for (const AccessPolicy& policy : set.policies) {
      for (const Rule& rule : policy.rules) {
        std::string name = Concat(set.name, "/", policy.name, "/", rule.name);
        CheckTcpPorts(set, policy, rule, name);
        CheckPatterns(rule, name);
        for (const BreadthFinding& finding : BreadthOf(rule)) {
          Warn(finding.where, Concat("rule ", name, " ", finding.what));
        }
        if (rule.name == "istio-implicit-allow") {
          Warn(rule.where,
               Concat("rule ", name, " lets everything in, because no ALLOW policy was ",
                      "there in Istio: write what is meant, and remove it"));
        }
        if (rule.expires.has_value() && *rule.expires <= now_) {
          Warn(rule.where, Concat("rule ", name, " expired on ", FormatTime(*rule.expires),
                                  ": it is not there any more"));
        }
      }
      if (policy.unmatched_dry_run_until.has_value() && *policy.unmatched_dry_run_until <= now_) {
        Warn(policy.where, Concat("policy ", set.name, "/", policy.name, ": unmatched ended on ",
                                  FormatTime(*policy.unmatched_dry_run_until)));
      }
    }
    for (const IdentitySetInfo& info : set.identity_sets) {
      if (!info.used) {
        Warn(info.where, Concat("no rule uses IdentitySet ", Quoted(info.name)));
      }
    }
  }
  std::vector<Diagnostic> Take() { return std::move(findings_); }

 private:
  void Warn(const SourcePosition& where, std::string message) {
    findings_.push_back({Diagnostic::Severity::kWarning, where, std::move(message), "lint"});
  }

  void CheckTcpPorts(const PolicySet& set, const AccessPolicy& policy, const Rule& rule,
                     std::string_view name) {
    for (const Service& service : services_) {
      if (!Guards(set, policy, service.workload_id)) {
        continue;
      }
      for (const ServicePort& port : service.ports) {
        if (port.protocol == PortProtocol::kTcp && ClosesTcp(rule, PortNumber(port.listen))) {
          Warn(rule.where, Concat("rule ", name, " denies by HTTP fields and so closes tcp port ",
                                  Quoted(port.name), " of service ", Quoted(service.name),
                                  " to the callers it names; to spare raw connections say ",
                                  "`protocol: http` in its `to`"));
        }
      }
    }
  }

  void CheckPatterns(const Rule& rule, std::string_view name) {
    for (const std::vector<Entry>* entries : {&rule.from, &rule.to}) {
      for (const Entry& entry : *entries) {
        CheckConditions(entry.all_of, name);
        for (const std::vector<Condition>& exception : entry.except) {
          CheckConditions(exception, name);
        }
      }
    }
  }

  void CheckConditions(const std::vector<Condition>& conditions, std::string_view name) {
    for (const Condition& condition : conditions) {
      bool dotted = condition.field == Field::kId || condition.field == Field::kTrustDomain ||
                    condition.field == Field::kHost || condition.field == Field::kSni;
      for (const Matcher& matcher : condition.any_of) {
        if (!dotted || matcher.kind != Matcher::Kind::kRe2) {
          continue;
        }
        if (size_t at = FindBareDot(matcher.text); at != std::string::npos) {
          std::string other = matcher.text;
          other[at] = 'x';
          Warn(condition.where,
               Concat("rule ", name, ": the '.' at byte ", at + 1, " of ",
                      FieldName(condition.field), " pattern ", Quoted(matcher.text),
                      " matches any byte, as in ", Quoted(other), "; write '\\.' for a dot"));
        }
      }
    }
  }

  // The first dot outside a class, not escaped and not repeated (".*" is meant as it stands).
  static size_t FindBareDot(std::string_view pattern) {
    bool in_class = false;
    for (size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] == '\\') {
        ++i;
      } else if (in_class) {
        in_class = pattern[i] != ']';
      } else if (pattern[i] == '[') {
        in_class = true;
        // A ']' that stands first belongs to the class.
        i += i + 1 < pattern.size() && pattern[i + 1] == '^' ? 1 : 0;
        i += i + 1 < pattern.size() && pattern[i + 1] == ']' ? 1 : 0;
      } else if (pattern[i] == '.') {
        bool repeated = i + 1 < pattern.size() &&
                        std::string_view("*+?{").find(pattern[i + 1]) != std::string_view::npos;
        if (!repeated) {
          return i;
        }
      }
    }
    return std::string::npos;
  }

  std::span<const Service> services_;
  WallTime now_;
  std::vector<Diagnostic> findings_;
};

}  // namespace

std::vector<Diagnostic> LintPolicies(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                     std::span<const Service> services, WallTime now) {
  Linter linter(services, now);
  for (const auto& set : sets) {
    linter.Check(*set);
  }
  return linter.Take();
}

}  // namespace countersign::authz
