// The walk itself. How one coordinate is cut into groups of values is in explorer_level.cc.
#include "authz/prove/explorer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "authz/language/search.h"

namespace countersign::authz::prove {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr uint32_t kCalleeLevel = 0;
constexpr uint32_t kCallerLevel = 1;
constexpr uint32_t kMeshLevel = 2;

// Whether the language holds one text alone; `text` is one of it.
StatusOr<bool> HoldsOnly(const language::Language& language, const std::string& text) {
  language::Language one = language::Language::Literal(text);
  ASSIGN_OR_RETURN(std::optional<std::string> other,
                   language::FindOutside({.inner = language, .outer = one}));
  return !other.has_value();
}

}  // namespace

uint32_t Explorer::Part::NextLevel(uint32_t from) const {
  for (const Need& need : needs) {
    if (need.level >= from) {
      return need.level;
    }
  }
  return kNone;
}

Explorer::Explorer(Space& space, ValueTable& values, std::span<const Item> items,
                   const Question& question)
    : space_(space), values_(values), items_(items), question_(question) {
  OrderCoordinates();
  PrepareMarks();
  std::vector<uint32_t> level_of(space_.coordinates(), 0);
  for (uint32_t level = 0; level < order_.size(); ++level) {
    level_of[order_[level]] = level;
  }
  auto add = [&](uint32_t item, const Conjunct& conjunct, bool exception) {
    Part& part = parts_.emplace_back();
    part.item = item;
    part.exception = exception;
    for (uint32_t predicate : conjunct) {
      part.needs.push_back({level_of[space_.predicate(predicate).coordinate], predicate});
    }
    std::ranges::sort(part.needs, {},
                      [](const Need& need) { return std::pair(need.level, need.predicate); });
  };
  for (uint32_t i = 0; i < items_.size(); ++i) {
    add(i, items_[i].all, false);
    for (const Conjunct& exception : items_[i].except) {
      add(i, exception, true);
    }
  }
}

// Callee, caller and mesh stand first, because they belong together; then what tells most apart.
void Explorer::OrderCoordinates() {
  std::vector<std::vector<uint32_t>> languages(space_.coordinates());
  auto count = [&](const Conjunct& conjunct) {
    for (uint32_t number : conjunct) {
      const Predicate& predicate = space_.predicate(number);
      languages[predicate.coordinate].push_back(predicate.language);
    }
  };
  for (const Item& item : items_) {
    count(item.all);
    std::ranges::for_each(item.except, count);
  }
  for (Axis axis : {Axis::kCallee, Axis::kCaller, Axis::kMesh}) {
    order_.push_back(space_.CoordinateNumber({axis, ""}));
  }
  std::vector<std::pair<size_t, uint32_t>> others;
  for (uint32_t coordinate = 0; coordinate < languages.size(); ++coordinate) {
    std::ranges::sort(languages[coordinate]);
    auto doubles = std::ranges::unique(languages[coordinate]);
    languages[coordinate].erase(doubles.begin(), doubles.end());
    bool placed = std::ranges::find(order_, coordinate) != order_.end();
    if (!placed && !languages[coordinate].empty()) {
      others.emplace_back(languages[coordinate].size(), coordinate);
    }
  }
  std::ranges::sort(others, [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first
                              : space_.coordinate(a.second) < space_.coordinate(b.second);
  });
  for (const auto& [size, coordinate] : others) {
    order_.push_back(coordinate);
  }
}

void Explorer::PrepareMarks() {
  size_t count = question_.marks.size();
  irrelevant_.assign(count, 0);
  for (size_t yes = 0; yes < count; ++yes) {
    for (size_t role = 1; role < count; role *= 2) {
      bool matters = false;
      for (size_t more = 0; more < count && !matters; ++more) {
        matters = question_.marks[yes | more] != question_.marks[(yes | more) ^ role] &&
                  (yes & role) == 0;
      }
      if (!matters) {
        irrelevant_[yes] = static_cast<Roles>(irrelevant_[yes] | role);
      }
    }
  }
}

