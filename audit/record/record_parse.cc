// Reads records back. The bytes come from another process or from a disk that somebody may have
// edited: every length is checked against what is left before anything is made of it.
#include <limits>

#include "audit/record/decision_record.h"
#include "audit/record/record_codec.h"

namespace countersign::audit {

// State owns the bytes and the lists that the parsed value's spans point into.
struct ParsedRecord::State {
  std::string bytes;
  std::vector<std::string_view> matched;
  std::vector<authz::NameValue> headers;
  std::vector<PolicyVersion> policies;
  AnyRecord value;
};

void ParsedRecord::StateDeleter::operator()(State* state) const { delete state; }

namespace {

bool IsValid(authz::RequestKind v) { return v <= authz::RequestKind::kTcp; }
bool IsValid(SubjectKind v) { return v <= SubjectKind::kLocalCaller; }
bool IsValid(authz::Effect v) { return v <= authz::Effect::kAllow; }
bool IsValid(authz::Reason v) { return authz::ReasonName(v) != "unknown"; }
bool IsValid(authz::Field v) { return static_cast<size_t>(v) < authz::kFieldCount; }
bool IsValid(EventKind v) { return EventKindName(v) != "unknown"; }

// Lists is where the decoder keeps list elements; the collector, which only checks, has none.
struct Lists {
  std::vector<std::string_view>& matched;
  std::vector<authz::NameValue>& headers;
  std::vector<PolicyVersion>& policies;
};

class RecordDecoder {
 public:
  RecordDecoder(std::string_view bytes, Lists* lists) : bytes_(bytes), lists_(lists) {}

  Status Finish() {
    if (error_ == nullptr && at_ != bytes_.size()) {
      error_ = "bytes after the end";
    }
    return error_ == nullptr ? absl::OkStatus()
                             : InvalidArgument("audit record: ", error_, " at byte ", at_);
  }
  void Fail(const char* error) {
    if (error_ == nullptr) {
      error_ = error;
    }
  }
  uint8_t Byte() {
    std::string_view one = Raw(1);
    return one.empty() ? uint8_t{0} : static_cast<uint8_t>(one[0]);
  }

  template <class Enum>
  void Choice(Enum& value) {
    auto read = static_cast<Enum>(Byte());
    if (error_ == nullptr && !IsValid(read)) {
      Fail("a value out of range");
      return;
    }
    value = read;
  }
  template <class Integer>
  void Number(Integer& value) {
    uint64_t result = 0;
    for (unsigned shift = 0;; shift += 7) {
      uint8_t byte = Byte();
      if (shift == 63 && byte > 1) {
        return Fail("a number over 64 bits");
      }
      result |= uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80) != 0) {
        continue;
      }
      if (byte == 0 && shift != 0) {
        return Fail("a number not in its shortest form");
      }
      break;
    }
    if (result > std::numeric_limits<Integer>::max()) {
      return Fail("a number out of range");
    }
    value = static_cast<Integer>(result);
  }
  void Time(int64_t& value) {
    std::string_view raw = Raw(sizeof(value));
    if (!raw.empty()) {
      std::memcpy(&value, raw.data(), sizeof(value));
    }
  }
  template <size_t N>
  void Bytes(std::array<uint8_t, N>& bytes) {
    std::string_view raw = Raw(N);
    if (!raw.empty()) {
      std::memcpy(bytes.data(), raw.data(), N);
    }
  }
  void Text(std::string_view& text, size_t bytes_max = RecordLimits::kTextBytesMax) {
    size_t size = 0;
    Number(size);
    if (size > bytes_max) {
      return Fail("a text over its limit");
    }
    text = Raw(size);
  }
  void Address(std::optional<authz::IpAddress>& address) {
    uint8_t present = Byte();
    if (present > 1) {
      return Fail("a value out of range");
    }
    if (present == 1) {
      Bytes(address.emplace().bytes);
    }
  }
  void Matched(std::span<const std::string_view>& names, uint32_t& total) {
    size_t count = Count(RecordLimits::kMatchedMax);
    for (size_t i = 0; i < count && error_ == nullptr; ++i) {
      std::string_view name;
      Text(name);
      if (lists_ != nullptr) {
        lists_->matched.push_back(name);
      }
    }
    Number(total);
    if (total < count) {
      Fail("a wrong number of matched rules");
    }
    if (lists_ != nullptr) {
      names = lists_->matched;
    }
  }
  void Headers(std::span<const authz::NameValue>& headers) {
    size_t count = Count(RecordLimits::kHeadersMax);
    for (size_t i = 0; i < count && error_ == nullptr; ++i) {
      authz::NameValue header;
      Text(header.name);
      Text(header.value);
      if (lists_ != nullptr) {
        lists_->headers.push_back(header);
      }
    }
    if (lists_ != nullptr) {
      headers = lists_->headers;
    }
  }
  void Policies(std::span<const PolicyVersion>& policies) {
    size_t count = Count(RecordLimits::kPoliciesMax);
    for (size_t i = 0; i < count && error_ == nullptr; ++i) {
      PolicyVersion policy;
      Text(policy.set);
      Number(policy.version);
      Bytes(policy.digest);
      if (lists_ != nullptr) {
        lists_->policies.push_back(policy);
      }
    }
    if (lists_ != nullptr) {
      policies = lists_->policies;
    }
  }

