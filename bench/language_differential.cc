// language_differential --pairs N --seed S: holds authz/language against RE2 on generated patterns,
// with many border texts each, until N (pattern, text) pairs are judged, or with --cpu-seconds N
// for so long. Seed 0 is the day. Prints the tally as JSON and ends with 1 on a disagreement.
#include "tests/support/language_differential.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr uint32_t kTextsPerPattern = 512;
constexpr uint64_t kDisagreementsMax = 20;  // Enough to see what they have in common.

uint64_t Option(int argc, char** argv, const char* name, uint64_t otherwise) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], name) == 0) {
      return std::strtoull(argv[i + 1], nullptr, 10);
    }
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace countersign;
  using namespace countersign::authz::language;
  uint64_t cpu_seconds = Option(argc, argv, "--cpu-seconds", 0);
  uint64_t pairs = cpu_seconds != 0 ? UINT64_MAX : Option(argc, argv, "--pairs", 10'000'000);
  uint64_t seed = Option(argc, argv, "--seed", 1);
  if (seed == 0) {
    constexpr time_t kDay = 24 * 60 * 60;
    seed = static_cast<uint64_t>(std::time(nullptr) / kDay);
  }
  auto begin = std::chrono::steady_clock::now();
  Random random(seed);
  DifferentialTally tally;
  auto time_is_up = [cpu_seconds] {
    return cpu_seconds != 0 && std::clock() / CLOCKS_PER_SEC >= static_cast<clock_t>(cpu_seconds);
  };
  while (tally.pairs < pairs && tally.disagreements < kDisagreementsMax && !time_is_up()) {
    if (auto disagreement =
            ComparePattern(GeneratePattern(random), kTextsPerPattern, random, tally)) {
      std::fprintf(stderr, "%s\n", disagreement->c_str());
    }
  }
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::string line = Concat(
      "{\"seed\":", seed, ",\"patterns\":", tally.patterns, ",\"refused_by_both\":", tally.refused,
      ",\"too_large\":", tally.too_large, ",\"pairs\":", tally.pairs,
      ",\"matched\":", tally.matched, ",\"dfa_states_max\":", tally.dfa_states_max,
      ",\"disagreements\":", tally.disagreements,
      ",\"seconds\":", static_cast<uint64_t>(seconds.count()), "}");
  std::puts(line.c_str());
  return tally.disagreements == 0 ? 0 : 1;
}
