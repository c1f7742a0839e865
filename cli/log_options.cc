#include "cli/log_options.h"

#include <filesystem>

namespace countersign::cli {

StatusOr<std::string> AuditFolder(const Context& context) {
  if (context.audit_dir.empty()) {
    return InvalidArgument(
        "which audit log? give --audit-dir DIR, or set COUNTERSIGN_AUDIT_DIR to the agent's "
        "folder");
  }
  return context.audit_dir;
}

Status CheckLogFolder(const std::string& folder, std::initializer_list<std::string_view> files) {
  std::string names;
  for (std::string_view file : files) {
    std::error_code error;
    if (std::filesystem::exists(Concat(folder, "/", file), error)) {
      return absl::OkStatus();
    }
    names += Concat(names.empty() ? "" : " and no ", file);
  }
  return NotFound("no audit log can be seen in ", folder, " (it has no ", names,
                  "); give the folder that countersign-agent writes, as root: --audit-dir DIR");
}

std::optional<std::string> TrustedKey(const std::string& vkey) {
  return vkey.empty() ? std::nullopt : std::optional<std::string>(vkey);
}

StatusOr<WallTime> ParseMoment(const std::string& text) {
  StatusOr<std::chrono::nanoseconds> ago = ParseDuration(text);
  if (ago.ok()) {
    return Clock::System().Now() - *ago;
  }
  StatusOr<WallTime> time = ParseTime(text);
  if (!time.ok()) {
    return InvalidArgument(Quoted(text),
                           " is neither a time (2027-01-31T12:00:00Z) nor a duration "
                           "(15m)");
  }
  return time;
}

}  // namespace countersign::cli
