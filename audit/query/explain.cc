#include "audit/query/explain.h"

#include <nlohmann/json.hpp>

#include "audit/query/record_json.h"
#include "base/crypto/hash.h"

namespace countersign::audit {
namespace {

// Plain for what a terminal can take as it is, quoted otherwise.
std::string Shown(std::string_view value) {
  std::string quoted = Quoted(value, 300);
  return quoted.size() == value.size() + 2 ? std::string(value) : quoted;
}

std::string Request(const DecisionRecord& r) {
  std::string caller = r.caller.empty() ? "a caller without identity" : Shown(r.caller);
  if (r.kind == authz::RequestKind::kTcp) {
    return Concat("a connection from ", caller, " to port ", r.port);
  }
  return Concat(Shown(r.method), " ", Shown(r.path), " from ", caller);
}

std::string Because(const DecisionRecord& r) {
  switch (r.reason) {
    case authz::Reason::kNoPolicy:
      return "no policy guards the workload";
    case authz::Reason::kNoRuleMatched:
      return "no rule matched";
    case authz::Reason::kDenyRule:
    case authz::Reason::kAllowRule:
      return Concat("by rule ", Shown(r.rule));
    case authz::Reason::kUnmatchedTrial:
      return "no rule matched, and a policy has `unmatched` on trial";
    case authz::Reason::kAmbiguousField:
      return "a header or query key that a rule names occurs more than once";
    case authz::Reason::kEngineFault:
      return "a fault while judging";
    case authz::Reason::kProbe:
      return "it is a health probe that the Service exempts";
    case authz::Reason::kLocalCaller:
      return Concat("uid ", r.caller_uid, " is the application of this workload");
    case authz::Reason::kLocalCallerRefused:
      return "the calling process is not this workload's application";
    case authz::Reason::kNotReady:
      return "identity, bundle or policy was missing or expired";
  }
  return std::string(authz::ReasonName(r.reason));
}

std::string Headline(const DecisionRecord& r) {
  return Concat(r.effect == authz::Effect::kAllow ? "Allowed: " : "Denied: ", Because(r), " (",
                authz::ReasonName(r.reason), ")");
}

std::string Line(std::string_view name, std::string_view value) {
  std::string line = Concat("  ", name);
  line.resize(14, ' ');
  return Concat(line, value, "\n");
}

std::string NearestLine(const DecisionRecord& r) {
  std::string field(authz::FieldName(r.nearest_field));
  if (!r.nearest_key.empty()) {
    field += Concat(" ", Shown(r.nearest_key));
  }
  return Concat(Shown(r.nearest_rule), ", which failed in ", field);
}

}  // namespace

std::string ExplainText(const DecisionRecord& r, const CompletionRecord* completion) {
  std::string text = Concat(Headline(r), "\n");
  text += Line("decision", DecisionIdText(r.id));
  text += Line("time", FormatTimeNs(r.time_ns));
  text += Line("request", Request(r));
  text += Line("guarded", Shown(r.callee));
  text += Line("where", Concat(Shown(r.node), ", service ", Shown(r.service), ", listener ",
                               Shown(r.listener)));
  if (r.matched_total > 1) {
    std::string names;
    for (std::string_view name : r.matched) {
      names += Concat(names.empty() ? "" : ", ", Shown(name));
    }
    text += Line("matched", Concat(names, r.matched_total > r.matched.size()
                                              ? Concat(" and more, ", r.matched_total, " in all")
                                              : ""));
  }
  if (!r.nearest_rule.empty()) {
    text += Line("nearest", NearestLine(r));
  }
  if (r.would_be != r.effect) {
    text += Line("would be", Concat(EffectName(r.would_be), " with all trials ended"));
  }
  for (const PolicyVersion& policy : r.policies) {
    text += Line("policy", Concat(Shown(policy.set), " version ", policy.version, ", digest ",
                                  HexLower(policy.digest)));
  }
  if (completion != nullptr) {
    std::string ended = completion->status != 0 ? Concat("status ", completion->status, ", ") : "";
    text += Line("ended", Concat(ended, completion->bytes_in, " bytes in, ", completion->bytes_out,
                                 " out, ", completion->duration_ns / 1000, " us",
                                 completion->cut_reason.empty() ? "" : ", cut: ",
                                 Shown(completion->cut_reason)));
  }
  return text;
}

std::string ExplainJson(const LocatedRecord& decision, const CompletionRecord* completion) {
  auto out = nlohmann::ordered_json::parse(RecordJson(decision, completion));
  out["explanation"] = Headline(*decision.record.decision());
  return out.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace countersign::audit
