// Any bytes: what parses is what would be written, and checking agrees with parsing.
#include <cstdint>
#include <string_view>

#include "audit/record/decision_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign::audit;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto parsed = ParsedRecord::Parse(bytes);
  CHECK(parsed.ok() == CheckRecord(bytes).ok());
  if (parsed.ok()) {
    std::string again =
        std::visit([](const auto& r) { return EncodeToString(r); }, parsed->value());
    CHECK(again == bytes);
  }
  return 0;
}
