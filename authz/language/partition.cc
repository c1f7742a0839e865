#include "authz/language/partition.h"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <utility>

#include "authz/language/search.h"

namespace countersign::authz::language {
namespace {

constexpr uint32_t kNoState = UINT32_MAX;

// The state from which nothing is accepted any more, if there is one.
uint32_t DeadState(const Dfa& dfa) {
  size_t width = dfa.classes.size();
  for (uint32_t state = 0; state < dfa.states(); ++state) {
    auto row = dfa.next.begin() + static_cast<std::ptrdiff_t>(state * width);
    if (dfa.accepts[state] == 0 && std::all_of(row, row + static_cast<std::ptrdiff_t>(width),
                                               [state](uint32_t to) { return to == state; })) {
      return state;
    }
  }
  return kNoState;
}

// Member is one language's automaton with what the joint walk asks of it.
struct Member {
  const Dfa* dfa = nullptr;
  uint32_t dead = kNoState;
  std::vector<std::vector<uint32_t>> joint;  // Own byte class to joint ones.
};

}  // namespace

// PartitionBuilder is for one Create. A state of the joint automaton is the state of the values'
// automaton and, of each language that can still accept, its state.
class PartitionBuilder {
 public:
  PartitionBuilder(const CanonicalValues& values, std::span<const Language* const> languages,
                   const PartitionLimits& limits)
      : values_(values), limits_(limits) {
    std::array<uint32_t, 256> labels = {};
    auto refine = [&](const Dfa& dfa) {
      ByteClasses joint = ByteClasses::FromLabels(labels);
      for (size_t byte = 0; byte < labels.size(); ++byte) {
        auto value = static_cast<uint8_t>(byte);
        labels[byte] = joint[value] * 256U + dfa.classes[value];
      }
    };
    refine(values.language.dfa());
    for (const Language* language : languages) {
      refine(language->dfa());
    }
    out_.bytes_ = ByteClasses::FromLabels(labels);
    ChooseBytes();
    for (const Language* language : languages) {
      members_.push_back(MakeMember(language->dfa()));
    }
    canonical_dead_ = DeadState(values.language.dfa());
  }

  StatusOr<Partition> Run() {
    buckets_.resize(out_.bytes_.size());
    no_members_.assign(values_.language.dfa().states(), kNoState);
    std::vector<Part> start;
    for (uint32_t i = 0; i < members_.size(); ++i) {
      if (members_[i].dead != 0) {
        start.push_back({i, 0});
      }
    }
    if (canonical_dead_ != 0) {
      Intern(0, start, {});
    }
    for (uint32_t at = 0; at < states_.size(); ++at) {
      Judge(at);
      Expand(at);
      if (states_.size() > limits_.states_max) {
        return ResourceExhausted("together they need an automaton of more than states_max = ",
                                 limits_.states_max, " states");
      }
      if (out_.steps_ > limits_.steps_max) {
        return ResourceExhausted("together they need more than steps_max = ", limits_.steps_max,
                                 " steps");
      }
    }
    return std::move(out_);
  }

 private:
  struct Part {
    uint32_t member = 0;
    uint32_t state = 0;
    bool operator==(const Part&) const = default;
  };
  struct State {
    uint32_t canonical = 0;
    uint32_t begin = 0;  // In pool_.
    uint32_t size = 0;
    uint32_t parent = 0;
    uint32_t bytes = 0;  // From the start to here.
    uint8_t byte = 0;
  };
  struct Origin {
    uint32_t parent = 0;
    uint32_t bytes = 0;
    uint8_t byte = 0;
  };

  // Of each joint class the most readable byte, in the order of readability.
  void ChooseBytes() {
    std::vector<uint8_t> seen(out_.bytes_.size(), 0);
    for (uint8_t byte : ReadableFirst()) {
      uint8_t joint = out_.bytes_[byte];
      if (seen[joint] == 0) {
        seen[joint] = 1;
        order_.push_back(byte);
      }
    }
  }

  Member MakeMember(const Dfa& dfa) const {
    Member member{.dfa = &dfa, .dead = DeadState(dfa), .joint = {}};
    member.joint.resize(dfa.classes.size());
    for (uint8_t byte : order_) {
      member.joint[dfa.classes[byte]].push_back(out_.bytes_[byte]);
    }
    return member;
  }

