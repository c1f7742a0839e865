// The algebra: what must hold together in a source entry becomes one entry of ours, negations
// become its exceptions. Where absence would tell the two apart, an entry is written for each case.
#include "authz/import/istio_rule.h"

#include <algorithm>

#include "authz/import/istio_values.h"
#include "authz/kinds/boxes.h"
#include "base/status.h"

namespace countersign::authz::import {
namespace {

Condition Make(Field field, Matchers any_of) {
  Condition condition;
  condition.field = field;
  condition.any_of = std::move(any_of);
  return condition;
}
Condition Presence(Field field, bool present) {
  return Make(field, {{present ? Matcher::Kind::kPresent : Matcher::Kind::kAbsent, "", {}, 0}});
}
Condition Protocol(std::string_view name) {
  return Make(Field::kProtocol, {{Matcher::Kind::kExact, std::string(name), {}, 0}});
}
bool HasPresent(const Matchers& matchers) {
  return std::ranges::count(matchers, Matcher::Kind::kPresent, &Matcher::kind) != 0;
}
bool HasAny(const IdPatterns& patterns) {
  return std::ranges::count(patterns, IdPattern::Kind::kAny, &IdPattern::kind) != 0;
}
Matchers ToMatchers(const IdPatterns& patterns) {
  Matchers out;
  std::ranges::transform(patterns, std::back_inserter(out), &IdPattern::ToMatcher);
  return out;
}

// Subtract adds an exception; no matchers subtract nothing.
void Subtract(Field field, const Matchers& matchers, Entry& entry) {
  if (!matchers.empty()) {
    entry.except.push_back({Make(field, matchers)});
  }
}

// RuleTranslator translates one rule. It borrows everything.
class RuleTranslator {
 public:
  RuleTranslator(const IstioPolicy& policy, const IstioRule& source, const ImportOptions& options,
                 Findings& findings)
      : policy_(policy),
        source_(source),
        options_(options),
        findings_(findings),
        values_(options, findings),
        allow_(policy.action == IstioPolicy::Action::kAllow) {}

  // The whole rule, or nothing if it can never match.
  std::optional<Rule> Translate() {
    size_t errors_before = findings_.errors();
    http_only_ = HasHttpOnly();
    if (!allow_ && http_only_) {
      findings_.Warn(source_.where,
                     "on a TCP port the HTTP fields of this DENY do not count, and the rest of it "
                     "denies: as in Istio");
    }
    Rule rule;
    rule.effect = allow_ ? Effect::kAllow : Effect::kDeny;
    rule.where = source_.where;
    TakeFrom(rule);
    TakeTo(rule);
    for (const WhenItem& item : source_.when) {
      if (IsHeader(item)) {
        TakeHeader(item, rule);
      }
    }
    if (never_ && findings_.errors() == errors_before) {
      findings_.Warn(source_.where, "the rule can never match, and is left out");
    }
    return never_ ? std::nullopt : std::optional<Rule>(std::move(rule));
  }

 private:
  static bool IsHeader(const WhenItem& item) { return item.key.starts_with("request.headers["); }
  bool HasHttpOnly() const {
    return std::ranges::any_of(source_.when, IsHeader) ||
           std::ranges::any_of(source_.to, [](const Operation& operation) {
             return !operation.hosts.empty() || !operation.methods.empty() ||
                    !operation.paths.empty();
           });
  }
  std::vector<const WhenItem*> WhenOf(std::string_view key) const {
    std::vector<const WhenItem*> items;
    for (const WhenItem& item : source_.when) {
      if (item.key == key) {
        items.push_back(&item);
      }
    }
    return items;
  }
  bool WhenSpeaksOf(std::string_view start) const {
    return std::ranges::any_of(
        source_.when, [start](const WhenItem& item) { return item.key.starts_with(start); });
  }

  // --- from ---

  void TakeFrom(Rule& rule) {
    std::vector<Source> sources = source_.from;
    if (sources.empty() && !WhenSpeaksOf("source.")) {
      rule.subject = Subject::kAnyone;
      return;
    }
    if (sources.empty()) {
      sources.emplace_back().where = source_.where;
    }
    for (const Source& source : sources) {
      TakeSource(source, rule.from);
    }
    never_ = never_ || rule.from.empty();
  }

  // Caller is what a source and the conditions of `when` say about the caller, all of it ANDed.
  struct Caller {
    std::vector<IdPatterns> ids;
    IdPatterns not_ids;
    std::vector<Matchers> addresses;
    Matchers not_addresses;
  };