// The mark of every cell below, if it is the same whichever of the items alive match.
std::optional<uint32_t> Explorer::Settle(const State& state) const {
  std::vector<uint8_t> reachable(question_.marks.size(), 0);
  std::vector<uint8_t> seen(question_.marks.size(), 0);
  reachable[state.yes] = 1;
  for (uint32_t number : state.alive) {
    const Part& part = parts_[number];
    if (part.exception) {
      continue;
    }
    auto roles = static_cast<Roles>(items_[part.item].roles & ~irrelevant_[state.yes]);
    if (seen[roles] != 0) {
      continue;
    }
    seen[roles] = 1;
    for (size_t yes = 0; yes < reachable.size(); ++yes) {
      if (reachable[yes] != 0) {
        reachable[yes | roles] = 1;
      }
    }
  }
  uint8_t mark = question_.marks[state.yes];
  for (size_t yes = 0; yes < reachable.size(); ++yes) {
    if (reachable[yes] != 0 && question_.marks[yes] != mark) {
      return std::nullopt;
    }
  }
  return mark;
}

// Takes out what is decided before `next_level`, and what makes no difference any more.
void Explorer::Reduce(State& state, uint32_t next_level) const {
  auto complete = [&](const Part& part) {
    return part.needs.empty() || part.needs.back().level < next_level;
  };
  Numbers kept;
  Numbers& alive = state.alive;
  for (size_t at = 0; at < alive.size();) {
    const Part& part = parts_[alive[at]];
    size_t end = at + 1;
    bool excepted = false;
    while (end < alive.size() && parts_[alive[end]].item == part.item) {
      excepted = excepted || complete(parts_[alive[end]]);
      ++end;
    }
    if (!part.exception && !excepted) {
      if (end == at + 1 && complete(part)) {
        state.yes = static_cast<Roles>(state.yes | items_[part.item].roles);
      } else {
        kept.insert(kept.end(), alive.begin() + static_cast<std::ptrdiff_t>(at),
                    alive.begin() + static_cast<std::ptrdiff_t>(end));
      }
    }
    at = end;
  }
  std::erase_if(kept, [&](uint32_t number) {
    return (items_[parts_[number].item].roles & ~irrelevant_[state.yes]) == 0;
  });
  alive = std::move(kept);
}

bool Explorer::AsksForMesh(const State& state) const {
  return std::ranges::any_of(state.alive, [&](uint32_t number) {
    return std::ranges::any_of(parts_[number].needs,
                               [](const Need& need) { return need.level == kMeshLevel; });
  });
}

StatusOr<uint32_t> Explorer::Run(Diagram& diagram) {
  diagram_ = &diagram;
  for (const std::vector<Diagram::Edge>& node : diagram.nodes) {
    node_numbers_.emplace(node, Diagram::kFirstNode + static_cast<uint32_t>(node_numbers_.size()));
  }
  State state;
  for (uint32_t i = 0; i < parts_.size(); ++i) {
    state.alive.push_back(i);
  }
  Reduce(state, 0);
  return Explore(std::move(state), 0);
}

StatusOr<uint32_t> Explorer::Explore(State state, uint32_t level) {
  if (std::optional<uint32_t> settled = Settle(state)) {
    return *settled;
  }
  uint32_t next = kNone;
  for (uint32_t number : state.alive) {
    next = std::min(next, parts_[number].NextLevel(level));
  }
  if (next == kNone) {
    return Internal("a cell with undecided items and no coordinate left");
  }
  bool mesh = level <= kMeshLevel && AsksForMesh(state);
  if (mesh && state.callee_domains == kNone) {
    next = kCalleeLevel;
  } else if (mesh && state.caller_domains == kNone) {
    next = kCallerLevel;
  } else if (!mesh) {
    state.callee_domains = state.caller_domains = kNone;
  }
  Numbers key = {next, state.yes, state.callee_domains, state.caller_domains};
  key.insert(key.end(), state.alive.begin(), state.alive.end());
  if (auto known = memo_.find(key); known != memo_.end()) {
    return known->second;
  }
  const ProverLimits& limits = space_.limits();
  steps_ += state.alive.size();
  if (++cells_ > limits.cells_max || steps_ > limits.cell_steps_max) {
    return ResourceExhausted("more than cells_max = ", limits.cells_max,
                             " cells or cell_steps_max = ", limits.cell_steps_max,
                             " steps: too many rules overlap");
  }
  ASSIGN_OR_RETURN(uint32_t node,
                   next == kMeshLevel ? ExploreMesh(state) : ExploreValues(state, next));
  memo_.emplace(std::move(key), node);
  return node;
}

