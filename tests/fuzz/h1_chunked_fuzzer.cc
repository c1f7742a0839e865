// Chunked bodies: cuts make no difference, and what was decoded and written again decodes alike.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy_agent/http/body_decoder.h"
#include "proxy_agent/http/serializer.h"
#include "tests/proxy_agent/http/transcript.h"

namespace http = countersign::proxy::http;

namespace {

struct Decoded {
  http::BodyDecoder::Result result = http::BodyDecoder::Result::kNeedMore;
  http::HttpError error = http::HttpError::kNone;
  size_t consumed = 0;
  std::string body;
  std::string again;  // The same body, written by the proxy.
};

Decoded Decode(std::string_view bytes, size_t piece_bytes, uint64_t credit) {
  const http::HttpLimits limits;
  http::BodyDecoder decoder(limits, http::UnderscoreNames::kRefuse);
  decoder.Start(http::BodyKind::kChunked, 0);
  http::StringSink sink;
  Decoded decoded;
  for (const std::string& piece : http::Pieces(bytes, piece_bytes)) {
    std::string_view rest = piece;
    do {
      const auto step = decoder.Next(rest, credit);
      rest.remove_prefix(step.consumed);
      decoded.consumed += step.consumed;
      decoded.result = step.result;
      decoded.error = step.error;
      decoded.body += step.data;
      if (!step.data.empty()) {
        http::WriteChunk(step.data, sink);
      }
      if (step.result == http::BodyDecoder::Result::kEnd) {
        http::WriteLastChunk(decoder.trailers(), sink);
        decoded.again = sink.text;
        return decoded;
      }
      if (step.result == http::BodyDecoder::Result::kError) {
        return decoded;
      }
    } while (!rest.empty());
  }
  return decoded;
}

void Require(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Decoded whole = Decode(bytes, 0, UINT64_MAX);
  for (const auto& [piece_bytes, credit] : {std::pair<size_t, uint64_t>{1, UINT64_MAX}, {3, 2}}) {
    const Decoded cut = Decode(bytes, piece_bytes, credit);
    Require(cut.error == whole.error && cut.body == whole.body, "cuts make no difference");
    Require(cut.again.empty() == whole.again.empty() && cut.consumed == whole.consumed,
            "the end is where it is");
  }
  if (!whole.again.empty()) {
    const Decoded again = Decode(whole.again, 0, UINT64_MAX);
    Require(again.body == whole.body && again.consumed == whole.again.size(), "round trip");
  }
  return 0;
}