  void Judge(uint32_t at) {
    uint32_t number = Partition::kNone;
    if (values_.language.dfa().accepts[states_[at].canonical] != 0) {
      std::vector<uint32_t> inside;
      for (uint32_t i = 0; i < states_[at].size; ++i) {
        const Part& part = pool_[states_[at].begin + i];
        if (members_[part.member].dfa->accepts[part.state] != 0) {
          inside.push_back(part.member);
        }
      }
      auto known = class_numbers_.find(inside);
      if (known != class_numbers_.end()) {
        number = known->second;
      } else if (states_[at].bytes <= values_.bytes_max) {
        // The walk goes by length: the first text of a class is a shortest one.
        number = static_cast<uint32_t>(out_.classes_.size());
        out_.classes_.push_back({.inside = inside, .shortest = TextOf(at)});
        class_numbers_.emplace(std::move(inside), number);
      }
    }
    out_.class_of_state_.push_back(number);
  }

  std::string TextOf(uint32_t at) const {
    std::string text;
    for (; states_[at].bytes > 0; at = states_[at].parent) {
      text.push_back(static_cast<char>(states_[at].byte));
    }
    std::ranges::reverse(text);
    return text;
  }

  void Expand(uint32_t at) {
    for (std::vector<Part>& bucket : buckets_) {
      bucket.clear();
    }
    for (uint32_t i = 0; i < states_[at].size; ++i) {
      Part part = pool_[states_[at].begin + i];
      const Member& member = members_[part.member];
      const uint32_t* row = member.dfa->next.data() + part.state * member.joint.size();
      for (size_t own = 0; own < member.joint.size(); ++own) {
        if (row[own] == member.dead) {
          continue;
        }
        for (uint32_t joint : member.joint[own]) {
          buckets_[joint].push_back({part.member, row[own]});
        }
        out_.steps_ += member.joint[own].size();
      }
      out_.steps_ += member.joint.size();
    }
    State state = states_[at];
    size_t row = out_.next_.size();
    out_.next_.resize(row + out_.bytes_.size(), Partition::kNone);
    const Dfa& canonical = values_.language.dfa();
    for (uint8_t byte : order_) {
      uint32_t to = canonical.Step(state.canonical, byte);
      if (to != canonical_dead_) {
        uint8_t joint = out_.bytes_[byte];
        out_.next_[row + joint] =
            Intern(to, buckets_[joint], {.parent = at, .bytes = state.bytes + 1, .byte = byte});
      }
    }
    out_.steps_ += order_.size();
  }

  uint32_t Add(uint32_t canonical, std::span<const Part> parts, Origin origin) {
    states_.push_back({.canonical = canonical,
                       .begin = static_cast<uint32_t>(pool_.size()),
                       .size = static_cast<uint32_t>(parts.size()),
                       .parent = origin.parent,
                       .bytes = origin.bytes,
                       .byte = origin.byte});
    pool_.insert(pool_.end(), parts.begin(), parts.end());
    return static_cast<uint32_t>(states_.size() - 1);
  }

  uint32_t Intern(uint32_t canonical, std::span<const Part> parts, Origin origin) {
    if (parts.empty()) {
      uint32_t& known = no_members_[canonical];
      known = known == kNoState ? Add(canonical, parts, origin) : known;
      return known;
    }
    uint64_t hash = canonical;
    for (const Part& part : parts) {
      hash = (hash ^ (uint64_t{part.member} << 32 | part.state)) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    auto [begin, end] = numbers_.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
      const State& known = states_[it->second];
      if (known.canonical == canonical &&
          std::ranges::equal(parts, std::span(pool_.data() + known.begin, known.size))) {
        return it->second;
      }
    }
    uint32_t number = Add(canonical, parts, origin);
    numbers_.emplace(hash, number);
    return number;
  }

