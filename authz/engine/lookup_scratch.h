// LookupScratch is one thread's memory for look-ups: sized once for a policy, so that no look-up
// allocates.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "authz/engine/patterns.h"

namespace countersign::authz::engine {

class LookupScratch {
 public:
  void Fit(const PatternStore& patterns);

  // Begin makes ready for the next decision.
  void Begin() {
    memo.Forget();
    fault = false;
    bytes_left = bytes_max_;
    words_used_ = 0;
  }

  // Words are bits that a look-up marks, all zero at first, and gives back when it ends. Empty if
  // there is no room, which Fit made sure of.
  std::span<uint64_t> TakeWords(size_t count);
  void GiveBack(size_t count) { words_used_ -= count; }

  PatternMemo memo;
  bool fault = false;     // A budget is used up: nothing that was found can be trusted.
  size_t bytes_left = 0;  // That tried patterns may still read.

 private:
  size_t bytes_max_ = 0;
  std::vector<uint64_t> words_;
  size_t words_used_ = 0;
};

}  // namespace countersign::authz::engine
