#include "authz/language/search.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

namespace countersign::authz::language {
namespace {

std::array<uint8_t, 256> MakeReadableFirst() {
  std::array<uint8_t, 256> order = {};
  size_t count = 0;
  ByteSet placed;
  auto place = [&](int first, int last) {
    for (int byte = first; byte <= last; ++byte) {
      if (!placed.Contains(static_cast<uint8_t>(byte))) {
        placed.Add(static_cast<uint8_t>(byte));
        order[count++] = static_cast<uint8_t>(byte);
      }
    }
  };
  place('a', 'z');
  place('A', 'Z');
  place('0', '9');
  for (char mark : {'-', '_', '.', '/'}) {
    place(mark, mark);
  }
  place(0x21, 0x7E);
  place(' ', ' ');
  place(0x00, 0xFF);
  return order;
}

// For each state, whether some text from there on is accepted ([1]), and some is not ([0]).
std::vector<std::array<uint8_t, 2>> Outlooks(const Dfa& dfa) {
  std::vector<std::array<uint8_t, 2>> outlooks(dfa.states());
  size_t width = dfa.classes.size();
  for (uint32_t state = 0; state < dfa.states(); ++state) {
    // In a minimal automaton a state has one outlook only if it is a sink.
    bool sink = true;
    for (size_t i = 0; i < width && sink; ++i) {
      sink = dfa.next[state * width + i] == state;
    }
    outlooks[state][0] = !sink || dfa.accepts[state] == 0 ? 1 : 0;
    outlooks[state][1] = !sink || dfa.accepts[state] != 0 ? 1 : 0;
  }
  return outlooks;
}

// Walk is a breadth-first search over tuples of states.
class Walk {
 public:
  Walk(std::span<const Constraint> constraints, size_t bytes_max, const LanguageLimits& limits)
      : constraints_(constraints), bytes_max_(bytes_max), limits_(limits) {
    for (const Constraint& constraint : constraints) {
      outlooks_.push_back(Outlooks(constraint.language->dfa()));
    }
  }

  StatusOr<std::optional<std::string>> Run() {
    std::vector<uint8_t> bytes = BytesToTry();
    std::vector<uint32_t> start(constraints_.size(), 0);
    if (CanSucceed(start)) {
      Intern(start, {});
    }
    std::vector<uint32_t> tuple(constraints_.size());
    for (uint32_t at = 0; at < nodes_.size(); ++at) {
      if (Succeeds(at)) {
        return std::optional(TextOf(at));
      }
      if (nodes_[at].bytes >= bytes_max_) {
        continue;
      }
      for (uint8_t byte : bytes) {
        for (size_t i = 0; i < tuple.size(); ++i) {
          tuple[i] = constraints_[i].language->dfa().Step(States(at)[i], byte);
        }
        if (CanSucceed(tuple)) {
          Intern(tuple, {.parent = at, .bytes = nodes_[at].bytes + 1, .byte = byte});
        }
      }
      if (nodes_.size() > limits_.search_states_max) {
        return ResourceExhausted("a search through ", constraints_.size(),
                                 " languages visits more than search_states_max = ",
                                 limits_.search_states_max, " states");
      }
    }
    return std::optional<std::string>();
  }

 private:
  struct Node {
    uint32_t parent = 0;
    uint32_t bytes = 0;  // From the start to here.
    uint8_t byte = 0;
  };

  // Of bytes that no automaton tells apart, the most readable one.
  std::vector<uint8_t> BytesToTry() const {
    std::array<uint32_t, 256> labels = {};
    for (const Constraint& constraint : constraints_) {
      ByteClasses joint = ByteClasses::FromLabels(labels);
      for (size_t byte = 0; byte < labels.size(); ++byte) {
        auto value = static_cast<uint8_t>(byte);
        labels[byte] = joint[value] * 256U + constraint.language->dfa().classes[value];
      }
    }
    ByteClasses joint = ByteClasses::FromLabels(labels);
    std::vector<uint8_t> bytes;
    ByteSet seen;
    for (uint8_t byte : ReadableFirst()) {
      if (!seen.Contains(joint[byte])) {
        seen.Add(joint[byte]);
        bytes.push_back(byte);
      }
    }
    return bytes;
  }

  bool CanSucceed(std::span<const uint32_t> states) const {
    for (size_t i = 0; i < states.size(); ++i) {
      if (outlooks_[i][states[i]][constraints_[i].side == Side::kInside ? 1 : 0] == 0) {
        return false;
      }
    }
    return true;
  }

  std::span<const uint32_t> States(uint32_t node) const {
    return std::span(pool_).subspan(node * constraints_.size(), constraints_.size());
  }

  bool Succeeds(uint32_t node) const {
    std::span<const uint32_t> states = States(node);
    for (size_t i = 0; i < states.size(); ++i) {
      bool inside = constraints_[i].language->dfa().accepts[states[i]] != 0;
      if (inside != (constraints_[i].side == Side::kInside)) {
        return false;
      }
    }
    return true;
  }

  void Intern(std::span<const uint32_t> states, Node node) {
    uint64_t hash = 0;
    for (uint32_t state : states) {
      hash = (hash ^ state) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    auto [begin, end] = numbers_.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
      if (std::ranges::equal(States(it->second), states)) {
        return;
      }
    }
    numbers_.emplace(hash, static_cast<uint32_t>(nodes_.size()));
    nodes_.push_back(node);
    pool_.insert(pool_.end(), states.begin(), states.end());
  }

  std::string TextOf(uint32_t node) const {
    std::string text;
    for (; nodes_[node].bytes > 0; node = nodes_[node].parent) {
      text.push_back(static_cast<char>(nodes_[node].byte));
    }
    std::ranges::reverse(text);
    return text;
  }

  std::span<const Constraint> constraints_;
  const size_t bytes_max_;
  const LanguageLimits& limits_;
  std::vector<std::vector<std::array<uint8_t, 2>>> outlooks_;
  // Nodes in the order of the search: by length, then by the order of ReadableFirst().
  std::vector<Node> nodes_;
  std::vector<uint32_t> pool_;  // A state for each node and constraint.
  std::unordered_multimap<uint64_t, uint32_t> numbers_;
};

}  // namespace

std::span<const uint8_t, 256> ReadableFirst() {
  static const std::array<uint8_t, 256> kOrder = MakeReadableFirst();
  return kOrder;
}

StatusOr<std::optional<std::string>> FindText(std::span<const Constraint> constraints,
                                              size_t bytes_max, const LanguageLimits& limits) {
  return Walk(constraints, bytes_max, limits).Run();
}

std::optional<std::string> Witness(const Language& language) {
  // A walk through one automaton visits each of its states once at most.
  LanguageLimits limits;
  limits.search_states_max = SIZE_MAX;
  Constraint constraint = {.language = &language};
  return FindText({&constraint, 1}, kAnyBytes, limits).value();
}

StatusOr<std::optional<std::string>> FindOutside(const Inclusion& question,
                                                 const LanguageLimits& limits) {
  Constraint constraints[] = {{.language = &question.inner, .side = Side::kInside},
                              {.language = &question.outer, .side = Side::kOutside}};
  return FindText(constraints, kAnyBytes, limits);
}

}  // namespace countersign::authz::language
