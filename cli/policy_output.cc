#include "cli/policy_output.h"

#include <filesystem>
#include <set>

#include "cli/command.h"

namespace countersign::cli {

using authz::Diagnostic;

StatusOr<std::vector<authz::SourceFile>> ReadPaths(const std::vector<std::string>& paths) {
  std::vector<authz::SourceFile> files;
  std::set<std::string> seen;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(std::vector<authz::SourceFile> found, authz::ReadSources(path));
    for (authz::SourceFile& file : found) {
      std::error_code ignored;
      if (seen.insert(std::filesystem::weakly_canonical(file.path, ignored).string()).second) {
        files.push_back(std::move(file));
      }
    }
  }
  return files;
}

StatusOr<authz::LoadResult> LoadPaths(const std::vector<std::string>& paths) {
  ASSIGN_OR_RETURN(std::vector<authz::SourceFile> files, ReadPaths(paths));
  return authz::Load(files);
}

std::string Print(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json ToJson(const std::vector<Diagnostic>& diagnostics) {
  Json list = Json::array();
  for (const Diagnostic& each : diagnostics) {
    bool is_error = each.severity == Diagnostic::Severity::kError;
    list.push_back({{"severity", is_error ? "error" : "warning"},
                    {"rule", each.rule},
                    {"file", each.where.file},
                    {"line", each.where.line},
                    {"column", each.where.column},
                    {"message", each.message}});
  }
  return list;
}

void PrintDiagnostics(const std::vector<Diagnostic>& diagnostics, std::ostream& out) {
  for (const Diagnostic& each : diagnostics) {
    out << EscapeForTerminal(authz::FormatDiagnostic(each)) << "\n";
  }
}

size_t CountErrors(const std::vector<Diagnostic>& diagnostics) {
  size_t count = 0;
  for (const Diagnostic& each : diagnostics) {
    count += each.severity == Diagnostic::Severity::kError ? 1 : 0;
  }
  return count;
}

std::string Count(size_t number, std::string_view noun) {
  return Concat(number, " ", noun, number == 1 ? "" : "s");
}

}  // namespace countersign::cli
