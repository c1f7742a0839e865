// Judge evaluates what a box still asks, when it has been found: the checks behind it. Part of
// deciding; used by decide.cc alone.
#pragma once

#include "authz/engine/program.h"

namespace countersign::authz::engine {

inline std::string_view ConnectionValue(const CanonicalRequest& request, Field field) {
  switch (field) {
    case Field::kId:
      return request.caller;
    case Field::kTrustDomain:
      return TrustDomainOf(request.caller);
    case Field::kSni:
      return request.sni;
    default:
      return {};
  }
}

// Judge evaluates boxes of one half against one request. The request's keys are counted when the
// first one is asked for.
class Judge {
 public:
  Judge(const Program& program, const CanonicalRequest& request, ScratchState& scratch)
      : program_(program),
        half_(program.half(request.kind)),
        request_(request),
        scratch_(scratch) {}
  // Before the first RequestHolds.
  void ReadMethod() {
    if (request_.kind == RequestKind::kHttp) {
      method_bit_ = MethodBit();
    }
  }

  bool ConnectionHolds(const Box& box) const {
    const Check* checks = box.checks();
    return All(box, checks, checks + box.connection_checks, false);
  }

  // The rest of a box whose connection checks hold, or are judged here too.
  bool RequestHolds(const Box& box, bool key_judged) const {
    if (box.asks_method && (box.methods & method_bit_) == 0) {
      return false;
    }
    const Check* at = box.checks() + box.connection_checks;
    const Check* exceptions = at + box.request_checks;
    if (!All(box, at, exceptions, key_judged)) {
      return false;
    }
    return box.exception_checks == 0 || !Excepted(box, exceptions);
  }

  uint32_t CountOf(uint16_t slot) const {
    ReadKeys();
    return scratch_.slots[slot].count;
  }

  // The value of a coordinate of the request that has an index; false if absent.
  bool RequestValue(Field field, uint16_t slot, std::string_view* value) const {
    switch (field) {
      case Field::kMethod:
        *value = request_.method;
        return !value->empty();
      case Field::kPath:
        *value = request_.path;
        return !value->empty();
      case Field::kHost:
        *value = request_.host;
        return !value->empty();
      case Field::kHeader:
      case Field::kQuery:
      case Field::kClaim: {
        ReadKeys();
        const ScratchState::Slot& found = scratch_.slots[slot];
        if (found.count == 0) {
          return false;
        }
        *value = Lines(field)[found.first].value;
        return true;
      }
      default:
        *value = ConnectionValue(request_, field);
        return !value->empty();
    }
  }

 private:
  std::span<const NameValue> Lines(Field field) const {
    return field == Field::kHeader  ? request_.headers
           : field == Field::kQuery ? request_.query
                                    : request_.claims;
  }

  // Counts the named keys of the request, once.
  void ReadKeys() const {
    if (keys_read_) {
      return;
    }
    keys_read_ = true;
    for (uint16_t slot : scratch_.slots_used) {
      scratch_.slots[slot] = {};
    }
    scratch_.slots_used.clear();
    CountKeys(half_.headers, request_.headers);
    CountKeys(half_.queries, request_.query);
    CountKeys(half_.claims, request_.claims);
  }

  void CountKeys(const KeySlots& keys, std::span<const NameValue> lines) const {
    if (keys.filter == 0) {
      return;
    }
    uint32_t number = 0;
    for (const NameValue& line : lines) {
      if (uint16_t slot = 0; keys.Find(line.name, &slot)) {
        ScratchState::Slot& seen = scratch_.slots[slot];
        if (seen.count++ == 0) {
          seen.first = number;
          scratch_.slots_used.push_back(slot);
        }
      }
      ++number;
    }
  }

  uint64_t MethodBit() const {
    uint64_t bit = 1;
    if (uint64_t word = Half::MethodWord(request_.method); word != 0) {
      for (uint64_t known : half_.method_words) {
        if (known == word) {
          return bit;
        }
        bit <<= 1;
      }
      return 0;
    }
    for (const std::string& method : half_.methods) {
      if (method == request_.method) {
        return bit;
      }
      bit <<= 1;
    }
    return 0;
  }

