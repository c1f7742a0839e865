// The nearest miss is found by reading the policy as it is written, field by field, over the boxes
// that the compiler made of it.
#include "authz/engine/explain.h"

#include <algorithm>
#include <memory>

#include "authz/engine/explain_text.h"
#include "authz/engine/lower.h"
#include "authz/engine/predicate.h"
#include "authz/engine/program.h"

namespace countersign::authz {
namespace {

using engine::LoweredBox;

// Failure is why one box does not match.
struct Failure {
  size_t count = 0;  // Failed conditions.
  Field field = Field::kId;
  const Condition* first = nullptr;
  bool subject = false;  // The word form of `from` failed.
  bool excepted = false;
  Subject word = Subject::kEntries;
};

// Reader evaluates conditions one by one, as the semantics say them for an allow.
class Reader {
 public:
  explicit Reader(const CanonicalRequest& request) : request_(request), patterns_(EngineLimits()) {}

  bool Matches(const std::vector<Matcher>& any_of, std::string_view value) {
    return std::any_of(any_of.begin(), any_of.end(),
                       [&](const Matcher& matcher) { return Matches(matcher, value); });
  }

  // In an exception, what cannot be judged counts as true.
  bool Holds(const Condition& condition, bool excepting) {
    auto presence = [&](bool present, auto matches) {
      bool unknown = false;
      for (const Matcher& matcher : condition.any_of) {
        if (matcher.kind == Matcher::Kind::kPresent || matcher.kind == Matcher::Kind::kAbsent) {
          if ((matcher.kind == Matcher::Kind::kPresent) == present) {
            return true;
          }
        } else if (!present) {
          unknown = true;
        } else if (matches(matcher)) {
          return true;
        }
      }
      return unknown && excepting;
    };
    if (condition.field == Field::kPeerIp) {
      return presence(request_.peer_ip.has_value(), [&](const Matcher& matcher) {
        return engine::IpPredicate({matcher}).Matches(*request_.peer_ip);
      });
    }
    if (condition.field == Field::kPort) {
      return presence(request_.port != 0,
                      [&](const Matcher& matcher) { return matcher.port == request_.port; });
    }
    if (condition.field == Field::kClaim && request_.claims.empty()) {
      // Without a verified token no claim is known, not even to be absent.
      return excepting && presence(false, [](const Matcher&) { return false; });
    }
    std::vector<std::string_view> values = engine::ValuesOf(request_, condition);
    if (values.empty()) {
      return presence(false, [](const Matcher&) { return false; });
    }
    auto holds = [&](std::string_view value) {
      return presence(true, [&](const Matcher& matcher) { return Matches(matcher, value); });
    };
    return excepting || condition.field == Field::kClaim
               ? std::any_of(values.begin(), values.end(), holds)
               : std::all_of(values.begin(), values.end(), holds);
  }

  Failure Judge(const LoweredBox& box) {
    Failure failure;
    failure.word = box.subject;
    if (Field field = Field::kId; !SubjectHolds(box.subject, &field)) {
      failure.count = 1;
      failure.subject = true;
      failure.field = field;
    }
    for (const Condition& condition : box.all_of) {
      if (Holds(condition, false)) {
        continue;
      }
      if (failure.count++ == 0 || condition.field < failure.field) {
        failure.first = &condition;
        failure.field = condition.field;
        failure.subject = false;
      }
    }
    for (const std::vector<Condition>& exception : box.except) {
      bool excepted =
          std::all_of(exception.begin(), exception.end(),
                      [&](const Condition& condition) { return Holds(condition, true); });
      if (excepted && (failure.count++ == 0 || exception.front().field < failure.field)) {
        failure.first = &exception.front();
        failure.field = exception.front().field;
        failure.excepted = true;
        failure.subject = false;
      }
    }
    return failure;
  }

 private:
  bool SubjectHolds(Subject subject, Field* field) const {
    std::string_view domain = engine::TrustDomainOf(request_.caller);
    *field = subject == Subject::kMesh && !domain.empty() ? Field::kTrustDomain : Field::kId;
    switch (subject) {
      case Subject::kAuthenticated:
        return !request_.caller.empty();
      case Subject::kMesh:
        return !domain.empty() && domain == engine::TrustDomainOf(request_.callee);
      default:
        return true;
    }
  }

  bool Matches(const Matcher& matcher, std::string_view value) {
    switch (matcher.kind) {
      case Matcher::Kind::kExact:
        return value == matcher.text;
      case Matcher::Kind::kUnder:
        return engine::MatchesUnder(matcher.text, value);
      case Matcher::Kind::kPrefix:
        return value.starts_with(matcher.text);
      case Matcher::Kind::kSuffix:
        return value.ends_with(matcher.text);
      case Matcher::Kind::kTemplate:
        return engine::MatchesTemplate(matcher.text, value);
      case Matcher::Kind::kRe2: {
        StatusOr<uint32_t> number = patterns_.Add("", matcher.text);
        return number.ok() && patterns_.Matches(*number, value);
      }
      default:
        return matcher.kind == Matcher::Kind::kPresent;
    }
  }

