// JSON Schema (draft 7) of the kinds, made from the field table that the loader reads, for editors
// and for CI without the program.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign::authz {

// JsonSchema describes one document of any kind; `kind` decides which. It refuses what has the
// wrong shape (keys, types, words, ranges); what only the loader can know (patterns that compile,
// names that exist, rules between fields) it lets through, and it refuses no document that loads.
// A List and an array of documents are no documents.
std::string JsonSchema();
// JsonSchemaOf describes documents of one kind; the name's letters have no case.
StatusOr<std::string> JsonSchemaOf(std::string_view kind);

}  // namespace countersign::authz
