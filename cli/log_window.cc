#include "cli/log_window.h"

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "cli/log_options.h"

namespace countersign::cli {
namespace {

constexpr auto kSayEvery = std::chrono::seconds(2);

}  // namespace

void AddLogWindow(CLI::App& verb, LogWindowOptions& options) {
  verb.add_option("--log", options.logs,
                  "folder of a node's audit log, may be repeated; else --audit-dir");
  verb.add_option("--since", options.since, "from this time, or from so long ago (7d)");
  verb.add_option("--until", options.until, "before this time, or until so long ago");
  verb.add_option(
      "--vkey", options.vkey,
      "the log's verifier key, kept elsewhere; else the one beside the log is believed");
}

StatusOr<audit::LogWindow> ToLogWindow(const LogWindowOptions& options, Context& context) {
  audit::LogWindow window;
  window.folders = options.logs;
  if (window.folders.empty()) {
    ASSIGN_OR_RETURN(std::string folder, AuditFolder(context));
    window.folders.push_back(std::move(folder));
  }
  for (const std::string& folder : window.folders) {
    RETURN_IF_ERROR(CheckLogFolder(folder));
  }
  window.vkey = TrustedKey(options.vkey);
  if (window.vkey.has_value() && window.folders.size() > 1) {
    return InvalidArgument("--vkey is the key of one log: replay the logs one by one");
  }
  if (!options.since.empty()) {
    ASSIGN_OR_RETURN(window.since, ParseMoment(options.since));
  }
  if (!options.until.empty()) {
    ASSIGN_OR_RETURN(window.until, ParseMoment(options.until));
  }
  if (window.since.has_value() && window.until.has_value() && *window.since >= *window.until) {
    return InvalidArgument("--since ", options.since, " is not before --until ", options.until);
  }
  MonotonicTime said = Clock::System().Monotonic();
  window.progress = [&context, said](uint64_t read, uint64_t of) mutable {
    if (MonotonicTime now = Clock::System().Monotonic(); now - said >= kSayEvery) {
      said = now;
      context.err << "read " << read << " of " << of << " records\n";
    }
  };
  return window;
}

}  // namespace countersign::cli
