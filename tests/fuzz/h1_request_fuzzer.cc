// Requests: cuts make no difference, and what is forwarded is what was judged.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/proxy_agent/http/forwarding.h"
#include "tests/proxy_agent/http/transcript.h"

namespace http = countersign::proxy::http;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = http::ServerTranscript(bytes, 0);
  std::string cut = http::ServerTranscript(bytes, 1);
  // Bytes that follow an upgrade refuse it at once, or after it was told, as they arrive.
  constexpr std::string_view kEarly = "error early_upgrade_bytes\n";
  if (whole.ends_with(kEarly) && cut.ends_with(kEarly)) {
    cut = whole;
  }
  const std::string differs =
      http::ForwardedDiffers(bytes, "By=spiffe://a/b;Hash=00;URI=spiffe://a/c");
  if (cut != whole || !differs.empty()) {
    std::fprintf(stderr, "whole:\n%scut:\n%s%s\n", whole.c_str(), cut.c_str(), differs.c_str());
    std::abort();
  }
  return 0;
}
