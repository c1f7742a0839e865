// From sources to sets: one set a namespace, one AccessPolicy a source policy, and for workloads
// that no ALLOW policy selects the rule that says so.
#include <algorithm>
#include <map>
#include <set>

#include "authz/import/findings.h"
#include "authz/import/import.h"
#include "authz/import/istio_rule.h"
#include "authz/import/istio_source.h"
#include "authz/import/policy_text.h"
#include "base/status.h"
#include "identity/spiffe_id.h"

namespace countersign::authz::import {
namespace {

constexpr std::string_view kImplicitAllow = "istio-implicit-allow";
constexpr size_t kNameBytesMax = 63;

Matcher Exactly(std::string id) { return {Matcher::Kind::kExact, std::move(id), {}, 0}; }
Matcher Under(std::string id) { return {Matcher::Kind::kUnder, std::move(id), {}, 0}; }

// IstioImport is one import. It borrows all of it.
class IstioImport {
 public:
  IstioImport(const IstioSource& source, const ImportOptions& options, Findings& findings)
      : source_(source), options_(options), findings_(findings) {}

  std::vector<CommentedSet> Sets() {
    CheckSharedIdentities();
    std::set<std::string> namespaces;
    for (const IstioPolicy& policy : source_.policies) {
      namespaces.insert(policy.ns);
    }
    for (const Workload& workload : source_.workloads) {
      namespaces.insert(workload.ns);
    }
    std::vector<CommentedSet> sets;
    for (const std::string& ns : namespaces) {
      sets.push_back(SetOf(ns));
    }
    return sets;
  }

 private:
  std::string IdOf(const Workload& workload) const {
    return Concat(NamespaceId(workload.ns), "/sa/", workload.service_account);
  }
  std::string NamespaceId(std::string_view ns) const {
    return Concat("spiffe://", options_.trust_domain, "/ns/", ns);
  }

  bool Concerns(const IstioPolicy& policy, std::string_view ns) const {
    return policy.ns == ns || policy.ns == options_.root_namespace;
  }
  bool Selects(const IstioPolicy& policy, const Workload& workload) const {
    return Concerns(policy, workload.ns) &&
           std::ranges::all_of(policy.selector, [&](const auto& label) {
             auto found = workload.labels.find(label.first);
             return found != workload.labels.end() && found->second == label.second;
           });
  }

  // Here a workload is its identity: two that share one cannot have different policies.
  void CheckSharedIdentities() {
    std::map<std::string, const Workload*> first_of;
    for (const Workload& workload : source_.workloads) {
      const Workload*& first = first_of[IdOf(workload)];
      if (first == nullptr) {
        first = &workload;
        continue;
      }
      for (const IstioPolicy& policy : source_.policies) {
        if (Selects(policy, workload) != Selects(policy, *first)) {
          findings_.Error(
              workload.where,
              Concat(workload.kind_and_name, " and ", first->kind_and_name,
                     " share the service account ", Quoted(workload.service_account), ", but ",
                     "AuthorizationPolicy ", policy.ns, "/", policy.name,
                     " selects one of them: a policy guards an identity here, so give each a ",
                     "service account of its own"));
          break;
        }
      }
    }
  }

  void ApplyTo(const IstioPolicy& policy, AccessPolicy& out) {
    if (policy.selector.empty()) {
      out.applies_to_all = true;  // Of the set's scope, which is the namespace, or all of them.
      return;
    }
    std::set<std::string> ids;
    for (const Workload& workload : source_.workloads) {
      if (Selects(policy, workload)) {
        ids.insert(IdOf(workload));
      }
    }
    std::ranges::transform(ids, std::back_inserter(out.applies_to), Exactly);
    if (ids.empty()) {
      std::string labels;
      for (const auto& [key, value] : policy.selector) {
        labels += Concat(labels.empty() ? "" : ",", key, "=", value);
      }
      findings_.Error(
          policy.where,
          Concat("no workload with the labels ", labels, " is among the files: give the ",
                 "Deployment (or StatefulSet, DaemonSet, Job, Pod) too, because a policy ",
                 "guards an identity here"));
    }
  }

  std::string NameOf(const IstioPolicy& policy) {
    std::string name = policy.name;
    std::ranges::replace(name, '.', '-');
    bool good = name.size() <= kNameBytesMax && name != kImplicitAllow &&
                std::ranges::all_of(name, [](char c) {
                  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                });
    if (!good) {
      findings_.Error(policy.where, Concat("name ", Quoted(policy.name), " must be at most ",
                                           kNameBytesMax, " lower-case letters, digits and '-', ",
                                           "and not ", kImplicitAllow, ": rename the policy"));
    }
    if (!names_.insert({policy.ns, name}).second) {
      findings_.Error(policy.where, Concat("two policies are called ", policy.ns, "/", name));
    }
    return name;
  }

  static std::string Place(const SourcePosition& where) {
    return Concat(where.file, ":", where.line);
  }

  void AddPolicy(const IstioPolicy& policy, CommentedSet& set) {
    std::string title = Concat("AuthorizationPolicy ", policy.ns, "/", policy.name);
    CommentedPolicy out;
    out.policy.name = NameOf(policy);
    out.policy.dry_run = policy.dry_run;
    if (policy.action == IstioPolicy::Action::kAudit) {
      findings_.Warn(
          policy.where,
          Concat(title, " only audits, and is left out: every decision is ", "recorded here"));
      return;
    }
    ApplyTo(policy, out.policy);
    for (size_t number = 0; number < policy.rules.size() && !findings_.full(); ++number) {
      for (Rule& rule : TranslateRule(policy, number, options_, findings_)) {
        out.rule_comments.push_back(Concat("From ", title, ", rule ", number, " (",
                                           Place(policy.rules[number].where), ")."));
        out.policy.rules.push_back(std::move(rule));
      }
    }
    if (out.policy.rules.empty()) {
      set.comments.push_back(Concat(title, " (", Place(policy.where),
                                    ") has no rule that can match",
                                    policy.enforced_allow() ? ": it allows nothing." : "."));
      return;
    }
    set.policies.push_back(std::move(out));
  }

