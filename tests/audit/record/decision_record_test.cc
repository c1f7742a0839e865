#include "audit/record/decision_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/audit/sample_records.h"

namespace countersign::audit {
namespace {

template <class Record>
const Record& Get(const StatusOr<ParsedRecord>& parsed) {
  CHECK(parsed.ok());
  return std::get<Record>(parsed->value());
}

TEST(DecisionIdTest, PrintsAndParses32HexDigits) {
  DecisionId id = SampleId(7);
  StatusOr<DecisionId> parsed = ParseDecisionId(DecisionIdText(id));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed, id);
  for (const char* bad :
       {"", "00", "0123456789abcdef0123456789abcdeg", "0123456789ABCDEF0123456789ABCDEF",
        "0123456789abcdef0123456789abcdef0"}) {
    EXPECT_FALSE(ParseDecisionId(bad).ok()) << bad;
  }
}

TEST(DecisionRecordTest, ReadsBackEveryField) {
  SampleDecision sample;
  StatusOr<ParsedRecord> parsed = ParsedRecord::Parse(EncodeToString(sample.record));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& r = Get<DecisionRecord>(parsed);
  const DecisionRecord& w = sample.record;
  EXPECT_EQ(r.id, w.id);
  EXPECT_EQ(r.parent, w.parent);
  EXPECT_EQ(r.trace_id, w.trace_id);
  EXPECT_EQ(r.time_ns, w.time_ns);
  EXPECT_EQ(std::tie(r.node, r.service, r.listener, r.connection_id),
            std::tie(w.node, w.service, w.listener, w.connection_id));
  EXPECT_EQ(std::tie(r.kind, r.subject, r.caller, r.caller_serial, r.caller_uid, r.callee),
            std::tie(w.kind, w.subject, w.caller, w.caller_serial, w.caller_uid, w.callee));
  EXPECT_EQ(r.peer_ip, w.peer_ip);
  EXPECT_EQ(std::tie(r.port, r.sni, r.method, r.host, r.path),
            std::tie(w.port, w.sni, w.method, w.host, w.path));
  EXPECT_EQ(std::tie(r.effect, r.reason, r.would_be, r.rule, r.matched_total),
            std::tie(w.effect, w.reason, w.would_be, w.rule, w.matched_total));
  EXPECT_TRUE(std::ranges::equal(r.matched, w.matched));
  EXPECT_EQ(std::tie(r.nearest_rule, r.nearest_field, r.nearest_key),
            std::tie(w.nearest_rule, w.nearest_field, w.nearest_key));
  ASSERT_EQ(r.headers.size(), 1U);
  EXPECT_EQ(r.headers[0].value, "acme");
  ASSERT_EQ(r.policies.size(), 1U);
  EXPECT_EQ(r.policies[0].set, "shop");
  EXPECT_EQ(r.policies[0].version, 3U);
  EXPECT_EQ(r.policies[0].digest, sample.policies[0].digest);
  EXPECT_EQ(*parsed->id(), w.id);
  EXPECT_EQ(parsed->time_ns(), w.time_ns);
}

TEST(DecisionRecordTest, ReadsBackAnEmptyDecision) {
  DecisionRecord record;
  StatusOr<ParsedRecord> parsed = ParsedRecord::Parse(EncodeToString(record));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_FALSE(Get<DecisionRecord>(parsed).peer_ip.has_value());
  EXPECT_EQ(Get<DecisionRecord>(parsed).caller, "");
}

TEST(DecisionRecordTest, ReadsBackTheOtherTypes) {
  CompletionRecord done = {SampleId(1), 42, 503, 10, UINT64_MAX, 99, "10.0.0.7:8443", "policy"};
  StatusOr<ParsedRecord> parsed = ParsedRecord::Parse(EncodeToString(done));
  EXPECT_EQ(Get<CompletionRecord>(parsed).bytes_out, UINT64_MAX);
  EXPECT_EQ(Get<CompletionRecord>(parsed).cut_reason, "policy");
  parsed = ParsedRecord::Parse(EncodeToString(GapRecord{17, -5, 6}));
  EXPECT_EQ(Get<GapRecord>(parsed).count, 17U);
  EXPECT_EQ(Get<GapRecord>(parsed).first_ns, -5);
  EXPECT_EQ(parsed->id(), nullptr);
  EventRecord event = {EventKind::kPolicyLoaded, 5, "countersign-proxy", "n", "text", {}};
  parsed = ParsedRecord::Parse(EncodeToString(event));
  EXPECT_EQ(Get<EventRecord>(parsed).kind, EventKind::kPolicyLoaded);
}

TEST(DecisionRecordTest, KeepsTheFirstMatchedRulesAndCountsAll) {
  std::vector<std::string_view> names(RecordLimits::kMatchedMax + 10, "set/policy/rule");
  DecisionRecord record;
  record.matched = names;
  StatusOr<ParsedRecord> parsed = ParsedRecord::Parse(EncodeToString(record));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->decision()->matched.size(), RecordLimits::kMatchedMax);
  EXPECT_EQ(parsed->decision()->matched_total, names.size());
}

