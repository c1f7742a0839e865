// Hopcroft's algorithm, then the canonical numbering.
#include <algorithm>
#include <unordered_map>

#include "authz/language/dfa.h"

namespace countersign::authz::language {
namespace {

// Blocks is a partition of the states that only gets finer. The members of a block stand together
// in members_; those marked so far stand first.
class Blocks {
 public:
  explicit Blocks(const std::vector<uint8_t>& accepts)
      : members_(accepts.size()), place_(accepts.size()), block_of_(accepts.size(), 0) {
    for (uint32_t state = 0; state < accepts.size(); ++state) {
      members_[state] = place_[state] = state;
    }
    blocks_.push_back({.begin = 0, .end = static_cast<uint32_t>(accepts.size())});
    for (uint32_t state = 0; state < accepts.size(); ++state) {
      if (accepts[state] != 0) {
        Mark(state);
      }
    }
  }

  uint32_t size() const { return static_cast<uint32_t>(blocks_.size()); }
  uint32_t block_of(uint32_t state) const { return block_of_[state]; }
  uint32_t count(uint32_t block) const { return blocks_[block].end - blocks_[block].begin; }
  const uint32_t* begin(uint32_t block) const { return members_.data() + blocks_[block].begin; }

  void Mark(uint32_t state) {
    Block& block = blocks_[block_of_[state]];
    uint32_t at = place_[state];
    uint32_t to = block.begin + block.marked;
    if (at < to) {
      return;
    }
    if (block.marked++ == 0) {
      touched_.push_back(block_of_[state]);
    }
    std::swap(members_[at], members_[to]);
    place_[members_[at]] = at;
    place_[members_[to]] = to;
  }

  // Splits every touched block into what is marked and what is not. Calls visit(old, made).
  template <class Visit>
  void SplitMarked(Visit visit) {
    for (uint32_t number : touched_) {
      uint32_t marked = blocks_[number].marked;
      blocks_[number].marked = 0;
      if (marked == count(number)) {
        continue;
      }
      Block made = blocks_[number];
      made.end = made.begin + marked;
      blocks_[number].begin = made.end;
      auto made_number = static_cast<uint32_t>(blocks_.size());
      blocks_.push_back(made);
      for (uint32_t i = made.begin; i < made.end; ++i) {
        block_of_[members_[i]] = made_number;
      }
      visit(number, made_number);
    }
    touched_.clear();
  }

 private:
  struct Block {
    uint32_t begin = 0;
    uint32_t end = 0;
    uint32_t marked = 0;
  };
  std::vector<uint32_t> members_, place_, block_of_;
  std::vector<Block> blocks_;
  std::vector<uint32_t> touched_;
};

// For each class and state, the states that lead to it.
class Predecessors {
 public:
  explicit Predecessors(const Dfa& dfa)
      : states_(dfa.states()), begin_(dfa.classes.size() * states_ + 1, 0), from_(dfa.next.size()) {
    size_t classes = dfa.classes.size();
    for (size_t i = 0; i < dfa.next.size(); ++i) {
      ++begin_[(i % classes) * states_ + dfa.next[i] + 1];
    }
    for (size_t i = 1; i < begin_.size(); ++i) {
      begin_[i] += begin_[i - 1];
    }
    std::vector<uint32_t> fill(begin_.begin(), begin_.end() - 1);
    for (size_t i = 0; i < dfa.next.size(); ++i) {
      from_[fill[(i % classes) * states_ + dfa.next[i]]++] = static_cast<uint32_t>(i / classes);
    }
  }
  template <class Visit>
  void ForEach(size_t byte_class, uint32_t state, Visit visit) const {
    size_t at = byte_class * states_ + state;
    for (uint32_t i = begin_[at]; i < begin_[at + 1]; ++i) {
      visit(from_[i]);
    }
  }