  CommentedSet SetOf(const std::string& ns) {
    CommentedSet set;
    set.name = ns;
    bool root = ns == options_.root_namespace;
    set.owner = options_.owner.empty() ? Concat(NamespaceId(ns), "/owner") : options_.owner;
    set.scope = Under(root ? Concat("spiffe://", options_.trust_domain, "/ns") : NamespaceId(ns));
    set.comments.push_back(Concat("Imported from the AuthorizationPolicies of namespace ", ns,
                                  options_.owner.empty() ? ". Say who owns the set." : "."));
    for (const IstioPolicy& policy : source_.policies) {
      if (policy.ns == ns) {
        AddPolicy(policy, set);
      }
    }
    AddImplicitAllow(ns, set);
    return set;
  }

  // "No ALLOW policy means allow", said in the open. Where some workloads of a namespace have one,
  // the others are named; what is in no file is denied.
  void AddImplicitAllow(const std::string& ns, CommentedSet& set) {
    auto allows = [&](const IstioPolicy& policy) {
      return policy.enforced_allow() && Concerns(policy, ns);
    };
    bool for_all = std::ranges::any_of(source_.policies, [&](const IstioPolicy& policy) {
      return allows(policy) && policy.selector.empty();
    });
    if (for_all) {
      return;
    }
    std::set<std::string> open;
    bool some_selected = std::ranges::any_of(source_.policies, [&](const IstioPolicy& policy) {
      return allows(policy) && policy.ns == ns;
    });
    for (const Workload& workload : source_.workloads) {
      if (workload.ns != ns) {
        continue;
      }
      bool selected = std::ranges::any_of(source_.policies, [&](const IstioPolicy& policy) {
        return allows(policy) && Selects(policy, workload);
      });
      some_selected = some_selected || selected;
      if (!selected) {
        open.insert(IdOf(workload));
      }
    }
    if (some_selected && open.empty()) {
      return;
    }
    CommentedPolicy out;
    out.policy.name = kImplicitAllow;
    out.comment = "No ALLOW policy selects these workloads, which in Istio means: allow.";
    if (some_selected) {
      std::ranges::transform(open, std::back_inserter(out.policy.applies_to), Exactly);
    } else {
      out.policy.applies_to.push_back(Under(NamespaceId(ns)));
    }
    Rule rule;
    rule.name = kImplicitAllow;
    rule.effect = Effect::kAllow;
    rule.subject = Subject::kAnyone;
    out.policy.rules.push_back(std::move(rule));
    out.rule_comments.emplace_back();
    set.policies.push_back(std::move(out));
    findings_.Warn({}, Concat("namespace ", Quoted(ns), ": ",
                              some_selected ? "some workloads have" : "there is",
                              " no ALLOW policy, so rule ", kImplicitAllow, " lets everything in"));
  }

  const IstioSource& source_;
  const ImportOptions& options_;
  Findings& findings_;
  std::set<std::pair<std::string, std::string>> names_;
};

Status CheckOptions(const ImportOptions& options) {
  RETURN_IF_ERROR(identity::TrustDomain::Parse(options.trust_domain).status());
  for (const std::string& alias : options.trust_domain_aliases) {
    RETURN_IF_ERROR(identity::TrustDomain::Parse(alias).status());
  }
  return options.owner.empty() ? absl::OkStatus()
                               : identity::SpiffeId::Parse(options.owner).status();
}

// What was written must load; if it does not, nothing is handed out.
void CheckLoads(const std::string& yaml, Findings& findings) {
  const SourceFile file{"imported", yaml};
  for (const Diagnostic& diagnostic : Load({&file, 1}).diagnostics) {
    if (diagnostic.severity == Diagnostic::Severity::kError) {
      findings.Error({}, Concat("the result would not load: ", FormatDiagnostic(diagnostic)));
    }
  }
}

}  // namespace

bool Imported::ok() const {
  return std::ranges::count(diagnostics, Diagnostic::Severity::kError, &Diagnostic::severity) == 0;
}

Imported ImportIstio(std::span<const SourceFile> files, const ImportOptions& options) {
  Findings findings;
  Imported imported;
  std::string yaml;
  if (Status status = CheckOptions(options); !status.ok()) {
    findings.Error({}, std::string(Message(status)));
  } else {
    IstioSource source = ReadIstio(files, options, findings);
    imported.source_policies = source.policies.size();
    if (source.policies.empty() && findings.errors() == 0) {
      findings.Error({}, "no AuthorizationPolicy is among the files");
    }
    if (findings.errors() == 0) {
      std::vector<CommentedSet> sets = IstioImport(source, options, findings).Sets();
      StatusOr<std::string> text =
          findings.errors() == 0 ? WriteSets(sets) : StatusOr<std::string>("");
      if (!text.ok()) {
        findings.Error({}, std::string(Message(text.status())));
      } else if (findings.errors() == 0) {
        CheckLoads(*text, findings);
        yaml = *std::move(text);
      }
    }
  }
  if (findings.errors() == 0) {
    imported.yaml = std::move(yaml);
  }
  imported.diagnostics = findings.Take();
  return imported;
}

}  // namespace countersign::authz::import