TEST(DecisionRecordTest, CutsLongTextsOfACompletionOnly) {
  std::string text(2000, 'u');
  CompletionRecord done;
  done.upstream = text;
  done.cut_reason = text;
  std::string bytes = EncodeToString(done);
  EXPECT_LE(bytes.size(), RecordLimits::kCompletionBytesMax);
  StatusOr<ParsedRecord> parsed = ParsedRecord::Parse(bytes);
  ASSERT_TRUE(parsed.ok());
  const auto& kept = std::get<CompletionRecord>(parsed->value());
  EXPECT_EQ(kept.upstream.size(), RecordLimits::kUpstreamBytesMax);
  EXPECT_EQ(kept.cut_reason.size(), RecordLimits::kCutReasonBytesMax);
}

TEST(DecisionRecordTest, SaysInWhoseNameARecordSpeaks) {
  SampleDecision sample;
  RecordClaims inbound = *ReadClaims(EncodeToString(sample.record));
  EXPECT_FALSE(inbound.event.has_value());
  sample.record.subject = SubjectKind::kLocalCaller;
  std::string outbound_bytes = EncodeToString(sample.record);
  RecordClaims outbound = *ReadClaims(outbound_bytes);
  EXPECT_EQ(outbound.workload, "spiffe://shop.example/ns/prod/sa/web");
  EXPECT_EQ(outbound.node, "spiffe://shop.example/agent/node-1");
  sample.record.subject = SubjectKind::kAnonymous;
  std::string anonymous_bytes = EncodeToString(sample.record);
  EXPECT_EQ(ReadClaims(anonymous_bytes)->workload, "spiffe://shop.example/ns/prod/sa/orders");
  std::string event =
      EncodeToString(EventRecord{EventKind::kPolicyLoaded, 1, "program", "node", "workload", {}});
  EXPECT_EQ(ReadClaims(event)->event, EventKind::kPolicyLoaded);
  EXPECT_EQ(ReadClaims(event)->program, "program");
  EXPECT_EQ(ReadClaims(event)->workload, "workload");
  EXPECT_FALSE(ReadClaims(event.substr(1)).ok());
}

TEST(DecisionRecordTest, PeeksAtTheIdOfADecisionOrCompletionAndOfNothingElse) {
  SampleDecision sample;
  std::string decision = EncodeToString(sample.record);
  ASSERT_TRUE(PeekId(decision).has_value());
  EXPECT_EQ(PeekId(decision)->type, PeekedId::Type::kDecision);
  EXPECT_EQ(PeekId(decision)->id, sample.record.id);
  CompletionRecord done;
  done.id = SampleId(7);
  EXPECT_EQ(PeekId(EncodeToString(done))->type, PeekedId::Type::kCompletion);
  EXPECT_EQ(PeekId(EncodeToString(done))->id, SampleId(7));
  EXPECT_FALSE(PeekId(EncodeToString(GapRecord{})).has_value());
  EXPECT_FALSE(PeekId(decision.substr(0, 17)).has_value());
  EXPECT_FALSE(PeekId("").has_value());
  decision[0] = 2;
  EXPECT_FALSE(PeekId(decision).has_value()) << "another version may hold anything";
}

