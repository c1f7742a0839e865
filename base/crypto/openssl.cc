#include "base/crypto/openssl.h"

#include <openssl/err.h>

#include <array>

namespace countersign {
namespace {

// The first entry is the deepest cause; the rest repeat it in the words of the callers.
std::string DrainReason() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) {
    return "";
  }
  if (const char* reason = ERR_reason_error_string(code); reason != nullptr) {
    return Concat(": ", reason);
  }
  std::array<char, 160> text;
  ERR_error_string_n(code, text.data(), text.size());
  return Concat(": ", std::string_view(text.data()));
}

}  // namespace

Status OpenSslError(std::string_view what) {
  return Error(StatusCode::kInternal, what, DrainReason());
}

Status MalformedError(std::string_view what) {
  return Error(StatusCode::kInvalidArgument, what, DrainReason());
}

BioPtr MemoryBio(std::string_view bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string BioBytes(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

}  // namespace countersign
