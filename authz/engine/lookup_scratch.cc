#include "authz/engine/lookup_scratch.h"

#include "authz/engine/required_literals.h"

namespace countersign::authz::engine {
namespace {

// A look-up runs within another one's hits, never deeper: what a box is found by, and a list that
// the box asks then.
constexpr size_t kNestedMax = 2;

}  // namespace

void LookupScratch::Fit(const PatternStore& patterns) {
  memo.Fit(patterns.size());
  bytes_max_ = patterns.limits().decision_bytes_max;
  // At worst a look-up marks all patterns and all their literals.
  size_t marks = patterns.size() * (kRequiredLiteralsMax + 1);
  words_.assign(kNestedMax * (marks / 64 + 4), 0);
  Begin();
}

std::span<uint64_t> LookupScratch::TakeWords(size_t count) {
  if (words_.size() - words_used_ < count) {
    fault = true;
    return {};
  }
  std::span<uint64_t> words(words_.data() + words_used_, count);
  words_used_ += count;
  std::fill(words.begin(), words.end(), 0U);
  return words;
}

}  // namespace countersign::authz::engine
