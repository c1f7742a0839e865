#include "authz/check/references.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "authz/kinds/nearest_word.h"

namespace countersign::authz {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr size_t kSegmentsMax = 16;  // Of an ID that is compared; bounds the work on long ones.
constexpr size_t kNearBytesMin = 3;  // Shorter words are near to everything.
constexpr size_t kDomainsMax = 200;  // Compared letter by letter.

std::string_view DomainOf(std::string_view id) {
  id.remove_prefix(std::min(id.size(), kScheme.size()));
  return id.substr(0, id.find('/'));
}

std::string_view ParentOf(std::string_view id) { return id.substr(0, id.rfind('/')); }

// Whether one letter more, less or other, or two neighbours swapped, make one of the other.
bool IsOneSlip(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) {
    std::swap(a, b);
  }
  size_t same = 0;
  while (same < a.size() && a[same] == b[same]) {
    ++same;
  }
  std::string_view rest_a = a.substr(same);
  std::string_view rest_b = b.substr(same);
  if (a.size() != b.size()) {
    return rest_b.substr(1) == rest_a;
  }
  if (rest_a.empty()) {
    return false;
  }
  bool swapped = rest_a.size() > 1 && rest_a[0] == rest_b[1] && rest_a[1] == rest_b[0] &&
                 rest_a.substr(2) == rest_b.substr(2);
  return swapped || rest_a.substr(1) == rest_b.substr(1);
}

// RegisteredIds finds what an ID that is not registered was meant to be. Keeps references into the
// set that it is made of.
class RegisteredIds {
 public:
  // Whether a stranger beside registered IDs is one too, or only what is nearly one.
  enum class Strangers : uint8_t { kFound, kLeft };

  explicit RegisteredIds(const KnownNames::Names& ids) : ids_(ids) {
    for (const std::string& id : ids) {
      domains_.insert(DomainOf(id));
      parents_.insert(ParentOf(id));
      ForEachGap(id, [&](std::string gap, std::string_view segment) {
        by_gap_[std::move(gap)].push_back(segment);
      });
    }
  }

  // Hint is nothing if there is nothing to say of the ID, and may be empty.
  std::optional<std::string> Hint(std::string_view id, Strangers strangers) const {
    if (ids_.contains(id) || !id.starts_with(kScheme)) {
      return std::nullopt;
    }
    std::string_view domain = DomainOf(id);
    if (!domains_.contains(domain)) {
      return domains_.size() > kDomainsMax ? std::nullopt : NearDomain(domain);
    }
    std::optional<std::string> near;
    ForEachGap(id, [&](const std::string& gap, std::string_view segment) {
      auto found = by_gap_.find(gap);
      if (found == by_gap_.end() || segment.size() < kNearBytesMin) {
        return;
      }
      if (std::string_view word = NearestWord(segment, found->second); !word.empty()) {
        std::string meant(id);
        meant.replace(static_cast<size_t>(segment.data() - id.data()), segment.size(), word);
        near = Concat(" (did you mean ", Quoted(meant), "?)");
      }
    });
    if (!near && strangers == Strangers::kFound && parents_.contains(ParentOf(id))) {
      near.emplace();
    }
    return near;
  }

 private:
  std::optional<std::string> NearDomain(std::string_view domain) const {
    for (std::string_view known : domains_) {
      if (IsOneSlip(domain, known)) {
        return Concat(" (did you mean trust domain ", Quoted(known), "?)");
      }
    }
    return std::nullopt;
  }

  // Each segment of the path with the ID that has a gap in its place; a slash marks the gap, which
  // no ID ends with or has two of.
  template <class Visit>
  static void ForEachGap(std::string_view id, const Visit& visit) {
    size_t begin = id.find('/', kScheme.size());
    for (size_t count = 0; begin != std::string_view::npos && count < kSegmentsMax; ++count) {
      size_t end = std::min(id.find('/', begin + 1), id.size());
      visit(Concat(id.substr(0, begin), "/", id.substr(end)),
            id.substr(begin + 1, end - begin - 1));
      begin = end < id.size() ? end : std::string_view::npos;
    }
  }

  const KnownNames::Names& ids_;
  std::set<std::string_view> domains_;
  std::set<std::string_view> parents_;
  std::unordered_map<std::string, std::vector<std::string_view>> by_gap_;
};

using Strangers = RegisteredIds::Strangers;

// ReferenceChecker is for one CheckReferences.
class ReferenceChecker {
 public:
  explicit ReferenceChecker(const KnownNames& known)
      : known_(known),
        ids_(known.workload_ids),
        services_known_(known.extent == KnownNames::Extent::kEverything || !known.services.empty()),
        workloads_known_(known.extent == KnownNames::Extent::kEverything ||
                         !known.workload_ids.empty()) {}

