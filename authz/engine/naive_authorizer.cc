// Each function below is one sentence of the policy language's semantics (docs/policy.md).
#include "authz/engine/naive_authorizer.h"

#include <algorithm>

#include "authz/engine/regex.h"
#include "authz/engine/validate.h"

namespace countersign::authz {

class NaiveAuthorizer::Patterns {
 public:
  Status Add(const std::string& pattern) {
    ASSIGN_OR_RETURN(patterns_[pattern], engine::CompilePattern(pattern, EngineLimits()));
    return absl::OkStatus();
  }
  bool Match(const std::string& pattern, std::string_view value) const {
    return RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *patterns_.at(pattern));
  }

 private:
  std::map<std::string, std::unique_ptr<const RE2>> patterns_;
};

namespace {

using Patterns = std::function<bool(const std::string& pattern, std::string_view value)>;

// A predicate on an absent value is neither true nor false.
enum class Truth { kFalse, kUnknown, kTrue };

// What a condition stands in decides which way the unknown falls.
struct Context {
  const CanonicalRequest& request;
  const Patterns& patterns;
  Effect effect;
};

std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> segments;
  for (size_t at = 0; at != std::string_view::npos;) {
    size_t slash = path.find('/', at);
    segments.push_back(path.substr(at, slash == std::string_view::npos ? slash : slash - at));
    at = slash == std::string_view::npos ? slash : slash + 1;
  }
  return segments;
}

bool MatchesTemplate(std::string_view pattern, std::string_view path) {
  std::vector<std::string_view> want = Segments(pattern);
  std::vector<std::string_view> have = Segments(path);
  bool and_below = want.size() > 1 && want.back() == "**";
  if (and_below) {
    want.pop_back();
  }
  if (have.size() < want.size() || (have.size() > want.size() && !and_below)) {
    return false;
  }
  for (size_t i = 0; i < want.size(); ++i) {
    bool variable = want[i].starts_with('{') && want[i].ends_with('}');
    if (variable ? have[i].empty() : want[i] != have[i]) {
      return false;
    }
  }
  return true;
}

bool IsUnder(std::string_view border, std::string_view value) {
  if (value == border) {
    return true;
  }
  return value.starts_with(border) && (border.ends_with('/') || value[border.size()] == '/');
}

bool InRange(const IpRange& range, const IpAddress& address) {
  for (unsigned bit = 0; bit < range.prefix_bits; ++bit) {
    unsigned mask = 0x80U >> (bit % 8);
    if ((range.address[bit / 8] & mask) != (address.bytes[bit / 8] & mask)) {
      return false;
    }
  }
  return true;
}

bool MatchesText(const Matcher& matcher, std::string_view value, const Patterns& patterns) {
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
      return value == matcher.text;
    case Matcher::Kind::kUnder:
      return IsUnder(matcher.text, value);
    case Matcher::Kind::kPrefix:
      return value.starts_with(matcher.text);
    case Matcher::Kind::kSuffix:
      return value.ends_with(matcher.text);
    case Matcher::Kind::kRe2:
      return patterns(matcher.text, value);
    case Matcher::Kind::kTemplate:
      return MatchesTemplate(matcher.text, value);
    case Matcher::Kind::kPresent:
      return true;
    default:
      return false;
  }
}

std::string_view TrustDomainOf(std::string_view id) {
  constexpr std::string_view kScheme = "spiffe://";
  if (!id.starts_with(kScheme)) {
    return {};
  }
  id.remove_prefix(kScheme.size());
  return id.substr(0, id.find('/'));
}

std::vector<std::string_view> ValuesOf(const Condition& condition, const CanonicalRequest& r) {
  auto present = [](std::string_view value) {
    return value.empty() ? std::vector<std::string_view>() : std::vector{value};
  };
  auto lines = [&](std::span<const NameValue> list) {
    std::vector<std::string_view> values;
    for (const NameValue& line : list) {
      if (line.name == condition.key) {
        values.push_back(line.value);
      }
    }
    return values;
  };
  switch (condition.field) {
    case Field::kId:
      return present(r.caller);
    case Field::kTrustDomain:
      return present(TrustDomainOf(r.caller));
    case Field::kSni:
      return present(r.sni);
    case Field::kProtocol:
      return {r.kind == RequestKind::kHttp ? "http" : "tcp"};
    case Field::kMethod:
      return present(r.method);
    case Field::kPath:
      return present(r.path);
    case Field::kHost:
      return present(r.host);
    case Field::kHeader:
      return lines(r.headers);
    case Field::kQuery:
      return lines(r.query);
    case Field::kClaim:
      return lines(r.claims);
    default:
      return {};
  }
}

// The value is absent: only predicates about presence itself can be judged.
Truth JudgeAbsent(const Condition& condition) {
  bool unknown = false;
  for (const Matcher& matcher : condition.any_of) {
    if (matcher.kind == Matcher::Kind::kAbsent) {
      return Truth::kTrue;
    }
    unknown = unknown || matcher.kind != Matcher::Kind::kPresent;
  }
  return unknown ? Truth::kUnknown : Truth::kFalse;
}

