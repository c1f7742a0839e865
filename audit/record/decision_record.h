// The records of the audit log: what was decided, how it ended, what is missing.
//
// One versioned binary form, made by the proxy on its data path without allocation and read back
// strictly: a byte that this version would not have written is an error, nothing is repaired. Parse
// and print are inverse. JSON is made only for people and export (record_json.h).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "authz/model/decision.h"
#include "authz/model/request.h"
#include "base/status.h"

namespace countersign::audit {

struct RecordLimits {
  static constexpr size_t kRecordBytesMax = 60 * 1024;  // Fits a ring record and a log entry.
  static constexpr size_t kTextBytesMax = 48 * 1024;    // A path may fill a whole request head.
  static constexpr size_t kMatchedMax = 64;  // Names kept; matched_total counts all of them.
  static constexpr size_t kPoliciesMax = 256;
  static constexpr size_t kHeadersMax = 64;
  static constexpr size_t kCompletionBytesMax = 512;  // What a strict listener reserves beforehand.
  static constexpr size_t kUpstreamBytesMax = 256;
  static constexpr size_t kCutReasonBytesMax = 64;
};

// DecisionId names one decision in the log, on the console and in the answer to a denied caller.
using DecisionId = std::array<uint8_t, 16>;
std::string DecisionIdText(const DecisionId& id);  // 32 lower-case hex digits.
StatusOr<DecisionId> ParseDecisionId(std::string_view text);

using Digest = std::array<uint8_t, 32>;

// SubjectKind says whose word the caller is. The log stores the number: never renumber.
enum class SubjectKind : uint8_t { kAnonymous = 0, kVerifiedPeer = 1, kLocalCaller = 2 };
std::string_view SubjectKindName(
    SubjectKind kind);  // "anonymous", "verified_peer", "local_caller".

// PolicyVersion is one policy set that took part.
struct PolicyVersion {
  std::string_view set;
  uint64_t version = 0;
  Digest digest = {};
};

// DecisionRecord borrows every string; an empty one means absent. It holds what replay needs: the
// canonical request, without the query, and of the headers only those that some rule names.
struct DecisionRecord {
  DecisionId id = {};
  DecisionId parent = {};                 // Claimed by the caller's proxy; zero: none.
  std::array<uint8_t, 16> trace_id = {};  // W3C trace context, claimed; zero: none.
  int64_t time_ns = 0;                    // Wall clock, Unix epoch.
  std::string_view node;
  std::string_view service;
  std::string_view listener;  // Name of the port, or "outbound".
  uint64_t connection_id = 0;

  authz::RequestKind kind = authz::RequestKind::kTcp;
  SubjectKind subject = SubjectKind::kAnonymous;
  std::string_view caller;
  std::string_view caller_serial;  // Of its SVID, hex.
  uint32_t caller_uid = 0;         // kLocalCaller only, else 0.
  std::string_view callee;
  std::optional<authz::IpAddress> peer_ip;
  uint16_t port = 0;
  std::string_view sni;
  std::string_view method;
  std::string_view host;
  std::string_view path;
  std::span<const authz::NameValue> headers;