  template <class Read>
  void AddIds(const Choice& choice, Read read, Caller& caller) {
    if (!choice.values.empty()) {
      caller.ids.push_back(read(choice.values));
    }
    std::ranges::move(read(choice.not_values), std::back_inserter(caller.not_ids));
  }
  void AddAddresses(const Choice& choice, Caller& caller) {
    if (!choice.values.empty()) {
      caller.addresses.push_back(values_.Addresses(choice.values));
    }
    std::ranges::move(values_.Addresses(choice.not_values),
                      std::back_inserter(caller.not_addresses));
  }

  Caller CallerOf(const Source& source) {
    Caller caller;
    auto principals = [this](const Texts& texts) { return values_.Principals(texts); };
    auto namespaces = [this](const Texts& texts) { return values_.Namespaces(texts); };
    auto domains = [this](const Texts& texts) { return values_.TrustDomains(texts); };
    auto accounts = [this](const Texts& texts) {
      return values_.ServiceAccounts(texts, policy_.ns);
    };
    AddIds(source.principals, principals, caller);
    AddIds(source.namespaces, namespaces, caller);
    AddIds(source.service_accounts, accounts, caller);
    AddIds(source.trust_domains, domains, caller);
    AddAddresses(source.ip_blocks, caller);
    for (const WhenItem* item : WhenOf("source.principal")) {
      AddIds(item->choice, principals, caller);
    }
    for (const WhenItem* item : WhenOf("source.namespace")) {
      AddIds(item->choice, namespaces, caller);
    }
    for (const WhenItem* item : WhenOf("source.serviceAccount")) {
      AddIds(item->choice, accounts, caller);
    }
    for (const WhenItem* item : WhenOf("source.trustDomain")) {
      AddIds(item->choice, domains, caller);
    }
    for (const WhenItem* item : WhenOf("source.ip")) {
      AddAddresses(item->choice, caller);
    }
    return caller;
  }

  // An entry's address part: in both of all lists, in none of the negated.
  bool TakeAddresses(const Caller& caller, Entry& entry) {
    Subtract(Field::kPeerIp, caller.not_addresses, entry);
    if (caller.addresses.empty()) {
      return true;
    }
    Matchers both = caller.addresses.front();
    for (const Matchers& list : caller.addresses) {
      both = BothAddresses(both, list);
    }
    if (both.empty()) {
      return false;
    }
    entry.all_of.push_back(Make(Field::kPeerIp, std::move(both)));
    return true;
  }

  void TakeSource(const Source& source, std::vector<Entry>& from) {
    Caller caller = CallerOf(source);
    Entry entry;
    entry.where = source.where;
    if (!TakeAddresses(caller, entry)) {
      return;
    }
    StatusOr<std::vector<IdPatterns>> joined = JoinAll(caller.ids);
    if (!joined.ok() || joined->size() > 2) {
      findings_.Error(source.where,
                      joined.ok() ? "more than two patterns must hold for one caller, which one "
                                    "entry cannot say: write one pattern that means them all"
                                  : std::string(Message(joined.status())));
      return;
    }
    if (std::ranges::any_of(*joined, &IdPatterns::empty)) {
      return;  // No caller is in all of the lists.
    }
    bool nobody_known = HasAny(caller.not_ids);  // Not one with an identity: without, that is.
    if (nobody_known) {
      if (joined->empty()) {
        AddEntry(entry, {Presence(Field::kId, false)}, from);
      }
      return;
    }
    if (joined->empty()) {
      TakeUnnamedCallers(caller, entry, from);
      return;
    }
    std::vector<Condition> ids;
    for (const IdPatterns& list : *joined) {
      ids.push_back(HasAny(list) ? Presence(Field::kId, true) : Make(Field::kId, ToMatchers(list)));
    }
    Subtract(Field::kId, ToMatchers(caller.not_ids), entry);
    AddEntry(entry, std::move(ids), from);
  }

  // No identity is asked for. Callers without one are in no exception over identities: a deny holds
  // for them; an allow admits them where the import is asked to.
  void TakeUnnamedCallers(const Caller& caller, const Entry& base, std::vector<Entry>& from) {
    Entry named = base;
    Subtract(Field::kId, ToMatchers(caller.not_ids), named);
    if (caller.not_ids.empty() && !base.all_of.empty()) {
      from.push_back(base);
      return;
    }
    if (!caller.not_ids.empty()) {
      AddEntry(named, {Presence(Field::kId, true)}, from);
      if (!allow_ || options_.anonymous_as_istio) {
        AddEntry(base, {Presence(Field::kId, false)}, from);
      } else {
        findings_.Warn(base.where,
                       "callers without identity match a negated principal or namespace in Istio; "
                       "they are not admitted here (--compat istio admits them)");
      }
      return;
    }
    if (!base.except.empty()) {  // Negated addresses alone.
      AddEntry(base, {Presence(Field::kId, true)}, from);
      AddEntry(base, {Presence(Field::kId, false)}, from);
    }
  }