  bool All(const Box& box, const Check* at, const Check* end, bool key_judged) const {
    for (; at != end; ++at) {
      if (!(key_judged && at->is_key) && !Holds(box, *at)) {
        return false;
      }
    }
    return true;
  }

  // Whether all checks of some exception hold.
  bool Excepted(const Box& box, const Check* at) const {
    const Check* end = at + box.exception_checks;
    while (at != end) {
      const Check* stop = at;
      while (!stop->ends) {
        ++stop;
      }
      if (All(box, at, stop + 1, false)) {
        return true;
      }
      at = stop + 1;
    }
    return false;
  }

  bool Holds(const Box& box, const Check& check) const {
    switch (check.kind) {
      case Check::Kind::kMethods:
        return request_.method.empty() ? check.on_absent
                                       : (half_.method_masks[check.predicate] & method_bit_) != 0;
      case Check::Kind::kIp:
        return request_.peer_ip ? half_.ips[check.predicate].Matches(*request_.peer_ip)
                                : check.on_absent;
      case Check::Kind::kPort:
        return request_.port != 0 ? half_.ports[check.predicate].Matches(request_.port)
                                  : check.on_absent;
      case Check::Kind::kAuthenticated:
        return !request_.caller.empty();
      case Check::Kind::kMesh: {
        std::string_view domain = TrustDomainOf(request_.caller);
        return !domain.empty() && domain == TrustDomainOf(request_.callee);
      }
      case Check::Kind::kText:
      case Check::Kind::kOneText:
        break;
    }
    std::string_view value;
    if (!RequestValue(check.field, check.slot, &value)) {
      bool without_token = check.field == Field::kClaim && request_.claims.empty();
      return without_token ? check.on_no_token : check.on_absent;
    }
    return check.many && CountOf(check.slot) > 1 ? ManyHold(box, check)
                                                 : Matches(box, check, value, true);
  }

  // All lines of the key, or any of them.
  bool ManyHold(const Box& box, const Check& check) const {
    std::span<const NameValue> lines = Lines(check.field);
    std::string_view name = lines[scratch_.slots[check.slot].first].name;
    for (uint32_t i = scratch_.slots[check.slot].first; i < lines.size(); ++i) {
      if (lines[i].name == name && Matches(box, check, lines[i].value, false) != check.all_values) {
        return !check.all_values;
      }
    }
    return check.all_values;
  }

  bool Matches(const Box& box, const Check& check, std::string_view value, bool remember) const {
    if (check.kind == Check::Kind::kOneText) {
      return MatchesOne(box, check, value, remember);
    }
    return half_.texts[check.predicate].Matches(value, program_.patterns, scratch_.lookup,
                                                remember);
  }

  bool MatchesOne(const Box& box, const Check& check, std::string_view value, bool remember) const {
    std::string_view text = box.text(check);
    switch (check.matcher) {
      case Matcher::Kind::kExact:
        return value == text;
      case Matcher::Kind::kUnder:
        return MatchesUnder(text, value);
      case Matcher::Kind::kPrefix:
        return value.starts_with(text);
      case Matcher::Kind::kSuffix:
        return value.ends_with(text);
      case Matcher::Kind::kTemplate:
        return MatchesTemplate(text, value);
      case Matcher::Kind::kRe2:
        return remember ? program_.patterns.Matches(check.predicate, value, scratch_.lookup.memo)
                        : program_.patterns.Matches(check.predicate, value);
      default:
        return false;
    }
  }

  const Program& program_;
  const Half& half_;
  const CanonicalRequest& request_;
  ScratchState& scratch_;
  uint64_t method_bit_ = 0;
  mutable bool keys_read_ = false;
};

}  // namespace countersign::authz::engine
