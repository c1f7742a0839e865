// Findings as SARIF 2.1.0 (OASIS standard, 27 March 2020), which code hosts show beside the lines
// of a change.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "authz/kinds/loader.h"

namespace countersign::cli {

// ToSarif prints one log with one run. `files` are the texts that the findings speak of: columns,
// which the loader counts in bytes, are given in Unicode code points (section 3.14.17).
std::string ToSarif(const std::vector<authz::Diagnostic>& findings,
                    std::span<const authz::SourceFile> files);

}  // namespace countersign::cli