  static void AddEntry(Entry entry, std::vector<Condition> conditions, std::vector<Entry>& list) {
    std::ranges::move(conditions, std::back_inserter(entry.all_of));
    std::ranges::stable_sort(entry.all_of, {}, &Condition::field);
    list.push_back(std::move(entry));
  }

  // --- to ---

  void TakeTo(Rule& rule) {
    std::vector<Operation> operations = source_.to;
    bool when = WhenSpeaksOf("destination.") || WhenSpeaksOf("connection.");
    if (operations.empty() && !when) {
      return;
    }
    if (operations.empty()) {
      operations.emplace_back().where = source_.where;
    }
    bool every_operation = false;
    for (const Operation& operation : operations) {
      every_operation = TakeOperation(operation, rule.to) || every_operation;
    }
    never_ = never_ || (rule.to.empty() && !every_operation);
    if (every_operation) {
      rule.to.clear();
    }
  }

  // Adds the positive part of a field. `*` says nothing about what every HTTP request has.
  static void Require(Field field, Matchers matchers, Entry& entry) {
    if (HasPresent(matchers) && field == Field::kHost) {
      entry.all_of.push_back(Presence(field, true));  // Old clients may name none.
    } else if (!matchers.empty() && !HasPresent(matchers)) {
      entry.all_of.push_back(Make(field, std::move(matchers)));
    }
  }
  // Not one of a field that every HTTP request has: nothing.
  void SubtractHttp(Field field, const Choice& choice, const Matchers& matchers, Entry& entry) {
    if (HasPresent(matchers)) {
      findings_.Error(choice.not_values.front().where,
                      Concat("no request is without a ", FieldName(field),
                             ", so a negated '*' never matches: remove the rule"));
      return;
    }
    Subtract(field, matchers, entry);
  }

  bool TakePorts(const Operation& operation, Entry& entry) {
    std::vector<const Choice*> choices = {&operation.ports};
    for (const WhenItem* item : WhenOf("destination.port")) {
      choices.push_back(&item->choice);
    }
    Matchers not_ports;
    std::optional<Matchers> ports;
    for (const Choice* choice : choices) {
      std::ranges::move(values_.Ports(choice->not_values), std::back_inserter(not_ports));
      if (choice->values.empty()) {
        continue;
      }
      Matchers list = values_.Ports(choice->values);
      if (ports) {
        std::erase_if(*ports, [&](const Matcher& port) {
          return std::ranges::find(list, port) == list.end();
        });
      } else {
        ports = std::move(list);
      }
    }
    Subtract(Field::kPort, not_ports, entry);
    if (ports && !ports->empty()) {
      entry.all_of.push_back(Make(Field::kPort, *ports));
    }
    return !ports || !ports->empty();
  }

  // The server name, which a caller need not send. Gives the names that must not be sent.
  Matchers TakeSni(Entry& entry) {
    Matchers not_names;
    bool required = false;
    for (const WhenItem* item : WhenOf("connection.sni")) {
      std::ranges::move(values_.Snis(item->choice.not_values), std::back_inserter(not_names));
      if (item->choice.values.empty()) {
        continue;
      }
      if (required) {
        findings_.Error(item->where,
                        "connection.sni stands twice in when: write the names that are in both");
      }
      required = true;
      Matchers names = values_.Snis(item->choice.values);
      entry.all_of.push_back(HasPresent(names) ? Presence(Field::kSni, true)
                                               : Make(Field::kSni, std::move(names)));
    }
    sni_required_ = required;
    if (required && !HasPresent(not_names)) {
      Subtract(Field::kSni, not_names, entry);
      return {};
    }
    return not_names;
  }

  // True: the operation is every operation, so that `to` says nothing.
  bool TakeOperation(const Operation& operation, std::vector<Entry>& to) {
    Polarity wanted = allow_ ? Polarity::kAdmits : Polarity::kRefuses;
    Polarity unwanted = allow_ ? Polarity::kRefuses : Polarity::kAdmits;
    Entry entry;
    entry.where = operation.where;
    bool some_port = TakePorts(operation, entry);
    Require(Field::kMethod, values_.Methods(operation.methods.values), entry);
    Require(Field::kPath, values_.Paths(operation.paths.values), entry);
    Require(Field::kHost, values_.Hosts(operation.hosts.values, wanted), entry);
    SubtractHttp(Field::kMethod, operation.methods, values_.Methods(operation.methods.not_values),
                 entry);
    SubtractHttp(Field::kPath, operation.paths, values_.Paths(operation.paths.not_values), entry);
    SubtractHttp(Field::kHost, operation.hosts, values_.Hosts(operation.hosts.not_values, unwanted),
                 entry);
    Matchers not_names = TakeSni(entry);
    bool http_now = std::ranges::any_of(entry.all_of, IsHttpOnly, &Condition::field);
    // One HTTP field anywhere in the rule, and a TCP connection is not admitted by any entry of it.
    if (allow_ && http_only_ && !http_now) {
      entry.all_of.push_back(Protocol("http"));
    }
    return some_port && TakeNames(std::move(entry), not_names, to);
  }