  authz::Effect effect = authz::Effect::kDeny;
  authz::Reason reason = authz::Reason::kEngineFault;
  authz::Effect would_be = authz::Effect::kDeny;
  std::string_view rule;                      // "set/policy/rule" that decided; empty: none.
  std::span<const std::string_view> matched;  // At most kMatchedMax; Encode keeps the first ones.
  uint32_t matched_total = 0;                 // Encode writes at least matched.size().
  std::string_view nearest_rule;              // Denies only; empty: none.
  authz::Field nearest_field = authz::Field::kId;
  std::string_view nearest_key;
  std::span<const PolicyVersion> policies;
};

// CompletionRecord is how the decided request or connection ended.
struct CompletionRecord {
  DecisionId id = {};
  int64_t time_ns = 0;
  uint16_t status = 0;  // HTTP; 0 for TCP or when no answer was sent.
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t duration_ns = 0;
  std::string_view upstream;    // Address; at most kUpstreamBytesMax, cut there.
  std::string_view cut_reason;  // Empty: ended by itself. At most kCutReasonBytesMax, cut there.
};

// GapRecord says that records are missing before it.
struct GapRecord {
  uint64_t count = 0;
  int64_t first_ns = 0;
  int64_t last_ns = 0;
};

// EventKind: the log stores the number, never renumber.
enum class EventKind : uint8_t {
  kStart = 1,
  kStop = 2,
  kPolicyLoaded = 3,
  kRecovery = 4,    // Written by the node log after a torn tail.
  kRingOpened = 5,  // Written by the collector: whose ring it is, by the kernel's word.
  kRejected = 6,    // Written by the collector: a producer broke the format.
};
std::string_view EventKindName(EventKind kind);

// kRingIdIn stands in the text of a ring-opened record between whose ring it is and its id in hex.
inline constexpr std::string_view kRingIdIn = ", id ";

// EventRecord is everything that is not about one request.
struct EventRecord {
  EventKind kind = EventKind::kStart;
  int64_t time_ns = 0;
  std::string_view program;
  std::string_view node;
  std::string_view text;
  std::span<const PolicyVersion> policies;
};

// Encode* write into `out` and return the bytes used, or 0 if the record does not fit `out` or
// breaks a limit. No allocation.
size_t Encode(const DecisionRecord& record, std::span<char> out);
size_t Encode(const CompletionRecord& record, std::span<char> out);
size_t Encode(const GapRecord& record, std::span<char> out);
size_t Encode(const EventRecord& record, std::span<char> out);
// EncodedBytesMax is enough room for Encode to succeed, if no limit is broken.
size_t EncodedBytesMax(const DecisionRecord& record);
size_t EncodedBytesMax(const EventRecord& record);

template <class Record>
std::string EncodeToString(const Record& record) {
  std::string out(RecordLimits::kRecordBytesMax, '\0');
  out.resize(Encode(record, out));
  return out;
}

using AnyRecord = std::variant<DecisionRecord, CompletionRecord, GapRecord, EventRecord>;

// ParsedRecord owns the bytes of a record and gives it as a value. Movable; the views of value()
// live as long as it does.
class ParsedRecord {
 public:
  // Parse is strict; the error says what is wrong and at which byte.
  static StatusOr<ParsedRecord> Parse(std::string_view bytes);
  const AnyRecord& value() const;
  // decision is null if the record is of another type.
  const DecisionRecord* decision() const { return std::get_if<DecisionRecord>(&value()); }
  // id is the decision's, or null for records that belong to none.
  const DecisionId* id() const;
  int64_t time_ns() const;

 private:
  struct State;
  struct StateDeleter {
    void operator()(State* state) const;
  };
  explicit ParsedRecord(std::unique_ptr<State, StateDeleter> state);
  std::unique_ptr<State, StateDeleter> state_;
};

// CheckRecord is Parse without keeping anything.
Status CheckRecord(std::string_view bytes);

// RecordClaims is in whose name a record speaks, as it says itself. The views are into its bytes.
struct RecordClaims {
  bool decision = false;            // If it is one: then it must name a node and a workload.
  std::optional<uint64_t> missing;  // If it is a gap: how many records.
  std::optional<EventKind> event;   // If it is an event.
  std::string_view node;            // Empty: it names none.
  // The workload whose proxy wrote it: the callee of a decision about somebody who comes, the
  // caller of one about an application that goes out. Empty: it names none.
  std::string_view workload;
  std::string_view program;  // Of an event.
};
// ReadClaims is CheckRecord that says what the record claims; for the collector.
StatusOr<RecordClaims> ReadClaims(std::string_view bytes);

// PeekId gives the type and id of a decision or completion from their fixed places, without looking
// at the rest; nothing for any other bytes.
struct PeekedId {
  enum class Type { kDecision, kCompletion };
  Type type = Type::kDecision;
  DecisionId id = {};
};
std::optional<PeekedId> PeekId(std::string_view bytes);

}  // namespace countersign::audit