 private:
  size_t states_;
  std::vector<uint32_t> begin_, from_;
};

Blocks Refine(const Dfa& dfa) {
  Blocks blocks(dfa.accepts);
  size_t classes = dfa.classes.size();
  Predecessors predecessors(dfa);
  std::vector<uint32_t> work;  // Blocks to split by, each once.
  std::vector<uint8_t> waits(1, 1);
  work.push_back(0);
  auto on_split = [&](uint32_t old, uint32_t made) {
    waits.resize(blocks.size(), 0);
    // A block that already waits keeps waiting in both halves; else the smaller half is enough.
    uint32_t add = waits[old] != 0 || blocks.count(made) <= blocks.count(old) ? made : old;
    waits[add] = 1;
    work.push_back(add);
  };
  blocks.SplitMarked(on_split);
  std::vector<uint32_t> splitter;
  while (!work.empty()) {
    uint32_t block = work.back();
    work.pop_back();
    waits[block] = 0;
    splitter.assign(blocks.begin(block), blocks.begin(block) + blocks.count(block));
    for (size_t byte_class = 0; byte_class < classes; ++byte_class) {
      for (uint32_t state : splitter) {
        predecessors.ForEach(byte_class, state, [&](uint32_t from) { blocks.Mark(from); });
      }
      blocks.SplitMarked(on_split);
    }
  }
  return blocks;
}

// Joins classes with the same transitions everywhere.
ByteClasses MergeClasses(const ByteClasses& classes, const std::vector<uint32_t>& table) {
  size_t width = classes.size();
  std::vector<uint32_t> label(width, 0);
  uint32_t labels = 1;
  for (size_t row = 0; row < table.size() && labels < width; row += width) {
    // Most rows tell nothing new: each label has one target.
    std::vector<uint32_t> target(labels, UINT32_MAX);
    bool news = false;
    for (size_t i = 0; i < width; ++i) {
      uint32_t& known = target[label[i]];
      news = news || (known != UINT32_MAX && known != table[row + i]);
      known = table[row + i];
    }
    if (!news) {
      continue;
    }
    std::unordered_map<uint64_t, uint32_t> numbers;
    for (size_t i = 0; i < width; ++i) {
      uint64_t key = uint64_t{label[i]} << 32 | table[row + i];
      label[i] = numbers.try_emplace(key, static_cast<uint32_t>(numbers.size())).first->second;
    }
    labels = static_cast<uint32_t>(numbers.size());
  }
  std::array<uint32_t, 256> by_byte = {};
  for (size_t byte = 0; byte < by_byte.size(); ++byte) {
    by_byte[byte] = label[classes[static_cast<uint8_t>(byte)]];
  }
  return ByteClasses::FromLabels(by_byte);
}

}  // namespace

Dfa Minimize(const Dfa& dfa) {
  Blocks blocks = Refine(dfa);
  size_t width = dfa.classes.size();
  // One row of blocks a block, in any order.
  std::vector<uint32_t> rows(blocks.size() * width);
  for (uint32_t block = 0; block < blocks.size(); ++block) {
    uint32_t member = *blocks.begin(block);
    for (size_t i = 0; i < width; ++i) {
      rows[block * width + i] = blocks.block_of(dfa.next[member * width + i]);
    }
  }
  Dfa minimal;
  minimal.classes = MergeClasses(dfa.classes, rows);
  std::vector<uint8_t> first = minimal.classes.First();
  std::vector<uint32_t> number(blocks.size(), UINT32_MAX);
  std::vector<uint32_t> order = {blocks.block_of(0)};
  number[order[0]] = 0;
  for (size_t at = 0; at < order.size(); ++at) {
    uint32_t block = order[at];
    minimal.accepts.push_back(dfa.accepts[*blocks.begin(block)]);
    for (uint8_t byte : first) {
      uint32_t to = rows[block * width + dfa.classes[byte]];
      if (number[to] == UINT32_MAX) {
        number[to] = static_cast<uint32_t>(order.size());
        order.push_back(to);
      }
      minimal.next.push_back(number[to]);
    }
  }
  return minimal;
}

}  // namespace countersign::authz::language
