// The byte form of audit records: one list of fields a record type, walked by an encoder and by a
// strict decoder, so that the two cannot differ. Only the record sources include this file.
//
// Numbers are unsigned LEB128 in their shortest form, times 8 bytes little-endian, texts a length
// and bytes. A record begins with the format's version and its type.
#pragma once

#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "audit/record/decision_record.h"

namespace countersign::audit {

inline constexpr uint8_t kFormatVersion = 1;
enum class RecordType : uint8_t { kDecision = 1, kCompletion = 2, kGap = 3, kEvent = 4 };

// RecordEncoder writes into a fixed span; ok() is false once anything did not fit or broke a limit.
class RecordEncoder {
 public:
  RecordEncoder(RecordType type, std::span<char> out) : out_(out) {
    Byte(kFormatVersion);
    Byte(static_cast<uint8_t>(type));
  }
  size_t used() const { return ok_ ? at_ : 0; }

  template <class Enum>
  void Choice(const Enum& value) {
    Byte(static_cast<uint8_t>(value));
  }
  template <class Integer>
  void Number(const Integer& value) {
    auto rest = static_cast<uint64_t>(value);
    while (rest >= 0x80) {
      Byte(static_cast<uint8_t>(rest | 0x80));
      rest >>= 7;
    }
    Byte(static_cast<uint8_t>(rest));
  }
  void Time(const int64_t& value) { Raw({reinterpret_cast<const char*>(&value), sizeof(value)}); }
  template <size_t N>
  void Bytes(const std::array<uint8_t, N>& bytes) {
    Raw({reinterpret_cast<const char*>(bytes.data()), N});
  }
  void Text(const std::string_view& text, size_t bytes_max = RecordLimits::kTextBytesMax) {
    ok_ = ok_ && text.size() <= bytes_max;
    Number(text.size());
    Raw(text);
  }
  void Address(const std::optional<authz::IpAddress>& address) {
    Byte(address.has_value() ? 1 : 0);
    if (address.has_value()) {
      Bytes(address->bytes);
    }
  }
  void Matched(const std::span<const std::string_view>& names, const uint32_t& total) {
    auto kept = names.first(std::min(names.size(), RecordLimits::kMatchedMax));
    Number(kept.size());
    for (std::string_view name : kept) {
      Text(name);
    }
    Number(std::max<size_t>(total, names.size()));
  }
  void Headers(const std::span<const authz::NameValue>& headers) {
    ok_ = ok_ && headers.size() <= RecordLimits::kHeadersMax;
    Number(headers.size());
    for (const authz::NameValue& header : headers) {
      Text(header.name);
      Text(header.value);
    }
  }
  void Policies(const std::span<const PolicyVersion>& policies) {
    ok_ = ok_ && policies.size() <= RecordLimits::kPoliciesMax;
    Number(policies.size());
    for (const PolicyVersion& policy : policies) {
      Text(policy.set);
      Number(policy.version);
      Bytes(policy.digest);
    }
  }

 private:
  void Byte(uint8_t byte) {
    char c = static_cast<char>(byte);
    Raw({&c, 1});
  }
  void Raw(std::string_view bytes) {
    if (!ok_ || bytes.size() > out_.size() - at_) {
      ok_ = false;
      return;
    }
    if (!bytes.empty()) {
      std::memcpy(out_.data() + at_, bytes.data(), bytes.size());
      at_ += bytes.size();
    }
  }

  std::span<char> out_;
  size_t at_ = 0;
  bool ok_ = true;
};

// The field lists. Archive is RecordEncoder (const records) or RecordDecoder.
template <class Archive, class Record>
void DecisionFields(Archive& a, Record& r) {
  a.Bytes(r.id);
  a.Bytes(r.parent);
  a.Bytes(r.trace_id);
  a.Time(r.time_ns);
  a.Text(r.node);
  a.Text(r.service);
  a.Text(r.listener);
  a.Number(r.connection_id);
  a.Choice(r.kind);
  a.Choice(r.subject);
  a.Text(r.caller);
  a.Text(r.caller_serial);
  a.Number(r.caller_uid);
  a.Text(r.callee);
  a.Address(r.peer_ip);
  a.Number(r.port);
  a.Text(r.sni);
  a.Text(r.method);
  a.Text(r.host);
  a.Text(r.path);
  a.Headers(r.headers);
  a.Choice(r.effect);
  a.Choice(r.reason);
  a.Choice(r.would_be);
  a.Text(r.rule);
  a.Matched(r.matched, r.matched_total);
  a.Text(r.nearest_rule);
  a.Choice(r.nearest_field);
  a.Text(r.nearest_key);
  a.Policies(r.policies);
}

template <class Archive, class Record>
void CompletionFields(Archive& a, Record& r) {
  a.Bytes(r.id);
  a.Time(r.time_ns);
  a.Number(r.status);
  a.Number(r.bytes_in);
  a.Number(r.bytes_out);
  a.Number(r.duration_ns);
  a.Text(r.upstream, RecordLimits::kUpstreamBytesMax);
  a.Text(r.cut_reason, RecordLimits::kCutReasonBytesMax);
}

template <class Archive, class Record>
void GapFields(Archive& a, Record& r) {
  a.Number(r.count);
  a.Time(r.first_ns);
  a.Time(r.last_ns);
}

template <class Archive, class Record>
void EventFields(Archive& a, Record& r) {
  a.Choice(r.kind);
  a.Time(r.time_ns);
  a.Text(r.program);
  a.Text(r.node);
  a.Text(r.text);
  a.Policies(r.policies);
}

}  // namespace countersign::audit
