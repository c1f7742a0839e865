// A SPIFFE ID that is accepted is kept as it was, and its parts make it again.
#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "identity/spiffe_id.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  StatusOr<identity::SpiffeId> id = identity::SpiffeId::Parse(text);
  if (id.ok()) {
    CHECK(id->str() == text && text.size() <= identity::SpiffeIdLimits::kIdBytesMax);
    StatusOr<identity::SpiffeId> again = identity::SpiffeId::Make(id->trust_domain(), id->path());
    CHECK(again.ok() && *again == *id);
    CHECK(text.find_first_of("%?#@:", 7) == std::string_view::npos);
    std::string_view path = id->path();
    CHECK(path.find("/../") == std::string_view::npos && !path.ends_with('/'));
  }
  StatusOr<identity::TrustDomain> domain = identity::TrustDomain::Parse(text);
  CHECK(!domain.ok() || identity::SpiffeId::Parse(domain->IdString()).ok());
  return 0;
}
