#include "authz/prove/phrases.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace countersign::authz::prove {
namespace {

using Numbers = std::vector<uint32_t>;

// Sayer is for one set of classes. Languages are numbered as in the partition here.
class Sayer {
 public:
  Sayer(const language::Partition& partition, size_t languages, std::span<const uint32_t> chosen)
      : classes_(partition.classes()),
        members_(languages),
        touches_(languages, 0),
        chosen_(classes_.size(), 0),
        said_(classes_.size(), 0) {
    for (uint32_t number : chosen) {
      chosen_[number] = 1;
    }
    all_.resize(classes_.size());
    for (uint32_t i = 0; i < classes_.size(); ++i) {
      all_[i] = i;
      for (uint32_t language : classes_[i].inside) {
        members_[language].push_back(i);
        touches_[language] += chosen_[i];
      }
    }
  }

  std::vector<Phrase> Run() {
    std::vector<Phrase> phrases;
    // Widest first: classes in few languages are what wide phrases hold.
    Numbers order = all_;
    std::ranges::stable_sort(order, {}, [&](uint32_t i) { return classes_[i].inside.size(); });
    for (uint32_t number : order) {
      if (chosen_[number] != 0 && said_[number] == 0) {
        phrases.push_back(Best(number));
        Mark(phrases.back());
      }
    }
    return phrases;
  }

 private:
  Numbers MembersOf(const Numbers& all_of) const {
    if (all_of.empty()) {
      return all_;
    }
    Numbers members = members_[all_of[0]];
    for (size_t i = 1; i < all_of.size(); ++i) {
      Numbers both;
      std::ranges::set_intersection(members, members_[all_of[i]], std::back_inserter(both));
      members = std::move(both);
    }
    return members;
  }

  // The shortest phrase known that holds class `number` and nothing that is not chosen.
  Phrase Best(uint32_t number) const {
    const Numbers& inside = classes_[number].inside;
    std::vector<Numbers> bases = {{}};
    for (uint32_t language : inside) {
      bases.push_back({language});
    }
    if (inside.size() > 1) {
      bases.push_back(inside);
    }
    std::optional<Phrase> best;
    size_t best_cost = 0;
    for (const Numbers& base : bases) {
      std::optional<Numbers> except = Exceptions(MembersOf(base), inside);
      if (!except) {
        continue;
      }
      Phrase phrase{.all_of = base, .except = *std::move(except)};
      // Everything is no word, each language is one; exceptions are harder to read.
      size_t cost = phrase.all_of.size() + 2 * phrase.except.size();
      if (!best || cost < best_cost) {
        best = std::move(phrase);
        best_cost = cost;
      }
    }
    Shorten(*best, inside);
    return *best;
  }

  // Takes out languages that say nothing beside the others.
  void Shorten(Phrase& phrase, const Numbers& inside) const {
    for (size_t i = phrase.all_of.size(); i-- > 0 && phrase.all_of.size() > 1;) {
      Numbers rest = phrase.all_of;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
      std::optional<Numbers> except = Exceptions(MembersOf(rest), inside);
      if (except && except->size() <= phrase.except.size()) {
        phrase = {.all_of = std::move(rest), .except = *std::move(except)};
      }
    }
  }

  // Languages that together hold every member that is not chosen, and not the class whose
  // languages are `inside`. There always are some if the base is all of `inside`; for a wider base
  // there are none if a class that is not chosen is in fewer languages.
  std::optional<Numbers> Exceptions(const Numbers& members, const Numbers& inside) const {
    Numbers except;
    for (uint32_t member : members) {
      if (chosen_[member] != 0) {
        continue;
      }
      const Numbers& others = classes_[member].inside;
      if (Intersects(others, except)) {
        continue;
      }
      uint32_t found = UINT32_MAX;
      for (uint32_t language : others) {
        if (std::ranges::binary_search(inside, language)) {
          continue;
        }
        // Best: one that takes nothing chosen away, and of those the widest.
        if (found == UINT32_MAX || Better(language, found)) {
          found = language;
        }
      }
      if (found == UINT32_MAX) {
        return std::nullopt;
      }
      except.insert(std::ranges::lower_bound(except, found), found);
    }
    return except;
  }

  bool Better(uint32_t a, uint32_t b) const {
    return std::pair(touches_[a] != 0 ? 1 : 0, members_[b].size()) <
           std::pair(touches_[b] != 0 ? 1 : 0, members_[a].size());
  }

  static bool Intersects(const Numbers& a, const Numbers& b) {
    return std::ranges::any_of(
        a, [&](uint32_t number) { return std::ranges::binary_search(b, number); });
  }

  void Mark(const Phrase& phrase) {
    for (uint32_t member : MembersOf(phrase.all_of)) {
      if (!Intersects(classes_[member].inside, phrase.except)) {
        said_[member] = 1;
      }
    }
  }

  const std::vector<language::Partition::Class>& classes_;
  std::vector<Numbers> members_;   // Classes of each language.
  std::vector<uint32_t> touches_;  // How many of them are chosen.
  std::vector<uint8_t> chosen_;
  std::vector<uint8_t> said_;
  Numbers all_;
};

void Translate(const std::vector<uint32_t>& languages, Numbers& numbers) {
  for (uint32_t& number : numbers) {
    number = languages[number];
  }
}

}  // namespace

std::vector<Phrase> PhrasesFor(const language::Partition& partition,
                               const std::vector<uint32_t>& languages,
                               std::span<const uint32_t> chosen) {
  if (chosen.size() == partition.classes().size()) {
    return {Phrase()};
  }
  std::vector<Phrase> phrases = Sayer(partition, languages.size(), chosen).Run();
  for (Phrase& phrase : phrases) {
    Translate(languages, phrase.all_of);
    Translate(languages, phrase.except);
  }
  return phrases;
}

}  // namespace countersign::authz::prove
