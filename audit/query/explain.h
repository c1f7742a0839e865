// The words for one recorded decision: which rule, of which policy version, and for a denial the
// nearest allow with the field in which it failed. From the record alone: no server, no agent.
#pragma once

#include <string>

#include "audit/query/log_reader.h"

namespace countersign::audit {

// ExplainText is a few lines for a terminal. Values from outside are quoted and shortened.
std::string ExplainText(const DecisionRecord& decision, const CompletionRecord* completion);

// ExplainJson is RecordJson of the decision with "explanation", the first line of the words.
std::string ExplainJson(const LocatedRecord& decision, const CompletionRecord* completion);

}  // namespace countersign::audit
