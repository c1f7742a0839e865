#include "authz/prove/lint.h"

#include <algorithm>
#include <utility>

#include "authz/language/search.h"
#include "authz/language/trust_domain_language.h"
#include "authz/prove/describe.h"
#include "authz/prove/explorer.h"
#include "authz/prove/items.h"

namespace countersign::authz::prove {
namespace {

using Kind = LintFinding::Kind;

// The rule that is looked at, others of its effect, and those of the other effect.
constexpr Roles kOwn = 1;
constexpr Roles kAlike = 2;
constexpr Roles kAgainst = 4;
constexpr size_t kRoleSets = 8;

// Marks the cells in which the rule matches and nothing of `without` does.
Question OwnWithout(Roles without) {
  Question question;
  for (size_t yes = 0; yes < kRoleSets; ++yes) {
    question.marks.push_back((yes & kOwn) != 0 && (yes & without) == 0 ? 1 : 0);
  }
  question.in_focus = [](Roles roles) { return (roles & kOwn) != 0; };
  question.first_only = true;
  return question;
}

// Marks the cells in which the rule and something of `with` match.
Question OwnWith(Roles with) {
  Question question;
  for (size_t yes = 0; yes < kRoleSets; ++yes) {
    question.marks.push_back((yes & kOwn) != 0 && (yes & with) != 0 ? 1 : 0);
  }
  question.in_focus = [](Roles roles) { return (roles & kOwn) != 0; };
  question.first_only = true;
  return question;
}

// RuleItems is one rule in both kinds of connection.
struct RuleItems {
  std::string name;
  const Rule* rule = nullptr;
  size_t policy = 0;  // Of GuardedPolicy.
  std::vector<Item> items[2];
};

// GuardedPolicy is a run of rules with one guard.
struct GuardedPolicy {
  Conjunct guard;
  size_t begin = 0;  // Of its rules.
  size_t end = 0;
  std::vector<size_t> meets;  // Policies that may guard a callee of its own, itself too.
};

// Linter is for one LintRules.
class Linter {
 public:
  explicit Linter(const ProveOptions& options)
      : options_(options), space_(options.limits, options.relaxations) {}

  Status Load(const PolicySets& sets) {
    for (const auto& set : sets) {
      for (const AccessPolicy& policy : set->policies) {
        const ItemMaker::Place place{.set = set.get(), .policy = &policy};
        GuardedPolicy& guarded = policies_.emplace_back();
        guarded.guard = ItemMaker(space_, RequestKind::kHttp, options_.now).Guard(place);
        guarded.begin = rules_.size();
        for (const Rule& rule : policy.rules) {
          if (!policy.dry_run && !(rule.expires && options_.now >= *rule.expires)) {
            RETURN_IF_ERROR(LoadRule(rule, place));
          }
        }
        guarded.end = rules_.size();
      }
    }
    for (GuardedPolicy& one : policies_) {
      for (size_t other = 0; other < policies_.size(); ++other) {
        if (!Apart(one.guard, policies_[other].guard)) {
          one.meets.push_back(other);
        }
      }
    }
    return absl::OkStatus();
  }

  std::vector<LintFinding> Run() {
    for (const RuleItems& own : rules_) {
      space_.BeginQuestion();
      if (Status status = CheckRule(own); !status.ok()) {
        Report(Kind::kGaveUp, own, Concat("was not looked at: ", Message(status)));
      }
      if (Status status = CheckPatterns(own); !status.ok()) {
        Report(Kind::kGaveUp, own,
               Concat("has a pattern that was not looked at: ", Message(status)));
      }
    }
    return std::move(findings_);
  }

 private:
  Status LoadRule(const Rule& rule, const ItemMaker::Place& place) {
    RuleItems& own = rules_.emplace_back();
    own.name = Concat(place.set->name, "/", place.policy->name, "/", rule.name);
    own.rule = &rule;
    own.policy = policies_.size() - 1;
    for (RequestKind kind : {RequestKind::kHttp, RequestKind::kTcp}) {
      Items items;
      RETURN_IF_ERROR(ItemMaker(space_, kind, options_.now).AddRule(rule, place, kOwn, items));
      own.items[static_cast<size_t>(kind)] = items.list();
    }
    return absl::OkStatus();
  }

