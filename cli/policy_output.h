// What the verbs about policy files share: reading what they were given, and printing findings.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "authz/kinds/loader.h"
#include "base/status.h"

namespace countersign::cli {

using Json = nlohmann::ordered_json;

// ReadPaths reads files and folders; a file that two paths lead to, perhaps by a link, is read
// once.
StatusOr<std::vector<authz::SourceFile>> ReadPaths(const std::vector<std::string>& paths);
// LoadPaths reads and loads them.
StatusOr<authz::LoadResult> LoadPaths(const std::vector<std::string>& paths);

// Print lays JSON out; bytes that are no UTF-8 (in names of files) are replaced.
std::string Print(const Json& json);
Json ToJson(const std::vector<authz::Diagnostic>& diagnostics);
void PrintDiagnostics(const std::vector<authz::Diagnostic>& diagnostics, std::ostream& out);
size_t CountErrors(const std::vector<authz::Diagnostic>& diagnostics);

// Count is "1 case", "2 cases".
std::string Count(size_t number, std::string_view noun);

}  // namespace countersign::cli
