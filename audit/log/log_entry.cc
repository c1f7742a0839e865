#include "audit/log/log_entry.h"

#include <cstring>

#include "base/crc32c.h"

namespace countersign::audit {
namespace {

constexpr char kEntryVersion = 1;
constexpr size_t kCrcAt = 25;  // After version, ring and sequence.
static_assert(kCrcAt + sizeof(uint32_t) == kEntryHeaderBytes);

uint32_t EntryCrc(std::string_view entry) {
  return Crc32c(entry.substr(kEntryHeaderBytes), Crc32c(entry.substr(0, kCrcAt)));
}

}  // namespace

void AppendEntry(const EntrySource& source, std::string_view record, std::string& out) {
  size_t begin = out.size();
  out.push_back(kEntryVersion);
  out.append(reinterpret_cast<const char*>(source.ring.data()), source.ring.size());
  out.append(reinterpret_cast<const char*>(&source.sequence), sizeof(source.sequence));
  out.append(sizeof(uint32_t), '\0');
  out.append(record);
  uint32_t crc = EntryCrc(std::string_view(out).substr(begin));
  std::memcpy(out.data() + begin + kCrcAt, &crc, sizeof(crc));
}

StatusOr<LogEntry> ParseEntry(std::string_view bytes) {
  if (bytes.size() <= kEntryHeaderBytes || bytes[0] != kEntryVersion) {
    return DataLoss("not a log entry of version 1");
  }
  uint32_t crc = 0;
  std::memcpy(&crc, bytes.data() + kCrcAt, sizeof(crc));
  if (crc != EntryCrc(bytes)) {
    return DataLoss("a log entry's checksum does not match");
  }
  LogEntry entry;
  std::memcpy(entry.source.ring.data(), bytes.data() + 1, entry.source.ring.size());
  std::memcpy(&entry.source.sequence, bytes.data() + 17, sizeof(uint64_t));
  entry.record = bytes.substr(kEntryHeaderBytes);
  return entry;
}

void AppendFramed(std::string_view entry, std::string& bundle) {
  CHECK(entry.size() <= 0xffff);
  bundle.push_back(static_cast<char>(entry.size() >> 8));
  bundle.push_back(static_cast<char>(entry.size() & 0xff));
  bundle.append(entry);
}

std::vector<std::string_view> SplitBundle(std::string_view bundle, size_t entries_max,
                                          size_t* taken) {
  std::vector<std::string_view> entries;
  size_t at = 0;
  while (entries.size() < entries_max && bundle.size() - at >= 2) {
    size_t size = static_cast<size_t>(static_cast<uint8_t>(bundle[at]) << 8 |
                                      static_cast<uint8_t>(bundle[at + 1]));
    if (bundle.size() - at - 2 < size) {
      break;
    }
    entries.push_back(bundle.substr(at + 2, size));
    at += 2 + size;
  }
  if (taken != nullptr) {
    *taken = at;
  }
  return entries;
}

}  // namespace countersign::audit
