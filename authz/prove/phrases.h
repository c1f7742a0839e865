// Says a set of a partition's classes in terms of the languages that made the partition, exactly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "authz/language/partition.h"
#include "authz/prove/value_set.h"

namespace countersign::authz::prove {

// PhrasesFor gives phrases whose union is exactly the classes of `chosen` (ascending numbers).
// `languages` are the Space's numbers of the languages that the partition was made of, in its
// order.
std::vector<Phrase> PhrasesFor(const language::Partition& partition,
                               const std::vector<uint32_t>& languages,
                               std::span<const uint32_t> chosen);

}  // namespace countersign::authz::prove
