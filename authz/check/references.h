// What documents say of one another: IDs that no registration gives out and services that are not
// there, which are slips of the pen where the others are known.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "authz/kinds/loader.h"

namespace countersign::authz {

// KnownNames are the names that documents may speak of.
struct KnownNames {
  // Whether these are all that there are, or those of some files: without any registration among
  // files nothing is said of IDs, and without any service nothing of services.
  enum class Extent : uint8_t { kSomeFiles, kEverything };
  using Names = std::set<std::string, std::less<>>;

  Extent extent = Extent::kSomeFiles;
  Names workload_ids;
  Names services;

  void Add(const LoadResult& loaded);
};

// CheckReferences returns warnings at their places: a service whose workload no registration gives
// out, a route to an unknown service, and IDs written out in policies, assertions, tests and reach
// that are one slip from a registered ID or trust domain, or stand beside registered ones without
// being one. The caller of a test that expects a deny is often a stranger on purpose, and is left
// alone. At most LoaderLimits::kDiagnosticsMax.
std::vector<Diagnostic> CheckReferences(const LoadResult& loaded, const KnownNames& known);

}  // namespace countersign::authz
