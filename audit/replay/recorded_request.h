// From a decision record back to the request that was judged.
#pragma once

#include <string>
#include <string_view>

#include "audit/record/decision_record.h"
#include "authz/model/decision.h"
#include "authz/model/request.h"

namespace countersign::audit {

// IsOfPolicy says whether access policies were asked. Probes, the outbound side and what came
// before a proxy was ready are judged by something else, and a candidate says nothing of them.
bool IsOfPolicy(authz::Reason reason);

// RequestOf is the request as far as the record holds it: without query and claims, and of the
// headers those that some rule named then. It borrows the record.
authz::CanonicalRequest RequestOf(const DecisionRecord& record);

// RequestText is that request on one line, as `policy eval -f -` reads it; empty if it has bytes
// that a file cannot hold, or more than `bytes_max`.
std::string RequestText(const DecisionRecord& record, size_t bytes_max);

// PathShape is the path with {id} for each segment that looks like an identifier, at most
// `bytes_max` bytes of it: what requests are grouped by.
std::string PathShape(std::string_view path, size_t bytes_max);

// LooksLikeIdentifier: a decimal number, a UUID, 8 or more hexadecimal digits with a decimal one
// among them, or 20 or more letters and digits with three digits among them (ULIDs, KSUIDs).
bool LooksLikeIdentifier(std::string_view segment);

}  // namespace countersign::audit
