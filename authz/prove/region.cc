#include "authz/prove/region.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace countersign::authz::prove {
namespace {

constexpr size_t kPathsPerRegion = 10;  // Most paths of a diagram are merged into others.

std::string_view DomainOf(std::string_view id) {
  constexpr std::string_view kScheme = "spiffe://";
  return id.starts_with(kScheme)
             ? id.substr(kScheme.size(), id.find('/', kScheme.size()) - kScheme.size())
             : std::string_view();
}

// The values of a coordinate in a request, as the prover writes them.
std::vector<std::string> ValuesIn(const Coordinate& coordinate, const CanonicalRequest& request) {
  auto present = [](std::string_view value) {
    return value.empty() ? std::vector<std::string>() : std::vector{std::string(value)};
  };
  auto lines = [&](std::span<const NameValue> list) {
    std::vector<std::string> values;
    for (const NameValue& line : list) {
      if (line.name == coordinate.key) {
        values.emplace_back(line.value);
      }
    }
    return values;
  };
  switch (coordinate.axis) {
    case Axis::kCallee:
      return present(request.callee);
    case Axis::kCaller:
      return present(request.caller);
    case Axis::kPeerIp:
      if (!request.peer_ip) {
        return {};
      }
      return {std::string(request.peer_ip->bytes.begin(), request.peer_ip->bytes.end())};
    case Axis::kPort:
      return request.port == 0 ? std::vector<std::string>() : std::vector{PortValue(request.port)};
    case Axis::kSni:
      return present(request.sni);
    case Axis::kMethod:
      return present(request.method);
    case Axis::kPath:
      return present(request.path);
    case Axis::kHost:
      return present(request.host);
    case Axis::kHeader:
      return lines(request.headers);
    case Axis::kQuery:
      return lines(request.query);
    case Axis::kMesh:
      break;
  }
  return {};
}

}  // namespace

void RegionList::Add(const Diagram& diagram, uint32_t root, RequestKind kind) {
  Region path;
  path.http = kind == RequestKind::kHttp;
  path.tcp = !path.http;
  Walk(diagram, root, path);
}

void RegionList::Walk(const Diagram& diagram, uint32_t node, Region& path) {
  if (node == 0) {
    return;
  }
  if (regions_.size() >= kPathsPerRegion * space_.limits().regions_max) {
    complete_ = false;
    return;
  }
  if (node < Diagram::kFirstNode) {
    path.mark = static_cast<uint8_t>(node);
    regions_.push_back(path);
    return;
  }
  for (const Diagram::Edge& edge : diagram.at(node)) {
    uint32_t coordinate = values_.at(edge.values).coordinate;
    path.sets[coordinate] = edge.values;
    Walk(diagram, edge.child, path);
    path.sets.erase(coordinate);
  }
}

bool RegionList::MergeKinds() {
  std::map<std::tuple<uint8_t, std::map<uint32_t, uint32_t>>, size_t> first;
  std::vector<Region> merged;
  for (Region& region : regions_) {
    auto [place, fresh] = first.try_emplace({region.mark, region.sets}, merged.size());
    if (fresh) {
      merged.push_back(std::move(region));
    } else {
      merged[place->second].http |= region.http;
      merged[place->second].tcp |= region.tcp;
    }
  }
  bool changed = merged.size() < regions_.size();
  regions_ = std::move(merged);
  return changed;
}

StatusOr<bool> RegionList::MergeAlong(uint32_t coordinate) {
  using Key = std::tuple<uint8_t, bool, bool, std::map<uint32_t, uint32_t>>;
  std::map<Key, size_t> first;
  std::vector<Region> merged;
  for (Region& region : regions_) {
    auto own = region.sets.find(coordinate);
    if (own == region.sets.end()) {
      merged.push_back(std::move(region));
      continue;
    }
    std::map<uint32_t, uint32_t> rest = region.sets;
    rest.erase(coordinate);
    auto [place, fresh] =
        first.try_emplace({region.mark, region.http, region.tcp, rest}, merged.size());
    if (fresh) {
      merged.push_back(std::move(region));
      continue;
    }
    uint32_t& other = merged[place->second].sets[coordinate];
    ASSIGN_OR_RETURN(std::optional<uint32_t> joined, values_.Union(other, own->second));
    if (joined) {
      other = *joined;
    } else {
      merged.push_back(std::move(region));
    }
  }
  for (Region& region : merged) {
    auto own = region.sets.find(coordinate);
    if (own != region.sets.end() && values_.IsEverything(values_.at(own->second))) {
      region.sets.erase(own);
    }
  }
  bool changed = merged.size() < regions_.size();
  regions_ = std::move(merged);
  return changed;
}

Status RegionList::Merge() {
  for (bool changed = true; changed;) {
    changed = MergeKinds();
    // The last coordinates first: there the diagram splits what belongs together.
    for (auto coordinate = static_cast<uint32_t>(space_.coordinates()); coordinate-- > 0;) {
      ASSIGN_OR_RETURN(bool merged, MergeAlong(coordinate));
      changed = changed || merged;
    }
  }
  return absl::OkStatus();
}

