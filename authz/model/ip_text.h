// IP addresses and CIDR blocks as text. IPv4 is kept as IPv4-mapped IPv6, so that one comparison
// serves both families.
#pragma once

#include <string>
#include <string_view>

#include "authz/model/field.h"
#include "authz/model/request.h"
#include "base/status.h"

namespace countersign::authz {

// ParseIpAddress reads "10.1.2.3" or "fd00::1"; no zone, no leading zeros.
StatusOr<IpAddress> ParseIpAddress(std::string_view text);

// ParseIpRange reads an address or "10.0.0.0/8"; bits beyond the prefix are cleared.
StatusOr<IpRange> ParseIpRange(std::string_view text);

// FormatIpAddress and FormatIpRange print what the functions above read, in one spelling; a range
// always with its prefix.
std::string FormatIpAddress(const IpAddress& address);
std::string FormatIpRange(const IpRange& range);

}  // namespace countersign::authz
