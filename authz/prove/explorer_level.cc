// One coordinate at one state: which of its values leave the same items over.
#include <algorithm>
#include <deque>
#include <utility>

#include "authz/language/trust_domain_language.h"
#include "authz/prove/explorer.h"
#include "authz/prove/phrases.h"

namespace countersign::authz::prove {
namespace {

// Comparing every pair of languages beyond this costs more than it saves.
constexpr size_t kPairsCompared = 1'000'000;
constexpr size_t kCulpritsNamed = 5;

void SortUnique(std::vector<uint32_t>& numbers) {
  std::ranges::sort(numbers);
  auto doubles = std::ranges::unique(numbers);
  numbers.erase(doubles.begin(), doubles.end());
}

}  // namespace

// The languages that the items of the focus ask for here; false if one of them takes every value.
bool Explorer::Focus(const State& state, Level& level, Numbers& focus) const {
  if (question_.in_focus(state.yes)) {
    return false;  // An item of the focus matches already, whatever stands here.
  }
  for (uint32_t number : state.alive) {
    const Part& part = parts_[number];
    auto roles = static_cast<Roles>(items_[part.item].roles & ~irrelevant_[state.yes]);
    if (part.exception || !question_.in_focus(roles)) {
      continue;
    }
    auto need = std::ranges::find(part.needs, level.number, &Need::level);
    if (need == part.needs.end()) {
      return false;
    }
    focus.push_back(space_.predicate(need->predicate).language);
  }
  SortUnique(focus);
  return true;
}

Status Explorer::Gather(const State& state, Level& level) {
  for (uint32_t number : state.alive) {
    const Part& part = parts_[number];
    bool asks = false;
    for (const Need& need : part.needs) {
      if (need.level != level.number) {
        continue;
      }
      asks = true;
      const Predicate& predicate = space_.predicate(need.predicate);
      if (predicate.language != Space::kNothing) {
        level.languages.push_back(predicate.language);
      }
      if (predicate.repeated == Repeated::kAny || predicate.repeated == Repeated::kAll) {
        level.many.push_back(predicate.language);
      }
    }
    (asks ? level.asking : level.free).push_back(number);
  }
  SortUnique(level.languages);
  SortUnique(level.many);
  // A value that is wanted is in a language of the focus. What has no value in common with these
  // need not be told apart.
  Numbers focus;
  if (level.many.empty() && Focus(state, level, focus) &&
      focus.size() * level.languages.size() <= kPairsCompared) {
    std::erase_if(level.languages, [&](uint32_t language) {
      return std::ranges::all_of(focus, [&](uint32_t wanted) {
        return wanted != language && space_.Disjoint(wanted, language);
      });
    });
  }
  return absl::OkStatus();
}

Explorer::Numbers Explorer::LanguagesAsked(const Level& level, uint32_t part) const {
  if (auto joined = level.joined.find(part); joined != level.joined.end()) {
    return {joined->second};
  }
  Numbers languages;
  for (const Need& need : parts_[part].needs) {
    if (need.level == level.number) {
      languages.push_back(space_.predicate(need.predicate).language);
    }
  }
  SortUnique(languages);
  return languages;
}

// Items that ask for nothing behind this coordinate and play the same roles need not be told
// apart: one stands for all with the union of their languages. Patterns that multiply when they
// are told apart often have a small union. False if there is nothing to join.
bool Explorer::JoinLast(const State& state, Level& level) {
  std::vector<uint8_t> excepted(items_.size(), 0);
  for (uint32_t number : state.alive) {
    if (parts_[number].exception) {
      excepted[parts_[number].item] = 1;
    }
  }
  std::map<std::pair<Roles, bool>, Numbers> alike;
  for (uint32_t number : level.asking) {
    const Part& part = parts_[number];
    auto asked = std::ranges::count(part.needs, level.number, &Need::level);
    const Predicate& predicate = space_.predicate(part.needs.back().predicate);
    if (!part.exception && excepted[part.item] == 0 && asked == 1 &&
        part.needs.back().level == level.number && predicate.repeated == Repeated::kNever &&
        std::ranges::binary_search(level.languages, predicate.language)) {
      auto roles = static_cast<Roles>(items_[part.item].roles & ~irrelevant_[state.yes]);
      alike[{roles, predicate.on_absent}].push_back(number);
    }
  }
  for (const auto& [key, parts] : alike) {
    Numbers languages;
    for (uint32_t number : parts) {
      languages.push_back(space_.predicate(parts_[number].needs.back().predicate).language);
    }
    SortUnique(languages);
    std::optional<uint32_t> joined = space_.Joined(languages);
    if (languages.size() < 2 || !joined) {
      continue;
    }
    level.joined[parts[0]] = *joined;
    std::erase_if(level.asking, [&](uint32_t number) {
      return number != parts[0] && std::ranges::binary_search(parts, number);
    });
  }
  Numbers kept;
  for (uint32_t number : level.asking) {
    for (uint32_t language : LanguagesAsked(level, number)) {
      bool told =
          level.joined.contains(number) || std::ranges::binary_search(level.languages, language);
      if (told) {
        kept.push_back(language);
      }
    }
  }
  level.languages = std::move(kept);
  SortUnique(level.languages);
  return !level.joined.empty();
}

Status Explorer::Cut(const State& state, Level& level) {
  StatusOr<language::Partition*> partition = space_.PartitionOf(level.axis, level.languages);
  if (!partition.ok() && language::IsTooLarge(partition.status()) && JoinLast(state, level)) {
    partition = space_.PartitionOf(level.axis, level.languages);
  }
  if (!partition.ok()) {
    return language::IsTooLarge(partition.status()) ? GaveUp(partition.status(), level)
                                                    : partition.status();
  }
  level.partition = *partition;
  return absl::OkStatus();
}

Status Explorer::GaveUp(const Status& why, const Level& level) const {
  std::string culprits;
  size_t named = 0;
  for (uint32_t language : level.languages) {
    if (named++ < kCulpritsNamed) {
      culprits += Concat(named == 1 ? "" : ", ", space_.Name(language));
    }
  }
  if (named > kCulpritsNamed) {
    culprits += Concat(" and ", named - kCulpritsNamed, " more");
  }
  return ResourceExhausted("at ", Describe(space_.coordinate(order_[level.number])), ", ",
                           Message(why), ": ", culprits);
}

void Explorer::AddTo(Level& level, Numbers passed, uint32_t domains,
                     const std::function<void(Group&)>& add) {
  auto [place, fresh] = level.group_numbers.try_emplace({passed, domains}, level.groups.size());
  if (fresh) {
    Group& group = level.groups.emplace_back();
    group.passed = std::move(passed);
    group.domains = domains;
  }
  add(level.groups[place->second]);
}

Status Explorer::GroupClasses(Level& level, bool with_domains) {
  // For each language of the partition the parts that ask for it; how many each part asks for.
  std::vector<Numbers> parts_of(level.languages.size());
  std::vector<uint32_t> asked(level.asking.size(), 0);
  for (uint32_t i = 0; i < level.asking.size(); ++i) {
    Numbers own = LanguagesAsked(level, level.asking[i]);
    asked[i] = static_cast<uint32_t>(own.size());
    for (uint32_t language : own) {
      auto place = std::ranges::lower_bound(level.languages, language);
      if (place != level.languages.end() && *place == language) {
        parts_of[static_cast<size_t>(place - level.languages.begin())].push_back(i);
      }
    }
  }
  std::vector<uint32_t> held(level.asking.size(), 0);
  for (uint32_t number = 0; number < level.partition->classes().size(); ++number) {
    Numbers passed;
    Numbers touched;
    for (uint32_t language : level.partition->classes()[number].inside) {
      for (uint32_t i : parts_of[language]) {
        touched.push_back(i);
        if (++held[i] == asked[i]) {
          passed.push_back(level.asking[i]);
        }
      }
    }
    steps_ += touched.size() + 1;
    for (uint32_t i : touched) {
      held[i] = 0;
    }
    std::ranges::sort(passed);
    uint32_t domains = UINT32_MAX;
    if (with_domains) {
      domains = DomainsOf(level, number);
    }
    AddTo(level, std::move(passed), domains,
          [number](Group& group) { group.classes.push_back(number); });
  }
  return absl::OkStatus();
}

void Explorer::GroupAbsent(Level& level) {
  Numbers passed;
  for (uint32_t number : level.asking) {
    bool holds = std::ranges::all_of(parts_[number].needs, [&](const Need& need) {
      return need.level != level.number || space_.predicate(need.predicate).on_absent;
    });
    if (holds) {
      passed.push_back(number);
    }
  }
  AddTo(level, std::move(passed), UINT32_MAX, [](Group& group) { group.absent = true; });
}

// All that several values can come to: what one comes to, joined with what others do.
Status Explorer::FindOutcomes(Level& level) {
  std::deque<Outcome> queue;
  std::map<Outcome, std::vector<std::string>> singles;
  for (const language::Partition::Class& one : level.partition->classes()) {
    Outcome outcome;
    for (uint32_t language : level.many) {
      auto place = std::ranges::lower_bound(level.languages, language) - level.languages.begin();
      bool inside = std::ranges::binary_search(one.inside, static_cast<uint32_t>(place));
      outcome.push_back(inside ? '\3' : '\0');
    }
    // A value that comes twice counts as several.
    singles.try_emplace(std::move(outcome), std::vector<std::string>(2, one.shortest));
  }
  level.outcomes = singles;
  for (const auto& [outcome, sample] : singles) {
    queue.push_back(outcome);
  }
  for (; !queue.empty(); queue.pop_front()) {
    for (const auto& [single, value] : singles) {
      Outcome joined = queue.front();
      for (size_t i = 0; i < joined.size(); ++i) {
        joined[i] = static_cast<char>(((joined[i] | single[i]) & 1) | (joined[i] & single[i] & 2));
      }
      std::vector<std::string> sample = level.outcomes[queue.front()];
      if (sample.size() == 2 && sample[0] == sample[1]) {
        sample.pop_back();
      }
      sample.push_back(value[0]);
      if (level.outcomes.try_emplace(joined, std::move(sample)).second) {
        queue.push_back(std::move(joined));
      }
    }
    if (level.outcomes.size() > space_.limits().many_outcomes_max) {
      return GaveUp(ResourceExhausted("several values can come to more than many_outcomes_max = ",
                                      space_.limits().many_outcomes_max, " outcomes"),
                    level);
    }
  }
  return absl::OkStatus();
}

bool Explorer::HoldsRepeated(const Part& part, const Level& level, const Outcome& outcome) const {
  return std::ranges::all_of(part.needs, [&](const Need& need) {
    if (need.level != level.number) {
      return true;
    }
    const Predicate& predicate = space_.predicate(need.predicate);
    if (predicate.repeated == Repeated::kNever || predicate.repeated == Repeated::kAlways) {
      return predicate.repeated == Repeated::kAlways;
    }
    auto place = std::ranges::lower_bound(level.many, predicate.language) - level.many.begin();
    int bit = predicate.repeated == Repeated::kAny ? 1 : 2;
    return (outcome[static_cast<size_t>(place)] & bit) != 0;
  });
}

Status Explorer::GroupRepeated(Level& level) {
  RETURN_IF_ERROR(FindOutcomes(level));
  for (const auto& [outcome, sample] : level.outcomes) {
    Numbers passed;
    for (uint32_t number : level.asking) {
      if (HoldsRepeated(parts_[number], level, outcome)) {
        passed.push_back(number);
      }
    }
    AddTo(level, std::move(passed), UINT32_MAX,
          [&](Group& group) { group.repeated.push_back(outcome); });
  }
  return absl::OkStatus();
}

uint32_t Explorer::DomainsOf(const Level& level, uint32_t class_number) {
  auto [place, fresh] = domains_.try_emplace({level.partition, class_number}, 0);
  if (fresh) {
    const uint32_t one[] = {class_number};
    place->second = values_.AddLanguage(language::TrustDomainsOf(level.partition->LanguageOf(one)));
  }
  return place->second;
}

const Explorer::Once& Explorer::OnceOf(const Level& level, const Numbers& classes) {
  auto [place, fresh] = once_.try_emplace({level.partition, classes});
  Once& once = place->second;
  if (fresh) {
    once.language = values_.AddLanguage(level.partition->LanguageOf(classes));
    once.phrases = PhrasesFor(*level.partition, level.languages, classes);
    once.sample = level.partition->classes()[classes[0]].shortest;
    for (const std::string& value : FamiliarValues(level.axis)) {
      std::optional<uint32_t> number = level.partition->ClassOf(value);
      if (number && std::ranges::binary_search(classes, *number)) {
        once.sample = value;
        break;
      }
    }
  }
  return once;
}

StatusOr<uint32_t> Explorer::MakeValues(const Level& level, const Group& group) {
  ValueSet set;
  set.coordinate = order_[level.number];
  set.absent = group.absent;
  if (!group.classes.empty()) {
    const Once& once = OnceOf(level, group.classes);
    set.whole = group.classes.size() == level.partition->classes().size();
    set.language = once.language;
    set.phrases = once.phrases;
    set.once.push_back(once.sample);
  }
  if (!group.repeated.empty()) {
    RepeatedSet repeated;
    if (group.repeated.size() == level.outcomes.size()) {
      repeated.outcomes.insert(Outcome());
    } else {
      repeated.languages = level.many;
      repeated.outcomes.insert(group.repeated.begin(), group.repeated.end());
    }
    set.repeated = values_.AddRepeated(std::move(repeated));
    set.several = level.outcomes.at(group.repeated[0]);
  }
  return values_.Add(std::move(set));
}

}  // namespace countersign::authz::prove