  void Report(Kind kind, const RuleItems& own, std::string what) {
    findings_.push_back({.kind = kind,
                         .rule = own.name,
                         .where = own.rule->where,
                         .message = Concat("rule ", own.name, " ", what)});
  }

  // Whether two conjuncts have no request in common, as far as that is seen at once.
  bool Apart(const Conjunct& a, const Conjunct& b) {
    for (uint32_t one : a) {
      const Predicate& mine = space_.predicate(one);
      for (uint32_t two : b) {
        const Predicate& other = space_.predicate(two);
        bool once = !(mine.on_absent && other.on_absent) && mine.repeated == Repeated::kNever &&
                    other.repeated == Repeated::kNever;
        if (mine.coordinate == other.coordinate && once &&
            space_.coordinate(mine.coordinate).axis != Axis::kMesh &&
            space_.Disjoint(mine.language, other.language)) {
          return true;
        }
      }
    }
    return false;
  }

  void AddMeeting(const RuleItems& own, const RuleItems& other, size_t kind, Items& items) {
    for (const Item& item : other.items[kind]) {
      bool meets = std::ranges::any_of(
          own.items[kind], [&](const Item& mine) { return !Apart(mine.all, item.all); });
      if (meets) {
        Item added = item;
        added.roles = other.rule->effect == own.rule->effect ? kAlike : kAgainst;
        items.Add(std::move(added));
      }
    }
  }

  // The rule's items with those of all rules that may meet it.
  Items Meeting(const RuleItems& own, size_t kind) {
    Items items;
    for (const Item& item : own.items[kind]) {
      items.Add(item);
    }
    for (size_t policy : policies_[own.policy].meets) {
      for (size_t i = policies_[policy].begin; i < policies_[policy].end; ++i) {
        if (&rules_[i] != &own) {
          AddMeeting(own, rules_[i], kind, items);
        }
      }
    }
    return items;
  }

  StatusOr<bool> Finds(const Items (&items)[2], const Question& question) {
    for (const Items& each : items) {
      ValueTable values(space_);
      Diagram diagram;
      Explorer explorer(space_, values, each.list(), question);
      ASSIGN_OR_RETURN(uint32_t root, explorer.Run(diagram));
      if (root != 0) {
        return true;
      }
    }
    return false;
  }

  // The rule of `effect` to blame: one that holds all of `own`, else one that holds some of it.
  // What is not found within the limits is not named.
  std::string Blame(const RuleItems& own, Effect effect) {
    const Roles role = effect == own.rule->effect ? kAlike : kAgainst;
    std::string some;
    size_t tried = 0;
    for (size_t policy : policies_[own.policy].meets) {
      for (size_t i = policies_[policy].begin; i < policies_[policy].end; ++i) {
        const RuleItems& other = rules_[i];
        if (&other == &own || other.rule->effect != effect) {
          continue;
        }
        Items items[2];
        if (!Pair(own, other, items)) {
          continue;
        }
        if (++tried > options_.limits.blamed_rules_max) {
          return some;
        }
        if (StatusOr<bool> left = Finds(items, OwnWithout(role)); left.ok() && !*left) {
          return Concat(", ", other.name, " alone");
        }
        if (StatusOr<bool> both = Finds(items, OwnWith(role)); some.empty() && both.ok() && *both) {
          some = Concat(", ", other.name, " some");
        }
      }
    }
    return some;
  }

  // Two rules' items; false if they are seen at once to have nothing in common.
  bool Pair(const RuleItems& own, const RuleItems& other, Items (&items)[2]) {
    bool meets = false;
    for (size_t kind = 0; kind < 2; ++kind) {
      for (const Item& item : own.items[kind]) {
        items[kind].Add(item);
      }
      AddMeeting(own, other, kind, items[kind]);
      meets = meets || std::ranges::any_of(items[kind].list(),
                                           [](const Item& item) { return item.roles != kOwn; });
    }
    return meets;
  }

