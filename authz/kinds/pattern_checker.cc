// Patterns are compiled at load, so that a bad or an expensive one is an error at its place.
#include <re2/re2.h>

#include "authz/kinds/report.h"
#include "authz/language/parse_pattern.h"

namespace countersign::authz {
namespace {

// A failed compile may cost as much as a large program; it is charged as one.
constexpr int64_t kFailureCost = 50'000;

int64_t CostOf(int64_t instructions) { return instructions + instructions * instructions / 500; }

}  // namespace

Status PatternChecker::Check(const std::string& pattern) {
  if (pattern.size() > kPatternBytesMax) {
    return InvalidArgument("a pattern of ", pattern.size(), " bytes: at most ", kPatternBytesMax,
                           " are allowed");
  }
  if (auto known = seen_.find(pattern); known != seen_.end()) {
    return known->second;
  }
  if (cost_ > kFileCostMax) {
    return ResourceExhausted("the patterns of this file together need more than ", kFileCostMax,
                             " units to compile (n RE2 instructions: n + n * n / 500), at ",
                             Quoted(pattern));
  }
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemoryBytes);
  RE2 compiled(pattern, options);
  Status status;
  if (compiled.ok()) {
    cost_ += CostOf(compiled.ProgramSize());
    // What RE2 would judge otherwise than it says, and what no proof could be made about.
    status = language::ParsePattern(pattern, {}).status();
  } else {
    cost_ += kFailureCost;
    bool too_large = compiled.error_code() == RE2::ErrorPatternTooLarge;
    status = InvalidArgument("bad pattern ", Quoted(pattern), ": ",
                             too_large ? "needs more than 1 MiB" : compiled.error());
  }
  seen_.emplace(pattern, status);
  return status;
}

}  // namespace countersign::authz
