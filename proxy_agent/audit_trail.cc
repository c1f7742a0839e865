#include "proxy_agent/audit_trail.h"

#include <algorithm>

#include "authz/engine/explain.h"

namespace countersign::proxy {
namespace {

int64_t Nanoseconds(WallTime time) { return time.time_since_epoch().count(); }

}  // namespace

void AuditTrail::Use(std::shared_ptr<const Configuration> configuration) {
  configuration_ = std::move(configuration);
  rule_names_.clear();
  if (configuration_ != nullptr) {
    rule_names_.resize(configuration_->policy()->rule_count());
  }
}

const std::string& AuditTrail::RuleName(uint32_t rule) {
  std::string& name = rule_names_[rule];
  if (name.empty()) {
    name = configuration_->policy()->RuleName(rule);
  }
  return name;
}

void AuditTrail::AddRules(const authz::Decision& decision, audit::DecisionRecord& record) {
  if (decision.deciding_rule < rule_names_.size()) {
    record.rule = RuleName(decision.deciding_rule);
  }
  matched_.clear();
  for (const uint32_t rule : decision.matched) {
    if (matched_.size() == audit::RecordLimits::kMatchedMax || rule >= rule_names_.size()) {
      break;
    }
    matched_.push_back(RuleName(rule));
  }
  record.matched = matched_;
  record.matched_total = static_cast<uint32_t>(decision.matched.size());
}

// Of the headers only those that a rule reads are kept: replay needs them, nothing else does.
void AuditTrail::AddHeaders(const authz::CanonicalRequest& request, audit::DecisionRecord& record) {
  headers_.clear();
  for (const authz::NameValue& header : request.headers) {
    if (headers_.size() == audit::RecordLimits::kHeadersMax) {
      break;
    }
    if (configuration_->policy()->NamesHeader(header.name)) {
      headers_.push_back(header);
    }
  }
  record.headers = headers_;
}

Recorded AuditTrail::Record(const Origin& origin, const Door& door,
                            const identity::VerifiedPeer* peer,
                            const authz::CanonicalRequest& request, const authz::Decision& decision,
                            WallTime now) {
  Recorded recorded{.id = recorder_->NewId(), .slot = {}};
  audit::DecisionRecord record;
  record.id = recorded.id;
  record.time_ns = Nanoseconds(now);
  record.service = door.service;
  record.listener = door.direction == Direction::kOutbound ? std::string_view("outbound")
                                                           : std::string_view(door.name);
  record.connection_id = origin.connection_id;
  record.kind = request.kind;
  record.caller = request.caller;
  if (peer != nullptr) {
    record.subject = audit::SubjectKind::kVerifiedPeer;
    record.caller = peer->id().str();
    record.caller_serial = peer->serial();
  } else if (door.direction == Direction::kOutbound) {
    record.subject = audit::SubjectKind::kLocalCaller;
    record.caller_uid = origin.local.has_value() ? origin.local->uid() : 0xffffffffU;
  }
  record.callee = request.callee;
  record.peer_ip = request.peer_ip;
  record.port = request.port;
  record.sni = request.sni;
  record.method = request.method;
  record.host = request.host;
  record.path = request.path;
  record.effect = decision.effect;
  record.reason = decision.reason;
  record.would_be = decision.would_be;
  if (configuration_ != nullptr) {
    record.node = configuration_->node_id();
    record.policies = configuration_->policy_versions();
    AddRules(decision, record);
    AddHeaders(request, record);
    const bool by_policy = decision.reason == authz::Reason::kNoRuleMatched ||
                           decision.reason == authz::Reason::kDenyRule;
    if (by_policy && decision.effect == authz::Effect::kDeny && nearest_left_ > 0) {
      --nearest_left_;
      const authz::NearestMiss miss =
          authz::FindNearestMiss(*configuration_->policy(), request, now);
      if (miss.rule < rule_names_.size()) {
        record.nearest_rule = RuleName(miss.rule);
        record.nearest_field = miss.field;
        record.nearest_key = miss.key;
      }
    }
  }
  recorded.slot = recorder_->RecordDecision(record, door.durability);
  return recorded;
}

void AuditTrail::Complete(Recorded recorded, const Outcome& outcome, WallTime now) {
  audit::CompletionRecord record;
  record.id = recorded.id;
  record.time_ns = Nanoseconds(now);
  record.status = outcome.status;
  record.bytes_in = outcome.bytes_in;
  record.bytes_out = outcome.bytes_out;
  record.duration_ns = outcome.duration_ns;
  record.upstream = outcome.upstream;
  record.cut_reason = CutReasonName(outcome.cut);
  recorder_->RecordCompletion(std::move(recorded.slot), record);
}

void AuditTrail::BeginBatch(WorkerMetrics& metrics) {
  nearest_left_ = kNearestPerBatchMax;
  const audit::RecorderCounters& counters = recorder_->counters();
  metrics.audit_recorded.Set(static_cast<int64_t>(counters.recorded));
  if (counters.dropped != 0 || counters.refused != 0) {
    metrics.audit_dropped.Set(static_cast<int64_t>(counters.dropped));
    metrics.audit_refused.Set(static_cast<int64_t>(counters.refused));
    recorder_->FlushGap();
  }
}

}  // namespace countersign::proxy
