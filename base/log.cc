#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"

namespace countersign {
namespace {

constexpr size_t kJsonFieldBytesMax = 4096;  // A peer's text must not fill the disk.

struct LogState {
  std::shared_ptr<spdlog::logger> logger = spdlog::stderr_logger_mt("countersign");
  LogFormat format = LogFormat::kConsole;
  std::string program = "countersign";
};

// The one logger of the process; never destroyed, so that threads may log while main returns.
LogState& State() {
  static LogState* state = [] {
    auto* made = new LogState;
    made->logger->set_pattern("%v");
    return made;
  }();
  return *state;
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string_view LevelName(LogLevel level) {
  static constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  return kNames[static_cast<size_t>(level)];
}

std::string JsonLine(const LogState& state, LogLevel level, std::string_view message,
                     std::initializer_list<LogField> fields) {
  nlohmann::ordered_json line;
  line["time"] = FormatTime(Clock::System().Now());
  line["level"] = LevelName(level);
  line["program"] = state.program;
  line["message"] = message;
  for (const LogField& field : fields) {
    line[std::string(field.name)] = field.value.substr(0, kJsonFieldBytesMax);
  }
  // Printable ASCII alone: whoever reads a log reads it in a terminal.
  return line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string ConsoleLine(LogLevel level, std::string_view message,
                        std::initializer_list<LogField> fields) {
  std::string line = Concat(FormatTime(Clock::System().Now()), " ", LevelName(level), " ", message);
  for (const LogField& field : fields) {
    line += Concat(" ", field.name, "=", Quoted(field.value, 512));
  }
  return line;
}

}  // namespace

void ConfigureLog(std::string_view program, LogFormat format, LogLevel least) {
  LogState& state = State();
  state.program = program;
  state.format = format;
  state.logger->set_level(SpdlogLevel(least));
  state.logger->flush_on(spdlog::level::debug);
}

StatusOr<LogFormat> ParseLogFormat(std::string_view text) {
  if (text == "console") {
    return LogFormat::kConsole;
  }
  if (text == "json") {
    return LogFormat::kJson;
  }
  return InvalidArgument("unknown log format ", Quoted(text), " (use console or json)");
}

StatusOr<LogLevel> ParseLogLevel(std::string_view text) {
  for (LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (text == LevelName(level)) {
      return level;
    }
  }
  return InvalidArgument("unknown log level ", Quoted(text),
                         " (use debug, info, warning or error)");
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  LogState& state = State();
  if (!state.logger->should_log(SpdlogLevel(level))) {
    return;
  }
  std::string line = state.format == LogFormat::kJson ? JsonLine(state, level, message, fields)
                                                      : ConsoleLine(level, message, fields);
  state.logger->log(SpdlogLevel(level), "{}", line);
}

}  // namespace countersign