  Status CheckRule(const RuleItems& own) {
    const Items items[2] = {Meeting(own, 0), Meeting(own, 1)};
    bool allow = own.rule->effect == Effect::kAllow;
    // Most rules do something that no other does.
    ASSIGN_OR_RETURN(bool counts, Finds(items, OwnWithout(allow ? kAlike | kAgainst : kAlike)));
    if (counts) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(bool matches, Finds(items, OwnWithout(0)));
    if (!matches) {
      Report(Kind::kNeverMatches, own, "matches no request");
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(bool undenied, Finds(items, OwnWithout(kAgainst)));
    if (allow && !undenied) {
      Report(Kind::kFullyDenied, own,
             Concat("allows nothing: denies take all of its requests", Blame(own, Effect::kDeny)));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(bool alone, Finds(items, OwnWithout(kAlike)));
    std::string by = Blame(own, own.rule->effect);
    Report(alone ? Kind::kRedundant : Kind::kShadowed, own,
           alone ? Concat("changes nothing: other allows have, or denies take, all of its requests",
                          by.empty() ? Blame(own, Effect::kDeny) : by)
                 : Concat("changes nothing: other ", allow ? "allows" : "denies",
                          " have all of its requests", by));
    return absl::OkStatus();
  }

  template <class Visit>
  static Status ForEachCondition(const Rule& rule, Visit visit) {
    for (const std::vector<Entry>* entries : {&rule.from, &rule.to}) {
      for (const Entry& entry : *entries) {
        for (const Condition& condition : entry.all_of) {
          RETURN_IF_ERROR(visit(condition));
        }
      }
    }
    for (const Condition& condition : rule.when) {
      RETURN_IF_ERROR(visit(condition));
    }
    return absl::OkStatus();
  }

  Status CheckPatterns(const RuleItems& own) {
    return ForEachCondition(*own.rule, [&](const Condition& condition) -> Status {
      for (const Matcher& matcher : condition.any_of) {
        if (matcher.kind == Matcher::Kind::kRe2 && condition.field != Field::kProtocol) {
          RETURN_IF_ERROR(CheckPattern(own, condition, matcher));
        }
      }
      return absl::OkStatus();
    });
  }

  Status CheckPattern(const RuleItems& own, const Condition& condition, const Matcher& matcher) {
    Condition one = condition;
    one.any_of = {matcher};
    ASSIGN_OR_RETURN(const language::Language* language,
                     space_.LanguageAt(space_.LanguageNumber(one)));
    ASSIGN_OR_RETURN(const language::CanonicalValues* values,
                     space_.Values(CoordinateOf(condition).axis));
    language::Constraint both[] = {{.language = language}, {.language = &values->language}};
    ASSIGN_OR_RETURN(std::optional<std::string> value,
                     language::FindText(both, values->bytes_max, options_.limits.language));
    if (!value) {
      Report(Kind::kDeadPattern, own,
             Concat("has a pattern that no ", FieldName(condition.field),
                    " of a request matches: ", DescribeMatcher(matcher)));
      return absl::OkStatus();
    }
    if (own.rule->effect == Effect::kAllow && condition.field == Field::kId) {
      return CheckDomains(own, matcher, *language);
    }
    return absl::OkStatus();
  }

  // Whoever writes a domain of his own can be such a caller, if it is federated one day.
  Status CheckDomains(const RuleItems& own, const Matcher& matcher, const language::Language& ids) {
    ASSIGN_OR_RETURN(const language::CanonicalValues* values, space_.Values(Axis::kCaller));
    language::Language all = language::TrustDomainsOf(values->language);
    language::Language own_domains = language::TrustDomainsOf(ids);
    ASSIGN_OR_RETURN(std::optional<std::string> outside,
                     language::FindOutside({.inner = all, .outer = own_domains}));
    if (outside) {
      return absl::OkStatus();
    }
    language::Constraint both[] = {{.language = &ids}, {.language = &values->language}};
    ASSIGN_OR_RETURN(std::optional<std::string> id, language::FindText(both));
    Report(Kind::kAnyDomain, own,
           Concat("admits callers of every trust domain by ", DescribeMatcher(matcher), ", as ",
                  Quoted(id.value_or(""))));
    return absl::OkStatus();
  }

  const ProveOptions options_;
  Space space_;
  std::vector<RuleItems> rules_;
  std::vector<GuardedPolicy> policies_;
  std::vector<LintFinding> findings_;
};

}  // namespace

StatusOr<std::vector<LintFinding>> LintRules(const PolicySets& sets, const ProveOptions& options) {
  Linter linter(options);
  RETURN_IF_ERROR(linter.Load(sets));
  return linter.Run();
}

}  // namespace countersign::authz::prove