bool RegionList::Holds(const ValueSet& set, const CanonicalRequest& request) const {
  const Coordinate& coordinate = space_.coordinate(set.coordinate);
  if (coordinate.axis == Axis::kMesh) {
    bool same = !request.caller.empty() && DomainOf(request.caller) == DomainOf(request.callee);
    return !set.mesh || *set.mesh == same;
  }
  std::vector<std::string> values = ValuesIn(coordinate, request);
  if (values.empty()) {
    return set.absent;
  }
  if (values.size() == 1) {
    return set.language != ValueSet::kNone && values_.language(set.language).Matches(values[0]);
  }
  if (set.repeated == ValueSet::kNone) {
    return false;
  }
  const RepeatedSet& repeated = values_.repeated(set.repeated);
  Outcome outcome;
  for (uint32_t number : repeated.languages) {
    StatusOr<const language::Language*> language = space_.LanguageAt(number);
    auto inside = std::ranges::count_if(values, [&](const std::string& value) {
      return language.ok() && (*language)->Matches(value);
    });
    bool all = inside == static_cast<std::ptrdiff_t>(values.size());
    outcome.push_back(static_cast<char>((inside > 0 ? 1 : 0) | (all ? 2 : 0)));
  }
  return repeated.outcomes.contains(outcome);
}

bool RegionList::Contains(const Region& region, const CanonicalRequest& request) const {
  bool kind = request.kind == RequestKind::kHttp ? region.http : region.tcp;
  return kind && std::ranges::all_of(region.sets, [&](const auto& entry) {
           return Holds(values_.at(entry.second), request);
         });
}

// A list of texts is said without those that the rest of the phrase takes out. Empty if there is no
// list, or if nothing is to be left out.
std::string RegionList::SayLiterals(const Phrase& phrase) const {
  std::optional<std::vector<std::string_view>> texts;
  for (uint32_t number : phrase.all_of) {
    texts = texts ? std::move(texts) : space_.Literals(number);
  }
  auto holds = [&](uint32_t number, std::string_view text) {
    StatusOr<const language::Language*> language = space_.LanguageAt(number);
    return language.ok() && (*language)->Matches(text);
  };
  if (!texts || phrase.all_of.size() + phrase.except.size() < 2) {
    return "";
  }
  std::string said;
  for (std::string_view text : *texts) {
    bool meant =
        std::ranges::all_of(phrase.all_of, [&](uint32_t number) { return holds(number, text); }) &&
        std::ranges::none_of(phrase.except, [&](uint32_t number) { return holds(number, text); });
    said += meant ? Concat(said.empty() ? "" : " or ", text) : "";
  }
  return said;
}

std::string RegionList::SayPhrase(const Phrase& phrase) const {
  if (std::string literals = SayLiterals(phrase); !literals.empty()) {
    return literals;
  }
  std::string text;
  for (uint32_t language : phrase.all_of) {
    text += Concat(text.empty() ? "" : " and ", space_.Name(language));
  }
  for (size_t i = 0; i < phrase.except.size(); ++i) {
    text += Concat(i > 0          ? ", "
                   : text.empty() ? "any except "
                                  : " except ",
                   space_.Name(phrase.except[i]));
  }
  return text.empty() ? "any" : text;
}

std::string RegionList::Say(const ValueSet& set) const {
  const Coordinate& coordinate = space_.coordinate(set.coordinate);
  std::string name = Describe(coordinate);
  if (coordinate.axis == Axis::kMesh) {
    return *set.mesh ? "caller in the workload's trust domain"
                     : "caller not in the workload's trust domain";
  }
  bool repeats = set.repeated != ValueSet::kNone;
  if (set.whole && set.absent && !repeats && MayRepeat(coordinate.axis)) {
    return name + " at most once";
  }
  if (set.whole && !set.absent && !repeats) {
    return name + (MayRepeat(coordinate.axis) ? " once" : " present");
  }
  std::string text;
  auto add = [&](std::string_view part) { text += Concat(text.empty() ? "" : "; or ", part); };
  if (set.language != ValueSet::kNone) {
    for (const Phrase& phrase : set.phrases) {
      add(SayPhrase(phrase));
    }
  }
  if (set.absent) {
    add(coordinate.axis == Axis::kCaller ? "without identity" : "none");
  }
  if (repeats) {
    add(values_.repeated(set.repeated).languages.empty()
            ? "several"
            : Concat("part of those with several, as in ", Quoted(set.several.front()), " and ",
                     Quoted(set.several.back())));
  }
  return Concat(name, " ", text);
}

std::vector<std::string> RegionList::Conditions(const Region& region) const {
  std::map<Coordinate, uint32_t> in_order;
  for (const auto& [coordinate, set] : region.sets) {
    in_order.emplace(space_.coordinate(coordinate), set);
  }
  std::vector<std::string> conditions;
  for (const auto& [coordinate, set] : in_order) {
    conditions.push_back(Say(values_.at(set)));
  }
  if (region.http != region.tcp) {
    conditions.emplace_back(region.http ? "protocol http" : "protocol tcp");
  }
  return conditions;
}

}  // namespace countersign::authz::prove