enum class Place { kEntry, kExcept };

// Without a verified token nothing is known of its claims, not even that one is absent: only a deny
// that asks for absence applies.
Truth JudgeWithoutToken(const Condition& condition, Place place, Effect effect) {
  Truth truth = JudgeAbsent(condition);
  bool widens_a_deny = effect == Effect::kDeny && place == Place::kEntry;
  return truth == Truth::kTrue && !widens_a_deny ? Truth::kUnknown : truth;
}

Truth Judge(const Condition& condition, Place place, const Context& context) {
  const CanonicalRequest& r = context.request;
  auto any = [&](auto matches) {
    return std::any_of(condition.any_of.begin(), condition.any_of.end(), matches) ? Truth::kTrue
                                                                                  : Truth::kFalse;
  };
  if (condition.field == Field::kPeerIp) {
    return !r.peer_ip ? JudgeAbsent(condition) : any([&](const Matcher& m) {
      return m.kind == Matcher::Kind::kPresent ||
             (m.kind == Matcher::Kind::kIp && InRange(m.range, *r.peer_ip));
    });
  }
  if (condition.field == Field::kPort) {
    return r.port == 0 ? JudgeAbsent(condition) : any([&](const Matcher& m) {
      return m.kind == Matcher::Kind::kPresent ||
             (m.kind == Matcher::Kind::kPort && m.port == r.port);
    });
  }
  if (condition.field == Field::kClaim && r.claims.empty()) {
    return JudgeWithoutToken(condition, place, context.effect);
  }
  std::vector<std::string_view> values = ValuesOf(condition, r);
  if (values.empty()) {
    return JudgeAbsent(condition);
  }
  size_t matching = 0;
  for (std::string_view value : values) {
    matching += any([&](const Matcher& m) { return MatchesText(m, value, context.patterns); }) ==
                Truth::kTrue;
  }
  // `many`: an allow needs all values to match and a deny any; an `except` the other way round.
  // A claim with several values is a list: one that matches is enough everywhere.
  bool all = condition.field != Field::kClaim &&
             (context.effect == Effect::kAllow) == (place == Place::kEntry);
  return (all ? matching == values.size() : matching > 0) ? Truth::kTrue : Truth::kFalse;
}

bool HasHttpOnly(const std::vector<Condition>& conditions) {
  return std::any_of(conditions.begin(), conditions.end(),
                     [](const Condition& c) { return IsHttpOnly(c.field); });
}

// An unevaluable predicate is false wherever a rule asks for it.
bool AllHold(const std::vector<Condition>& conditions, const Context& context) {
  bool tcp = context.request.kind == RequestKind::kTcp;
  return std::all_of(conditions.begin(), conditions.end(), [&](const Condition& condition) {
    if (tcp && IsHttpOnly(condition.field)) {
      return context.effect == Effect::kDeny;  // Denies are wider, allows narrower.
    }
    return Judge(condition, Place::kEntry, context) == Truth::kTrue;
  });
}

// An unevaluable `except` excludes from an allow and saves nobody from a deny.
bool Excepted(const std::vector<Condition>& exception, const Context& context) {
  if (context.request.kind == RequestKind::kTcp && HasHttpOnly(exception)) {
    return context.effect == Effect::kAllow;
  }
  return std::all_of(exception.begin(), exception.end(), [&](const Condition& condition) {
    Truth truth = Judge(condition, Place::kExcept, context);
    return context.effect == Effect::kAllow ? truth != Truth::kFalse : truth == Truth::kTrue;
  });
}

bool EntryMatches(const Entry& entry, const Context& context) {
  return AllHold(entry.all_of, context) &&
         std::none_of(entry.except.begin(), entry.except.end(),
                      [&](const auto& exception) { return Excepted(exception, context); });
}

bool SubjectMatches(const Rule& rule, const CanonicalRequest& request) {
  switch (rule.subject) {
    case Subject::kAnyone:
      return true;
    case Subject::kAuthenticated:
      return !request.caller.empty();
    case Subject::kMesh:
      return !TrustDomainOf(request.caller).empty() &&
             TrustDomainOf(request.caller) == TrustDomainOf(request.callee);
    case Subject::kEntries:
      break;
  }
  return false;
}

bool RuleMatches(const Rule& rule, const CanonicalRequest& request, const Patterns& patterns) {
  Context context{request, patterns, rule.effect};
  auto matches = [&](const Entry& entry) { return EntryMatches(entry, context); };
  bool from = rule.subject == Subject::kEntries
                  ? std::any_of(rule.from.begin(), rule.from.end(), matches)
                  : SubjectMatches(rule, request);
  bool to = rule.to.empty() || std::any_of(rule.to.begin(), rule.to.end(), matches);
  return from && to && AllHold(rule.when, context);
}

