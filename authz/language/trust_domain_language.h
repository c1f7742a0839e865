// Trust domains and SPIFFE IDs are one coordinate: what is said of a domain is said of the IDs in
// it.
#pragma once

#include <string_view>

#include "authz/language/language.h"
#include "base/status.h"

namespace countersign::authz::language {

// IdsIn holds the SPIFFE IDs whose trust domain is in `domains`.
Language IdsIn(const Language& domains);

// TrustDomainsOf holds the trust domains of the IDs in `ids`; what is no ID is passed over.
Language TrustDomainsOf(const Language& ids);

}  // namespace countersign::authz::language
