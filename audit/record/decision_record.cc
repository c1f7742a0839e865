#include "audit/record/decision_record.h"

#include <algorithm>

#include "audit/record/record_codec.h"

namespace countersign::audit {

std::string DecisionIdText(const DecisionId& id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(id.size() * 2);
  for (uint8_t byte : id) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

StatusOr<DecisionId> ParseDecisionId(std::string_view text) {
  DecisionId id = {};
  bool valid = text.size() == id.size() * 2;
  for (size_t i = 0; valid && i < text.size(); ++i) {
    char c = text[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    valid = digit >= 0;
    id[i / 2] = static_cast<uint8_t>(id[i / 2] << 4 | (digit & 15));
  }
  if (!valid) {
    return InvalidArgument("decision id ", Quoted(text), " must be 32 lower-case hex digits");
  }
  return id;
}

std::string_view SubjectKindName(SubjectKind kind) {
  switch (kind) {
    case SubjectKind::kAnonymous:
      return "anonymous";
    case SubjectKind::kVerifiedPeer:
      return "verified_peer";
    case SubjectKind::kLocalCaller:
      return "local_caller";
  }
  return "unknown";
}

std::string_view EventKindName(EventKind kind) {
  switch (kind) {
    case EventKind::kStart:
      return "start";
    case EventKind::kStop:
      return "stop";
    case EventKind::kPolicyLoaded:
      return "policy_loaded";
    case EventKind::kRecovery:
      return "recovery";
    case EventKind::kRingOpened:
      return "ring_opened";
    case EventKind::kRejected:
      return "rejected";
  }
  return "unknown";
}

size_t Encode(const DecisionRecord& record, std::span<char> out) {
  RecordEncoder encoder(RecordType::kDecision, out);
  DecisionFields(encoder, record);
  return encoder.used();
}

size_t Encode(const CompletionRecord& record, std::span<char> out) {
  CompletionRecord cut = record;
  cut.upstream = cut.upstream.substr(0, RecordLimits::kUpstreamBytesMax);
  cut.cut_reason = cut.cut_reason.substr(0, RecordLimits::kCutReasonBytesMax);
  RecordEncoder encoder(RecordType::kCompletion, out);
  CompletionFields(encoder, cut);
  return encoder.used();
}

size_t Encode(const GapRecord& record, std::span<char> out) {
  RecordEncoder encoder(RecordType::kGap, out);
  GapFields(encoder, record);
  return encoder.used();
}

size_t Encode(const EventRecord& record, std::span<char> out) {
  RecordEncoder encoder(RecordType::kEvent, out);
  EventFields(encoder, record);
  return encoder.used();
}

namespace {

constexpr size_t kTextOverhead = 3;  // A length of at most kTextBytesMax.

size_t PoliciesBytesMax(std::span<const PolicyVersion> policies) {
  size_t bytes = 0;
  for (const PolicyVersion& policy : policies) {
    bytes += policy.set.size() + kTextOverhead + 10 + policy.digest.size();
  }
  return bytes;
}

}  // namespace

size_t EncodedBytesMax(const DecisionRecord& r) {
  size_t bytes = 256;  // Everything of fixed size, and the overhead of single texts and lists.
  for (std::string_view text :
       {r.node, r.service, r.listener, r.caller, r.caller_serial, r.callee, r.sni, r.method, r.host,
        r.path, r.rule, r.nearest_rule, r.nearest_key}) {
    bytes += text.size();
  }
  for (const authz::NameValue& header : r.headers) {
    bytes += header.name.size() + header.value.size() + 2 * kTextOverhead;
  }
  for (std::string_view name :
       r.matched.first(std::min(r.matched.size(), RecordLimits::kMatchedMax))) {
    bytes += name.size() + kTextOverhead;
  }
  return bytes + PoliciesBytesMax(r.policies);
}

size_t EncodedBytesMax(const EventRecord& r) {
  return 64 + r.program.size() + r.node.size() + r.text.size() + PoliciesBytesMax(r.policies);
}

}  // namespace countersign::audit