TEST(DecisionRecordTest, EncodesNothingOverALimit) {
  std::string path(RecordLimits::kTextBytesMax + 1, 'p');
  DecisionRecord record;
  record.path = path;
  std::string room(RecordLimits::kRecordBytesMax, '\0');
  EXPECT_EQ(Encode(record, room), 0U);
  std::vector<authz::NameValue> headers(RecordLimits::kHeadersMax + 1);
  record.path = "/";
  record.headers = headers;
  EXPECT_EQ(Encode(record, room), 0U);
  record.headers = {};
  std::vector<PolicyVersion> policies(RecordLimits::kPoliciesMax);
  record.policies = policies;
  EXPECT_NE(Encode(record, room), 0U);
  policies.resize(RecordLimits::kPoliciesMax + 1);
  record.policies = policies;
  EXPECT_EQ(Encode(record, room), 0U);
}

TEST(DecisionRecordTest, EncodedBytesMaxIsEnoughForEverySample) {
  SampleDecision sample;
  std::string room(EncodedBytesMax(sample.record), '\0');
  size_t used = Encode(sample.record, room);
  EXPECT_GT(used, 0U);
  EXPECT_EQ(Encode(sample.record, std::span(room).first(used)), used);
  EXPECT_EQ(Encode(sample.record, std::span(room).first(used - 1)), 0U);
}

TEST(DecisionRecordTest, RefusesEveryPrefixOfARecordAndBytesAfterIt) {
  SampleDecision sample;
  std::string bytes = EncodeToString(sample.record);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(CheckRecord(bytes.substr(0, size)).ok()) << size;
  }
  EXPECT_TRUE(CheckRecord(bytes).ok());
  EXPECT_FALSE(CheckRecord(bytes + '\0').ok());
}

TEST(DecisionRecordTest, WhatParsesIsWhatWouldBeWritten) {
  SampleDecision sample;
  std::string bytes = EncodeToString(sample.record);
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (uint8_t bit = 1; bit != 0; bit = static_cast<uint8_t>(bit << 1)) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(static_cast<uint8_t>(flipped[at]) ^ bit);
      StatusOr<ParsedRecord> parsed = ParsedRecord::Parse(flipped);
      ASSERT_EQ(parsed.ok(), CheckRecord(flipped).ok());
      if (parsed.ok()) {
        EXPECT_EQ(std::visit([](const auto& r) { return EncodeToString(r); }, parsed->value()),
                  flipped)
            << "byte " << at;
      }
    }
  }
}

struct BadBytes {
  const char* name;
  std::string bytes;
  const char* says;
};

class BadRecordTest : public testing::TestWithParam<BadBytes> {};

TEST_P(BadRecordTest, IsRefusedWithTheReason) {
  EXPECT_THAT(std::string(CheckRecord(GetParam().bytes).message()),
              testing::HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadRecordTest,
    testing::Values(BadBytes{"empty", "", "an early end"},
                    BadBytes{"version", "\x02\x01", "an unknown version"},
                    BadBytes{"type", "\x01\x09", "an unknown type"},
                    BadBytes{"long_number",
                             "\x01\x03\x81" + std::string(1, '\0') + std::string(16, 'x'),
                             "shortest form"},
                    BadBytes{"number_over_64_bits", "\x01\x03" + std::string(9, '\xff') + "\x02",
                             "over 64 bits"},
                    BadBytes{"event_kind", "\x01\x04\x77", "out of range"},
                    BadBytes{"too_long", std::string(RecordLimits::kRecordBytesMax + 1, '\x01'),
                             "over the limit"}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace countersign::audit
