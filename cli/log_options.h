// What the verbs that read audit logs share: which log, and from when on.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"

namespace countersign::cli {

// AuditFolder is --audit-dir. A folder need not hold a log.
StatusOr<std::string> AuditFolder(const Context& context);

// CheckLogFolder refuses a folder that is no log, with what to give instead: one that has none of
// `files`, each of which shows that there is a log.
Status CheckLogFolder(const std::string& folder,
                      std::initializer_list<std::string_view> files = {"log.vkey"});

// TrustedKey is nothing for an empty option: then the key beside the log is believed.
std::optional<std::string> TrustedKey(const std::string& vkey);

// ParseMoment reads "1h", which is an hour ago, or a time as ParseTime reads it.
StatusOr<WallTime> ParseMoment(const std::string& text);

}  // namespace countersign::cli
