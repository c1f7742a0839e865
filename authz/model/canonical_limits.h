// CanonicalLimits bounds request targets and hosts.
#pragma once

#include <cstddef>

namespace countersign::authz {

struct CanonicalLimits {
  static constexpr size_t kPathBytesMax = 16 * 1024;  // More than common servers take.
  static constexpr size_t kHostBytesMax = 255;        // RFC 1035 section 2.3.4.
  static constexpr size_t kQueryParametersMax = 256;  // Beyond this a parser is being attacked.
};

}  // namespace countersign::authz