// A named key that occurs more than once, without `many`, makes the request ambiguous.
bool NamesRepeatedKey(const Rule& rule, const CanonicalRequest& request) {
  auto repeated = [&](const std::vector<Condition>& conditions) {
    return std::any_of(conditions.begin(), conditions.end(), [&](const Condition& c) {
      return (c.field == Field::kHeader || c.field == Field::kQuery) && !c.many &&
             ValuesOf(c, request).size() > 1;
    });
  };
  auto entry_repeated = [&](const Entry& entry) {
    return repeated(entry.all_of) ||
           std::any_of(entry.except.begin(), entry.except.end(), repeated);
  };
  return request.kind == RequestKind::kHttp &&
         (repeated(rule.when) || std::any_of(rule.from.begin(), rule.from.end(), entry_repeated) ||
          std::any_of(rule.to.begin(), rule.to.end(), entry_repeated));
}

bool Guards(const PolicySet& set, const AccessPolicy& policy, std::string_view callee,
            const Patterns& patterns) {
  if (callee.empty() || !MatchesText(set.scope, callee, patterns)) {
    return false;
  }
  return policy.applies_to_all ||
         std::any_of(policy.applies_to.begin(), policy.applies_to.end(),
                     [&](const Matcher& m) { return MatchesText(m, callee, patterns); });
}

// Tally is what some of the policies say together: a deny wins, else an allow admits.
struct Tally {
  bool ambiguous = false;
  uint32_t first_deny = kNoRule;
  uint32_t first_allow = kNoRule;
  void Count(uint32_t number, Effect effect) {
    uint32_t& first = effect == Effect::kDeny ? first_deny : first_allow;
    first = std::min(first, number);
  }
  bool Allows() const { return !ambiguous && first_deny == kNoRule && first_allow != kNoRule; }
};

}  // namespace

StatusOr<NaiveAuthorizer> NaiveAuthorizer::Create(PolicySets sets) {
  RETURN_IF_ERROR(engine::ValidateSets(sets));
  auto compiled = std::make_unique<NaiveAuthorizer::Patterns>();
  for (const auto& set : sets) {
    RETURN_IF_ERROR(engine::ForEachPattern(
        *set, [&](const std::string& pattern) { return compiled->Add(pattern); }));
  }
  return NaiveAuthorizer(std::move(sets), std::move(compiled));
}

NaiveDecision NaiveAuthorizer::Decide(const CanonicalRequest& request, WallTime now) const {
  authz::Patterns match = [this](const std::string& pattern, std::string_view value) {
    return patterns_->Match(pattern, value);
  };
  NaiveDecision decision;
  Tally enforced;
  Tally with_trials;
  bool guarded = false;
  bool lets_unmatched_through = false;
  uint32_t number = 0;
  for (const auto& set : sets_) {
    for (const AccessPolicy& policy : set->policies) {
      bool guards = Guards(*set, policy, request.callee, match);
      if (guards && !policy.dry_run) {
        guarded = true;
        lets_unmatched_through |=
            policy.unmatched_dry_run_until && now < *policy.unmatched_dry_run_until;
      }
      for (const Rule& rule : policy.rules) {
        uint32_t rule_number = number++;
        if (!guards || (rule.expires && now >= *rule.expires)) {
          continue;
        }
        bool repeated = NamesRepeatedKey(rule, request);
        bool matches = RuleMatches(rule, request, match);
        with_trials.ambiguous |= repeated;
        if (matches) {
          with_trials.Count(rule_number, rule.effect);
        }
        if (policy.dry_run) {
          continue;
        }
        enforced.ambiguous |= repeated;
        if (matches) {
          enforced.Count(rule_number, rule.effect);
          decision.matched.push_back(rule_number);
        }
      }
    }
  }
  decision.would_be = with_trials.Allows() ? Effect::kAllow : Effect::kDeny;
  if (enforced.ambiguous) {
    decision.reason = Reason::kAmbiguousField;
    decision.matched.clear();
  } else if (enforced.first_deny != kNoRule) {
    decision.reason = Reason::kDenyRule;
    decision.deciding_rule = enforced.first_deny;
  } else if (enforced.first_allow != kNoRule) {
    decision.effect = Effect::kAllow;
    decision.reason = Reason::kAllowRule;
    decision.deciding_rule = enforced.first_allow;
  } else if (lets_unmatched_through) {
    decision.effect = Effect::kAllow;
    decision.reason = Reason::kUnmatchedTrial;
  } else {
    decision.reason = guarded ? Reason::kNoRuleMatched : Reason::kNoPolicy;
  }
  return decision;
}

NaiveAuthorizer::NaiveAuthorizer(PolicySets sets, std::unique_ptr<const Patterns> patterns)
    : sets_(std::move(sets)), patterns_(std::move(patterns)) {}
NaiveAuthorizer::NaiveAuthorizer(NaiveAuthorizer&&) noexcept = default;
NaiveAuthorizer& NaiveAuthorizer::operator=(NaiveAuthorizer&&) noexcept = default;
NaiveAuthorizer::~NaiveAuthorizer() = default;

}  // namespace countersign::authz
