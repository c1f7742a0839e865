// Responses: cuts make no difference. The first byte chooses what was asked.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/proxy_agent/http/transcript.h"

namespace http = countersign::proxy::http;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  http::AskedRequest asked;
  asked.method = (data[0] & 1) != 0 ? "HEAD" : "GET";
  asked.upgrade = (data[0] & 2) != 0 ? "websocket" : "";
  asked.close = (data[0] & 4) != 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = http::ClientTranscript(bytes, 0, asked);
  const std::string cut = http::ClientTranscript(bytes, 1, asked);
  if (whole != cut) {
    std::fprintf(stderr, "whole:\n%scut:\n%s", whole.c_str(), cut.c_str());
    std::abort();
  }
  return 0;
}
