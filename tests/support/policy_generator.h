// PolicyGenerator draws policies and requests from a seed, close to each other: values lie on the
// borders of the patterns that the rules hold, so that most comparisons are near misses or hits.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "authz/model/policy.h"
#include "authz/model/request.h"

namespace countersign::authz::testing {

// OwnedRequest keeps the bytes that its view() borrows.
struct OwnedRequest {
  RequestKind kind = RequestKind::kHttp;
  std::string callee, caller, sni, method, path, host;
  std::optional<IpAddress> peer_ip;
  uint16_t port = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::pair<std::string, std::string>> query;
  std::vector<std::pair<std::string, std::string>> claims;

  // Valid while this object is neither changed nor moved.
  const CanonicalRequest& view();
  std::string Describe() const;

 private:
  CanonicalRequest view_;
  std::vector<NameValue> header_views_;
  std::vector<NameValue> query_views_;
  std::vector<NameValue> claim_views_;
};

class PolicyGenerator {
 public:
  // Claims are drawn on demand, because not everything that reads policies reads them.
  enum class Claims { kNone, kDrawn };
  explicit PolicyGenerator(uint64_t seed, Claims claims = Claims::kNone)
      : random_(seed), claims_(claims) {}

  // One to four sets of a few policies, one of them a guardrail at times. Every construct of the
  // language occurs.
  std::vector<std::shared_ptr<const PolicySet>> Sets();
  OwnedRequest Request();
  // A time around the dates that the policies name.
  WallTime Now();

 private:
  size_t Below(size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random_);
  }
  bool Chance(int percent) { return Below(100) < static_cast<size_t>(percent); }
  template <class List>
  auto Pick(const List& list) {
    return list[Below(std::size(list))];
  }

  std::string Method();
  Matcher IdMatcher();
  Matcher PathMatcher();
  Matcher WordMatcher(const std::vector<std::string>& words);
  Matcher CalleeMatcher();
  Condition FieldCondition(Field field);
  std::vector<Condition> Conditions(const std::vector<Field>& fields, size_t count_max);
  Entry FromEntry();
  Entry ToEntry();
  Rule NewRule(const std::string& name, bool guardrail);
  AccessPolicy NewPolicy(const std::string& name, bool guardrail);
  std::string Mutate(std::string value);

  std::mt19937_64 random_;
  Claims claims_;
  bool hard_ = false;  // Texts of the policy being drawn are patterns for automata.
};

}  // namespace countersign::authz::testing
