// The one way in which this engine uses RE2: byte semantics (Latin-1), dot matches newline, the
// whole value, a memory budget. In UTF-8 mode one invalid byte would slip past a deny.
#pragma once

#include <re2/re2.h>

#include <memory>
#include <string>
#include <string_view>

#include "authz/engine/limits.h"
#include "base/status.h"

namespace countersign::authz::engine {

RE2::Options PatternOptions(int64_t memory_bytes);

// CompilePattern fails on a syntax error and on a pattern whose program exceeds its budget.
StatusOr<std::unique_ptr<const RE2>> CompilePattern(std::string_view pattern,
                                                    const EngineLimits& limits);

// RequiredPrefix is a literal with which every value that the pattern matches begins; often
// shorter than the longest such, never wrong, empty if there is none.
std::string RequiredPrefix(const RE2& pattern);

}  // namespace countersign::authz::engine