  void Check(const Service& service) {
    if (workloads_known_ && !known_.workload_ids.contains(service.workload_id)) {
      Warn(service.where, "service ", service.name, ": no registration gives out the ID ",
           Quoted(service.workload_id), ", so nobody can serve it yet",
           ids_.Hint(service.workload_id, Strangers::kLeft).value_or(""));
    }
    for (const ServiceReach& reach : service.reach) {
      CheckMatchers(reach.where, Concat("service ", service.name, ", reach"), reach.from);
    }
  }

  void Check(const Route& route) {
    CheckService(route.where, route.name, route.service);
    for (const RouteRule& rule : route.rules) {
      for (const RouteSplit& split : rule.split) {
        CheckService(rule.where, route.name, split.service);
      }
    }
  }

  void Check(const PolicySet& set) {
    for (const AccessPolicy& policy : set.policies) {
      std::string name = Concat(set.name, "/", policy.name);
      CheckMatchers(policy.where, Concat("policy ", name), policy.applies_to);
      for (const Rule& rule : policy.rules) {
        CheckEntries(Concat("rule ", name, "/", rule.name), rule.from);
      }
    }
    for (const PolicyAssertion& assertion : set.assertions) {
      std::string name = Concat("assertion ", Quoted(assertion.name));
      CheckMatchers(assertion.where, name, assertion.workloads);
      CheckEntries(name, assertion.from);
    }
    for (const PolicyTestCase& test : set.tests) {
      std::string name = Concat("test ", Quoted(test.name));
      CheckId(test.where, name, test.request.workload, Strangers::kLeft);
      if (test.expect == Effect::kAllow) {
        CheckId(test.where, name, test.request.caller, Strangers::kLeft);
      }
    }
  }

  std::vector<Diagnostic> Take() { return std::move(found_); }

 private:
  template <class... Parts>
  void Warn(const SourcePosition& where, const Parts&... parts) {
    if (found_.size() < LoaderLimits::kDiagnosticsMax) {
      found_.push_back({Diagnostic::Severity::kWarning, where, Concat(parts...), "lint"});
    }
  }

  void CheckService(const SourcePosition& where, const std::string& route,
                    const std::string& service) {
    if (services_known_ && !known_.services.contains(service)) {
      Warn(where, "route ", route, ": there is no service ", Quoted(service), " yet");
    }
  }

  // Once a file and ID: the first place is enough to look at.
  void CheckId(const SourcePosition& where, std::string_view who, const std::string& id,
               Strangers strangers) {
    std::optional<std::string> hint = ids_.Hint(id, strangers);
    if (hint && told_.emplace(where.file, id).second) {
      Warn(where, who, ": no registration gives out ", Quoted(id), *hint);
    }
  }

  void CheckMatchers(const SourcePosition& where, std::string_view who,
                     const std::vector<Matcher>& matchers) {
    for (const Matcher& matcher : matchers) {
      if (matcher.kind == Matcher::Kind::kExact) {
        CheckId(where, who, matcher.text, Strangers::kFound);
      }
    }
  }

  void CheckConditions(std::string_view who, const std::vector<Condition>& conditions) {
    for (const Condition& condition : conditions) {
      if (condition.field == Field::kId) {
        CheckMatchers(condition.where, who, condition.any_of);
      }
    }
  }

  void CheckEntries(std::string_view who, const std::vector<Entry>& entries) {
    for (const Entry& entry : entries) {
      CheckConditions(who, entry.all_of);
      for (const std::vector<Condition>& exception : entry.except) {
        CheckConditions(who, exception);
      }
    }
  }

  const KnownNames& known_;
  const RegisteredIds ids_;
  const bool services_known_;
  const bool workloads_known_;
  std::set<std::pair<std::string, std::string>> told_;
  std::vector<Diagnostic> found_;
};

}  // namespace

void KnownNames::Add(const LoadResult& loaded) {
  for (const Registration& registration : loaded.registrations) {
    workload_ids.insert(registration.id);
  }
  for (const Service& service : loaded.services) {
    services.insert(service.name);
  }
}

std::vector<Diagnostic> CheckReferences(const LoadResult& loaded, const KnownNames& known) {
  ReferenceChecker checker(known);
  for (const Service& service : loaded.services) {
    checker.Check(service);
  }
  for (const Route& route : loaded.routes) {
    checker.Check(route);
  }
  for (const auto& set : loaded.sets) {
    checker.Check(*set);
  }
  return checker.Take();
}

}  // namespace countersign::authz
