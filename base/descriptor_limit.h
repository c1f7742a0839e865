// How many descriptors this process may have.
#pragma once

#include <cstddef>

namespace countersign {

// RaiseDescriptorLimit raises the soft limit towards `wanted`, as far as the hard one lets it, and
// gives how many of those there are. The soft limit of 1024 is for programs that use select.
size_t RaiseDescriptorLimit(size_t wanted);

// Enough that a server of gRPC's meets a descriptor's number again only after hours.
inline constexpr size_t kServerDescriptors = 65536;

}  // namespace countersign