  // Names that must not be sent: an entry for callers that send another, one for those that send
  // none.
  bool TakeNames(Entry entry, const Matchers& not_names, std::vector<Entry>& to) {
    if (not_names.empty()) {
      return Finish(std::move(entry), to);
    }
    Entry without = entry;
    without.all_of.push_back(Presence(Field::kSni, false));
    if (HasPresent(not_names)) {
      return !sni_required_ && Finish(std::move(without), to);
    }
    entry.all_of.push_back(Presence(Field::kSni, true));
    Subtract(Field::kSni, not_names, entry);
    Finish(std::move(without), to);
    return Finish(std::move(entry), to);
  }

  // An exception needs something to be taken from: HTTP requests, and TCP connections, for which a
  // deny's HTTP exceptions do not count.
  static bool Finish(Entry entry, std::vector<Entry>& to) {
    std::ranges::stable_sort(entry.all_of, {}, &Condition::field);
    if (!entry.all_of.empty()) {
      to.push_back(std::move(entry));
      return false;
    }
    if (entry.except.empty()) {
      return true;
    }
    Entry tcp = entry;
    entry.all_of.push_back(Protocol("http"));
    tcp.all_of.push_back(Protocol("tcp"));
    std::erase_if(tcp.except, [](const std::vector<Condition>& exception) {
      return std::ranges::any_of(exception, IsHttpOnly, &Condition::field);
    });
    to.push_back(std::move(entry));
    to.push_back(std::move(tcp));
    return false;
  }

  void TakeHeader(const WhenItem& item, Rule& rule) {
    std::optional<Condition> condition = values_.Header(item);
    if (!condition) {
      return;
    }
    if (std::ranges::count(rule.when, condition->key, &Condition::key) != 0) {
      findings_.Error(item.where,
                      Concat(item.key, " stands twice in when: one predicate stands on ",
                             "a header here; write the values that are in both"));
      return;
    }
    rule.when.push_back(*std::move(condition));
  }

  const IstioPolicy& policy_;
  const IstioRule& source_;
  const ImportOptions& options_;
  Findings& findings_;
  ValueReader values_;
  const bool allow_;
  bool http_only_ = false;
  bool sni_required_ = false;
  bool never_ = false;
};

// Splits a rule whose entries multiply beyond what one rule may hold; together the parts match the
// same.
std::vector<Rule> Split(const Rule& rule) {
  std::vector<Rule> parts = {rule};
  for (size_t at = 0; at < parts.size() && parts.size() <= ImportLimits::kRulesPerRuleMax;) {
    Rule& part = parts[at];
    std::vector<Entry> Rule::*list = part.from.size() >= part.to.size() ? &Rule::from : &Rule::to;
    if (BoxCount(part.from, part.to) <= kBoxesPerRuleMax || (part.*list).size() < 2) {
      ++at;
      continue;
    }
    Rule second = part;
    auto middle = static_cast<std::ptrdiff_t>((part.*list).size() / 2);
    (second.*list).erase((second.*list).begin(), (second.*list).begin() + middle);
    (part.*list).resize(static_cast<size_t>(middle));
    parts.push_back(std::move(second));
  }
  return parts;
}

}  // namespace

std::vector<Rule> TranslateRule(const IstioPolicy& policy, size_t number,
                                const ImportOptions& options, Findings& findings) {
  const IstioRule& source = policy.rules[number];
  std::optional<Rule> rule = RuleTranslator(policy, source, options, findings).Translate();
  if (!rule) {
    return {};
  }
  std::vector<Rule> parts = Split(*rule);
  if (parts.size() > ImportLimits::kRulesPerRuleMax) {
    findings.Error(source.where, Concat("the rule would become more than ",
                                        ImportLimits::kRulesPerRuleMax, " rules: split it"));
    return {};
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].name = Concat("rule-", number, parts.size() == 1 ? "" : Concat("-part-", i + 1));
  }
  return parts;
}

}  // namespace countersign::authz::import