  const CanonicalRequest& request_;
  engine::PatternStore patterns_;
};

// Miss is the best failure so far, with the box that its condition lies in.
struct Miss {
  uint32_t rule = kNoRule;
  std::shared_ptr<const std::vector<LoweredBox>> boxes;
  Failure failure;
};

bool Nearer(const Failure& a, const Failure& b) {
  return a.count != b.count ? a.count < b.count : a.field > b.field;
}

bool Guards(const PolicySet& set, const AccessPolicy& policy, std::string_view callee,
            Reader& reader) {
  return !policy.dry_run && !callee.empty() &&
         reader.Matches(std::vector<Matcher>{set.scope}, callee) &&
         (policy.applies_to_all || reader.Matches(policy.applies_to, callee));
}

Miss FindMiss(const PolicySets& sets, const CanonicalRequest& request, WallTime now) {
  Reader reader(request);
  Miss nearest;
  uint32_t number = 0;
  for (const auto& set : sets) {
    for (const AccessPolicy& policy : set->policies) {
      uint32_t first_rule = number;
      number += static_cast<uint32_t>(policy.rules.size());
      if (!Guards(*set, policy, request.callee, reader)) {
        continue;
      }
      for (uint32_t i = 0; i < policy.rules.size(); ++i) {
        const Rule& rule = policy.rules[i];
        if (rule.effect != Effect::kAllow || (rule.expires && now >= *rule.expires)) {
          continue;
        }
        auto lowered = engine::LowerRule(rule, request.kind, EngineLimits());
        if (!lowered.ok()) {
          continue;
        }
        auto boxes = std::make_shared<const std::vector<LoweredBox>>(*std::move(lowered));
        if (boxes->empty()) {
          Failure failure{.count = 2, .field = Field::kProtocol};
          if (nearest.rule == kNoRule || Nearer(failure, nearest.failure)) {
            nearest = {.rule = first_rule + i, .boxes = boxes, .failure = failure};
          }
        }
        for (const LoweredBox& box : *boxes) {
          Failure failure = reader.Judge(box);
          if (failure.count == 0) {
            return {};  // An allow matched: what it met is a deny, not a miss.
          }
          if (nearest.rule == kNoRule || Nearer(failure, nearest.failure)) {
            nearest = {.rule = first_rule + i, .boxes = boxes, .failure = failure};
          }
        }
      }
    }
  }
  return nearest;
}

std::string KeyOf(const Failure& failure) {
  return failure.first != nullptr ? failure.first->key : std::string();
}

std::string ExpectedOf(const Failure& failure) {
  if (failure.field == Field::kProtocol) {
    return "another kind of connection";
  }
  if (failure.subject || failure.first == nullptr) {
    return failure.word == Subject::kMesh ? "an identity of the workload's own trust domain"
                                          : "a verified identity";
  }
  std::string expected = DescribePredicate(failure.first->any_of);
  return failure.excepted ? Concat("not ", expected) : expected;
}

std::string ActualOf(const Failure& failure, const CanonicalRequest& request) {
  Condition condition;
  condition.field = failure.field;
  if (failure.first != nullptr) {
    condition.key = failure.first->key;
  }
  return DescribeActual(request, condition);
}

}  // namespace

NearestMiss FindNearestMiss(const CompiledPolicy& policy, const CanonicalRequest& request,
                            WallTime now) {
  Miss miss = FindMiss(policy.sets(), request, now);
  NearestMiss nearest;
  if (miss.rule == kNoRule) {
    return nearest;
  }
  nearest.rule = miss.rule;
  nearest.field = miss.failure.field;
  nearest.key = policy.InternedKey(miss.failure.field, KeyOf(miss.failure));
  return nearest;
}

RuleReference Reference(const CompiledPolicy& policy, uint32_t rule) {
  RuleReference reference;
  std::string name = policy.RuleName(rule);
  size_t first = name.find('/');
  size_t second = name.find('/', first + 1);
  reference.set = name.substr(0, first);
  reference.policy = name.substr(first + 1, second - first - 1);
  reference.rule = name.substr(second + 1);
  reference.set_digest = policy.RuleSet(rule).digest;
  reference.where = policy.RuleWhere(rule);
  return reference;
}

Explanation Explain(const CompiledPolicy& policy, const CanonicalRequest& request, WallTime now,
                    const Decision& decision) {
  Explanation explanation;
  explanation.effect = decision.effect;
  explanation.reason = decision.reason;
  explanation.would_be = decision.would_be;
  explanation.policy_digest = policy.digest();
  if (decision.deciding_rule != kNoRule) {
    explanation.deciding = Reference(policy, decision.deciding_rule);
  }
  for (uint32_t rule : decision.matched) {
    explanation.matched.push_back(Reference(policy, rule));
  }
  // The other reasons refuse whatever the rules say.
  bool by_rules = decision.reason == Reason::kNoRuleMatched || decision.reason == Reason::kDenyRule;
  if (decision.effect == Effect::kDeny && by_rules) {
    Miss miss = FindMiss(policy.sets(), request, now);
    if (miss.rule != kNoRule) {
      explanation.nearest_miss = MissReport{.rule = Reference(policy, miss.rule),
                                            .field = miss.failure.field,
                                            .key = KeyOf(miss.failure),
                                            .expected = ExpectedOf(miss.failure),
                                            .actual = ActualOf(miss.failure, request)};
    }
  }
  return explanation;
}

}  // namespace countersign::authz
