// Logging for people and machines: one event a line on standard error, as text or JSON.
//
// Values from outside are escaped. Never log a key, a token or a whole header.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign {

enum class LogFormat { kConsole, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

// LogField is one named fact of an event.
struct LogField {
  std::string_view name;
  std::string value;
  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const char* v) : name(n), value(v) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(v) {}
  LogField(std::string_view n, std::integral auto v) : name(n), value(Concat(v)) {}
  LogField(std::string_view n, const Status& v) : name(n), value(Message(v)) {}
};

// ConfigureLog is called once by main, before other threads start.
void ConfigureLog(std::string_view program, LogFormat format, LogLevel least);
StatusOr<LogFormat> ParseLogFormat(std::string_view text);
StatusOr<LogLevel> ParseLogLevel(std::string_view text);

// Log writes one event. Safe for any thread; not for the data path.
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});
inline void LogDebug(std::string_view m, std::initializer_list<LogField> f = {}) {
  Log(LogLevel::kDebug, m, f);
}
inline void LogInfo(std::string_view m, std::initializer_list<LogField> f = {}) {
  Log(LogLevel::kInfo, m, f);
}
inline void LogWarning(std::string_view m, std::initializer_list<LogField> f = {}) {
  Log(LogLevel::kWarning, m, f);
}
inline void LogError(std::string_view m, std::initializer_list<LogField> f = {}) {
  Log(LogLevel::kError, m, f);
}

}  // namespace countersign
