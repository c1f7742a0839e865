// PathRelaxation names one thing that a Service's port may allow in paths. What is allowed is kept
// as it is (escapes in upper case); it is not decoded.
#pragma once

#include <cstdint>

namespace countersign::authz {

enum class PathRelaxation : uint8_t {
  kEncodedSlash = 1 << 0,
  kEncodedBackslash = 1 << 1,
  kEncodedNul = 1 << 2,
  kBackslash = 1 << 3,
  kSemicolon = 1 << 4,
  kHighByte = 1 << 5,
};

// PathRelaxations is a port's allow-list; empty by default.
class PathRelaxations {
 public:
  constexpr PathRelaxations() = default;
  constexpr void Allow(PathRelaxation relaxation) { bits_ |= static_cast<uint8_t>(relaxation); }
  constexpr bool Allows(PathRelaxation relaxation) const {
    return (bits_ & static_cast<uint8_t>(relaxation)) != 0;
  }

 private:
  uint8_t bits_ = 0;
};

}  // namespace countersign::authz