// Callee and caller are chosen up to their classes. The same trust domain is possible if both
// classes have one in common, different ones unless both have the same one and no other.
StatusOr<uint32_t> Explorer::ExploreMesh(const State& state) {
  const language::Language& callee = values_.language(state.callee_domains);
  const language::Language& caller = values_.language(state.caller_domains);
  language::Constraint both[] = {{.language = &callee}, {.language = &caller}};
  ASSIGN_OR_RETURN(std::optional<std::string> common, language::FindText(both));
  bool must = false;
  if (common) {
    ASSIGN_OR_RETURN(bool one_callee, HoldsOnly(callee, *common));
    ASSIGN_OR_RETURN(bool one_caller, HoldsOnly(caller, *common));
    must = one_callee && one_caller;
  }
  std::vector<std::pair<bool, uint32_t>> children;
  for (bool same : {true, false}) {
    if (same ? !common.has_value() : must) {
      continue;
    }
    State next;
    next.yes = state.yes;
    for (uint32_t number : state.alive) {
      bool asks = parts_[number].NextLevel(kMeshLevel) == kMeshLevel;
      if (!asks || same) {
        next.alive.push_back(number);
      }
    }
    Reduce(next, kMeshLevel + 1);
    ASSIGN_OR_RETURN(uint32_t child, Explore(std::move(next), kMeshLevel + 1));
    children.emplace_back(same, child);
  }
  if (children.size() == 1 || children[0].second == children[1].second) {
    return children[0].second;
  }
  std::vector<Diagram::Edge> edges;
  for (const auto& [same, child] : children) {
    if (child != 0) {
      ValueSet set;
      set.coordinate = order_[kMeshLevel];
      set.mesh = same;
      edges.push_back({.values = values_.Add(std::move(set)), .child = child});
    }
  }
  return AddNode(std::move(edges));
}

StatusOr<uint32_t> Explorer::ExploreValues(const State& state, uint32_t number) {
  Level level;
  level.number = number;
  level.axis = space_.coordinate(order_[number]).axis;
  RETURN_IF_ERROR(Gather(state, level));
  RETURN_IF_ERROR(Cut(state, level));
  bool with_domains = number <= kCallerLevel && AsksForMesh(state);
  RETURN_IF_ERROR(GroupClasses(level, with_domains));
  if (MayBeAbsent(level.axis)) {
    GroupAbsent(level);
  }
  if (MayRepeat(level.axis)) {
    RETURN_IF_ERROR(GroupRepeated(level));
  }
  return Follow(state, level);
}

StatusOr<uint32_t> Explorer::Follow(const State& state, Level& level) {
  std::map<uint32_t, Group> by_child;
  bool cut_short = false;
  for (size_t i = 0; i < level.groups.size(); ++i) {
    Group& group = level.groups[i];
    State next;
    next.yes = state.yes;
    next.callee_domains = level.number == kCalleeLevel ? group.domains : state.callee_domains;
    next.caller_domains = level.number == kCallerLevel ? group.domains : state.caller_domains;
    std::ranges::merge(level.free, group.passed, std::back_inserter(next.alive));
    steps_ += next.alive.size();
    Reduce(next, level.number + 1);
    ASSIGN_OR_RETURN(uint32_t child, Explore(std::move(next), level.number + 1));
    Group& joined = by_child[child];
    joined.classes.insert(joined.classes.end(), group.classes.begin(), group.classes.end());
    joined.absent = joined.absent || group.absent;
    joined.repeated.insert(joined.repeated.end(), group.repeated.begin(), group.repeated.end());
    if (question_.first_only && child != 0) {
      cut_short = i + 1 < level.groups.size();
      break;
    }
  }
  if (by_child.size() == 1 && !cut_short) {
    return by_child.begin()->first;
  }
  std::vector<Diagram::Edge> edges;
  for (auto& [child, group] : by_child) {
    if (child != 0) {
      std::ranges::sort(group.classes);
      ASSIGN_OR_RETURN(uint32_t values, MakeValues(level, group));
      edges.push_back({.values = values, .child = child});
    }
  }
  return AddNode(std::move(edges));
}

uint32_t Explorer::AddNode(std::vector<Diagram::Edge> edges) {
  if (edges.empty()) {
    return 0;
  }
  std::ranges::sort(edges);
  auto number = Diagram::kFirstNode + static_cast<uint32_t>(diagram_->nodes.size());
  auto [place, fresh] = node_numbers_.try_emplace(edges, number);
  if (fresh) {
    diagram_->nodes.push_back(std::move(edges));
  }
  return place->second;
}

}  // namespace countersign::authz::prove