  const CanonicalValues& values_;
  const PartitionLimits& limits_;
  Partition out_;
  std::vector<Member> members_;
  uint32_t canonical_dead_ = kNoState;
  std::vector<uint8_t> order_;
  std::vector<State> states_;  // In the order of the walk.
  std::vector<Part> pool_;
  std::vector<uint32_t> no_members_;  // Canonical state to the joint state without members.
  std::unordered_multimap<uint64_t, uint32_t> numbers_;
  std::map<std::vector<uint32_t>, uint32_t> class_numbers_;
  std::vector<std::vector<Part>> buckets_;  // By joint class, for one state.
};

StatusOr<Partition> Partition::Create(const CanonicalValues& values,
                                      std::span<const Language* const> languages,
                                      const PartitionLimits& limits) {
  return PartitionBuilder(values, languages, limits).Run();
}

std::optional<uint32_t> Partition::ClassOf(std::string_view text) const {
  uint32_t state = class_of_state_.empty() ? kNone : 0;
  for (size_t i = 0; i < text.size() && state != kNone; ++i) {
    state = next_[state * bytes_.size() + bytes_[static_cast<uint8_t>(text[i])]];
  }
  if (state == kNone || class_of_state_[state] == kNone) {
    return std::nullopt;
  }
  return class_of_state_[state];
}

void Partition::PrepareWayBack() {
  size_t width = bytes_.size();
  back_.assign(states() + 1, 0);
  auto for_each_edge = [&](auto visit) {
    for (uint32_t state = 0; state < states(); ++state) {
      uint32_t before = kNone;
      for (size_t i = 0; i < width; ++i) {
        uint32_t to = next_[state * width + i];
        if (to != kNone && to != before) {  // Most rows repeat one target.
          visit(state, to);
          before = to;
        }
      }
    }
  };
  for_each_edge([&](uint32_t, uint32_t to) { ++back_[to + 1]; });
  for (size_t i = 1; i < back_.size(); ++i) {
    back_[i] += back_[i - 1];
  }
  from_.resize(back_.back());
  std::vector<uint32_t> at(back_.begin(), back_.end() - 1);
  for_each_edge([&](uint32_t from, uint32_t to) { from_[at[to]++] = from; });
  states_of_class_.resize(classes_.size());
  for (uint32_t state = 0; state < states(); ++state) {
    if (class_of_state_[state] != kNone) {
      states_of_class_[class_of_state_[state]].push_back(state);
    }
  }
  number_.assign(states(), kNone);
}

Language Partition::LanguageOf(std::span<const uint32_t> classes) {
  if (back_.empty()) {
    PrepareWayBack();
  }
  // The states from which a wanted class can be reached; all others become one dead state.
  std::vector<uint32_t> kept;
  auto keep = [&](uint32_t state) {
    if (number_[state] == kNone) {
      number_[state] = 0;
      kept.push_back(state);
    }
  };
  for (uint32_t number : classes) {
    std::ranges::for_each(states_of_class_[number], keep);
  }
  std::vector<uint32_t> accepting = kept;
  for (size_t at = 0; at < kept.size(); ++at) {
    for (uint32_t i = back_[kept[at]]; i < back_[kept[at] + 1]; ++i) {
      keep(from_[i]);
    }
  }
  if (kept.empty()) {
    return Language::Nothing();
  }
  std::ranges::sort(kept);  // The start comes first: every state can be reached from it.
  for (uint32_t i = 0; i < kept.size(); ++i) {
    number_[kept[i]] = i;
  }
  size_t width = bytes_.size();
  auto dead = static_cast<uint32_t>(kept.size());
  Dfa dfa;
  dfa.classes = bytes_;
  dfa.next.assign((kept.size() + 1) * width, dead);
  dfa.accepts.assign(kept.size() + 1, 0);
  for (uint32_t state : accepting) {
    dfa.accepts[number_[state]] = 1;
  }
  for (size_t at = 0; at < kept.size(); ++at) {
    for (size_t i = 0; i < width; ++i) {
      uint32_t to = next_[kept[at] * width + i];
      if (to != kNone && number_[to] != kNone) {
        dfa.next[at * width + i] = number_[to];
      }
    }
  }
  for (uint32_t state : kept) {
    number_[state] = kNone;
  }
  return Language::FromDfa(dfa);
}

}  // namespace countersign::authz::language
