// An entry of the node log: one record with the place it came from. The entry's bytes are what the
// tree hashes and what lies in the bundles.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ring.h"
#include "base/status.h"

namespace countersign::audit {

// EntrySource says which ring a record came from; an all-zero ring is the log's own word.
struct EntrySource {
  RingId ring = {};
  uint64_t sequence = 0;
};

inline constexpr size_t kEntryHeaderBytes = 29;
// AppendEntry appends the entry's bytes: version, ring, sequence, CRC-32C over all else, record.
void AppendEntry(const EntrySource& source, std::string_view record, std::string& out);

struct LogEntry {
  EntrySource source;
  std::string_view record;  // Borrowed from the entry's bytes.
};
StatusOr<LogEntry> ParseEntry(std::string_view bytes);

// A bundle (C2SP tlog-tiles): each entry after its length as a big-endian uint16.
void AppendFramed(std::string_view entry, std::string& bundle);
// SplitBundle cuts at most `entries_max` entries off the beginning; `taken` says how many bytes
// they take, so that a torn rest is known.
std::vector<std::string_view> SplitBundle(std::string_view bundle, size_t entries_max,
                                          size_t* taken = nullptr);

}  // namespace countersign::audit