 private:
  size_t Count(size_t max) {
    size_t count = 0;
    Number(count);
    if (count > max) {
      Fail("a list over its limit");
      return 0;
    }
    return error_ == nullptr ? count : 0;
  }
  std::string_view Raw(size_t size) {
    if (error_ != nullptr || size > bytes_.size() - at_) {
      Fail("an early end");
      return {};
    }
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }

  std::string_view bytes_;
  Lists* lists_;
  size_t at_ = 0;
  const char* error_ = nullptr;
};

Status Decode(std::string_view bytes, Lists* lists, AnyRecord& value) {
  if (bytes.size() > RecordLimits::kRecordBytesMax) {
    return InvalidArgument("audit record: over the limit of ", RecordLimits::kRecordBytesMax,
                           " bytes");
  }
  RecordDecoder decoder(bytes, lists);
  if (decoder.Byte() != kFormatVersion) {
    decoder.Fail("an unknown version");
    return decoder.Finish();
  }
  switch (static_cast<RecordType>(decoder.Byte())) {
    case RecordType::kDecision:
      DecisionFields(decoder, value.emplace<DecisionRecord>());
      return decoder.Finish();
    case RecordType::kCompletion:
      CompletionFields(decoder, value.emplace<CompletionRecord>());
      return decoder.Finish();
    case RecordType::kGap:
      GapFields(decoder, value.emplace<GapRecord>());
      return decoder.Finish();
    case RecordType::kEvent:
      EventFields(decoder, value.emplace<EventRecord>());
      return decoder.Finish();
  }
  decoder.Fail("an unknown type");
  return decoder.Finish();
}

}  // namespace

ParsedRecord::ParsedRecord(std::unique_ptr<State, StateDeleter> state) : state_(std::move(state)) {}

StatusOr<ParsedRecord> ParsedRecord::Parse(std::string_view bytes) {
  std::unique_ptr<State, StateDeleter> state(new State);
  state->bytes = bytes;
  Lists lists = {state->matched, state->headers, state->policies};
  RETURN_IF_ERROR(Decode(state->bytes, &lists, state->value));
  return ParsedRecord(std::move(state));
}

const AnyRecord& ParsedRecord::value() const { return state_->value; }

const DecisionId* ParsedRecord::id() const {
  if (const auto* decision = std::get_if<DecisionRecord>(&state_->value)) {
    return &decision->id;
  }
  if (const auto* completion = std::get_if<CompletionRecord>(&state_->value)) {
    return &completion->id;
  }
  return nullptr;
}

int64_t ParsedRecord::time_ns() const {
  if (const auto* gap = std::get_if<GapRecord>(&state_->value)) {
    return gap->last_ns;
  }
  return std::visit(
      [](const auto& record) -> int64_t {
        if constexpr (requires { record.time_ns; }) {
          return record.time_ns;
        } else {
          return 0;
        }
      },
      state_->value);
}

Status CheckRecord(std::string_view bytes) {
  AnyRecord value;
  return Decode(bytes, nullptr, value);
}

StatusOr<RecordClaims> ReadClaims(std::string_view bytes) {
  AnyRecord value;
  RETURN_IF_ERROR(Decode(bytes, nullptr, value));
  RecordClaims claims;
  if (const auto* decision = std::get_if<DecisionRecord>(&value)) {
    claims.decision = true;
    claims.node = decision->node;
    claims.workload =
        decision->subject == SubjectKind::kLocalCaller ? decision->caller : decision->callee;
  } else if (const auto* gap = std::get_if<GapRecord>(&value)) {
    claims.missing = gap->count;
  } else if (const auto* event = std::get_if<EventRecord>(&value)) {
    claims.event = event->kind;
    claims.node = event->node;
    claims.workload = event->text;
    claims.program = event->program;
  }
  return claims;
}

std::optional<PeekedId> PeekId(std::string_view bytes) {
  constexpr size_t kIdAt = 2;  // After version and type.
  PeekedId peeked;
  if (bytes.size() < kIdAt + peeked.id.size() || static_cast<uint8_t>(bytes[0]) != kFormatVersion) {
    return std::nullopt;
  }
  switch (static_cast<RecordType>(bytes[1])) {
    case RecordType::kDecision:
      peeked.type = PeekedId::Type::kDecision;
      break;
    case RecordType::kCompletion:
      peeked.type = PeekedId::Type::kCompletion;
      break;
    default:
      return std::nullopt;
  }
  std::memcpy(peeked.id.data(), bytes.data() + kIdAt, peeked.id.size());
  return peeked;
}

}  // namespace countersign::audit
