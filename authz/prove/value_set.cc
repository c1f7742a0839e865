#include "authz/prove/value_set.h"

#include <algorithm>
#include <utility>

namespace countersign::authz::prove {

using language::Language;

uint32_t ValueTable::AddLanguage(Language language) {
  uint64_t hash = language.Hash();
  auto [begin, end] = language_numbers_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (languages_[it->second] == language) {
      return it->second;
    }
  }
  auto number = static_cast<uint32_t>(languages_.size());
  languages_.push_back(std::move(language));
  language_numbers_.emplace(hash, number);
  return number;
}

uint32_t ValueTable::AddRepeated(RepeatedSet set) {
  auto [place, fresh] =
      repeated_numbers_.try_emplace(std::move(set), static_cast<uint32_t>(repeated_.size()));
  if (fresh) {
    repeated_.push_back(&place->first);
  }
  return place->second;
}

uint32_t ValueTable::Add(ValueSet set) {
  uint32_t mesh = !set.mesh ? 0U : *set.mesh ? 1U : 2U;
  std::vector<uint32_t> key = {set.coordinate, set.absent ? 1U : 0U, set.language, set.repeated,
                               mesh};
  auto [place, fresh] =
      set_numbers_.try_emplace(std::move(key), static_cast<uint32_t>(sets_.size()));
  if (fresh) {
    sets_.push_back(std::move(set));
  } else if (set.phrases.size() < sets_[place->second].phrases.size()) {
    sets_[place->second].phrases = std::move(set.phrases);  // Said more shortly.
  }
  return place->second;
}

bool ValueTable::IsEverything(const ValueSet& set) const {
  Axis axis = space_.coordinate(set.coordinate).axis;
  if (axis == Axis::kMesh) {
    return !set.mesh;
  }
  bool repeats = set.repeated != ValueSet::kNone && repeated_[set.repeated]->languages.empty();
  return set.whole && (set.absent || !MayBeAbsent(axis)) && (repeats || !MayRepeat(axis));
}

StatusOr<std::optional<uint32_t>> ValueTable::Union(uint32_t a, uint32_t b) {
  ValueSet joined = sets_[a];
  const ValueSet& other = sets_[b];
  if (joined.repeated != other.repeated && joined.repeated != ValueSet::kNone &&
      other.repeated != ValueSet::kNone) {
    RepeatedSet all = *repeated_[joined.repeated];
    const RepeatedSet& more = *repeated_[other.repeated];
    if (all.languages != more.languages) {
      return std::optional<uint32_t>();
    }
    all.outcomes.insert(more.outcomes.begin(), more.outcomes.end());
    joined.repeated = AddRepeated(std::move(all));
  } else if (joined.repeated == ValueSet::kNone) {
    joined.repeated = other.repeated;
    joined.several = other.several;
  }
  if (joined.mesh != other.mesh) {
    joined.mesh = std::nullopt;
  }
  joined.absent = joined.absent || other.absent;
  if (joined.language == ValueSet::kNone) {
    joined.language = other.language;
    joined.whole = other.whole;
    joined.phrases = other.phrases;
    joined.once = other.once;
  } else if (other.language != ValueSet::kNone && other.language != joined.language) {
    StatusOr<Language> both = language::Union(languages_[joined.language],
                                              languages_[other.language], space_.limits().language);
    if (!both.ok()) {
      return std::optional<uint32_t>();  // Two regions then, where one would do.
    }
    Axis axis = space_.coordinate(joined.coordinate).axis;
    ASSIGN_OR_RETURN(const language::CanonicalValues* values, space_.Values(axis));
    joined.whole = *both == values->language;
    for (const Phrase& phrase : other.phrases) {
      if (std::ranges::find(joined.phrases, phrase) == joined.phrases.end()) {
        joined.phrases.push_back(phrase);
      }
    }
    if (joined.whole) {
      joined.phrases.assign(1, Phrase());
    }
    joined.language = AddLanguage(*std::move(both));
  }
  return std::optional(Add(std::move(joined)));
}

}  // namespace countersign::authz::prove
