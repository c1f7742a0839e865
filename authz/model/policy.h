// Typed policy: what a loaded, checked policy set means. Made by the loader, immutable afterwards.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/model/field.h"
#include "base/clock.h"

namespace countersign::authz {

enum class Effect : uint8_t { kDeny, kAllow };

// Subject is the word form of `from`.
enum class Subject : uint8_t {
  kEntries,        // Rule::from decides.
  kAnyone,         // Also callers without identity.
  kAuthenticated,  // Any verified identity.
  kMesh,           // Verified identity in the workload's own trust domain.
};

// Rule is one named rule. from, to and when are ANDed; entries of from and to are ORed.
struct Rule {
  std::string name;
  Effect effect = Effect::kDeny;
  Subject subject = Subject::kEntries;
  std::vector<Entry> from;          // Non-empty exactly if subject is kEntries.
  std::vector<Entry> to;            // Empty: every operation. `grpc` is lowered to path and method.
  std::vector<Condition> when;      // All must hold.
  std::optional<WallTime> expires;  // Allow rules only: from then on the rule is not there.
  SourcePosition where;
};

// AccessPolicy guards the workloads of applies_to, within its set's scope.
struct AccessPolicy {
  std::string name;
  bool applies_to_all = false;      // Of the scope.
  std::vector<Matcher> applies_to;  // Over the callee's ID; empty exactly if applies_to_all.
  std::vector<Rule> rules;
  bool dry_run = false;                             // Judged and counted, decides nothing.
  std::optional<WallTime> unmatched_dry_run_until;  // Semantics 12.
  SourcePosition where;
};

// PolicyTestCase is one request with the verdict its author expects.
struct PolicyTestCase {
  struct Request {
    bool http = true;
    std::string caller;  // Empty: without identity.
    std::string workload;
    std::string peer_ip;
    uint16_t port = 0;
    std::string sni, method, host, path;
    std::vector<std::pair<std::string, std::string>> headers;
    std::vector<std::pair<std::string, std::string>> query;
  };
  std::string name;
  Request request;
  Effect expect = Effect::kDeny;
  std::string rule;  // "set/policy/rule" that must decide; empty: any.
  SourcePosition where;
};

// PolicyAssertion says what must hold for every possible request, over all sets together; it is
// proved, not tried. Its region is a plain set of requests: a predicate on an absent value is
// false, `except` and all_except subtract and complement as sets do, and on a raw TCP connection
// predicates over HTTP fields are false. A header or query condition speaks of the one value, and
// has no `many`.
struct PolicyAssertion {
  enum class Form : uint8_t {
    kNever,   // Nothing of the region is allowed.
    kAlways,  // All of the region is allowed.
    kOnly,    // What is allowed of `to` and `when` comes from `from`.
  };
  std::string name;
  // Over the callee's ID; empty: all. Intersected with the set's scope, as applies_to is; a
  // guardrail's reaches everything.
  std::vector<Matcher> workloads;
  Form form = Form::kNever;
  Subject subject = Subject::kEntries;
  bool all_except = false;      // The callers are all but those of `from`, anonymous ones included.
  std::vector<Entry> from;      // Non-empty exactly if subject is kEntries.
  std::vector<Entry> to;        // Empty: every operation, HTTP and TCP.
  std::vector<Condition> when;  // All must hold.
  SourcePosition where;
};

// IdentitySetInfo is one IdentitySet of a set. Rules hold its members already; this is for lint.
struct IdentitySetInfo {
  std::string name;
  bool used = false;  // By some rule or assertion of the set.
  SourcePosition where;
};

// PolicySet is one folder with a set.yaml: owned, tested, rolled out and rolled back as a whole.
struct PolicySet {
  std::string name;
  std::string owner;       // SPIFFE ID.
  bool guardrail = false;  // Only denies and assertions; its scope is everything.
  Matcher scope;           // Over the callee's ID; kPresent for a guardrail.
  std::vector<AccessPolicy> policies;
  std::vector<PolicyTestCase> tests;
  std::vector<PolicyAssertion> assertions;  // By name.
  std::vector<IdentitySetInfo> identity_sets;
  std::string digest;                            // Lower-case hex SHA-256, semantics 13.
  std::vector<std::string> canonical_documents;  // Canonical JSON, in the digest's order.
};

}  // namespace countersign::authz
