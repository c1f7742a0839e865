// RecordOf makes the record of a decision as a proxy makes it.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "audit/record/decision_record.h"
#include "authz/engine/compiled_policy.h"
#include "base/clock.h"
#include "base/crypto/hash.h"

namespace countersign::audit {

// RecordOf is the record that a proxy with these policies makes of the request. It borrows all.
class RecordOf {
 public:
  RecordOf(const authz::CompiledPolicy& policy, const authz::CanonicalRequest& request,
           WallTime now) {
    authz::DecisionScratch scratch(policy);
    const authz::Decision decision = policy.Decide(request, now, scratch);
    for (const auto& set : policy.sets()) {
      PolicyVersion& version = versions_.emplace_back();
      version.set = set->name;
      version.version = 1;
      std::string digest = *HexDecode(set->digest);
      std::copy(digest.begin(), digest.end(), version.digest.begin());
    }
    for (const authz::NameValue& header : request.headers) {
      if (policy.NamesHeader(header.name)) {
        headers_.push_back(header);
      }
    }
    record.time_ns = now.time_since_epoch().count();
    record.node = "spiffe://shop.example/agent/node-1";
    record.service = "orders";
    record.listener = "http";
    record.kind = request.kind;
    record.subject = request.caller.empty() ? SubjectKind::kAnonymous : SubjectKind::kVerifiedPeer;
    record.caller = request.caller;
    record.callee = request.callee;
    record.peer_ip = request.peer_ip;
    record.port = request.port;
    record.sni = request.sni;
    record.method = request.method;
    record.host = request.host;
    record.path = request.path;
    record.headers = headers_;
    record.effect = decision.effect;
    record.reason = decision.reason;
    record.would_be = decision.would_be;
    if (decision.deciding_rule != authz::kNoRule) {
      rule_ = policy.RuleName(decision.deciding_rule);
    }
    record.rule = rule_;
    record.policies = versions_;
  }
  RecordOf(const RecordOf&) = delete;
  RecordOf& operator=(const RecordOf&) = delete;

  DecisionRecord record;

 private:
  std::string rule_;
  std::vector<authz::NameValue> headers_;
  std::vector<PolicyVersion> versions_;
};

}  // namespace countersign::audit
