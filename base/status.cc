#include "base/status.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace countersign {
namespace internal {
namespace {
template <class T>
void AppendNumber(std::string& out, T value) {
  std::array<char, 24> digits;
  auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), end);
}
}  // namespace

void AppendSigned(std::string& out, long long value) { AppendNumber(out, value); }
void AppendUnsigned(std::string& out, unsigned long long value) { AppendNumber(out, value); }

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, condition);
  std::abort();
}
}  // namespace internal

namespace {
StatusCode CodeOfErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
      return StatusCode::kNotFound;
    case EEXIST:
      return StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return StatusCode::kResourceExhausted;
    case EADDRINUSE:
      return StatusCode::kFailedPrecondition;
    case ECONNREFUSED:
    case EPIPE:
    case ECONNRESET:
      return StatusCode::kUnavailable;
    default:
      return StatusCode::kInternal;
  }
}
}  // namespace

namespace {

// What whoever runs the program can do about it; empty where only the caller's context can tell.
std::string_view AdviceOf(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "; make room on that file system";
    case EROFS:
      return "; mount that file system writable, or name another folder";
    case EADDRINUSE:
      return "; end the program that holds it, or choose another address";
    case EMFILE:
      return "; raise this process's limit of open files (ulimit -n, LimitNOFILE)";
    default:
      return {};
  }
}

}  // namespace

Status ErrnoError(int error_number, std::string_view what) {
  return Error(CodeOfErrno(error_number), what, ": ", std::generic_category().message(error_number),
               AdviceOf(error_number));
}

Status Annotate(const Status& status, std::string_view prefix) {
  if (status.ok()) {
    return status;
  }
  return Error(status.code(), prefix, ": ", Message(status));
}

std::string Quoted(std::string_view value, size_t bytes_max) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (char c : value.substr(0, bytes_max)) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += value.size() > bytes_max ? "...\"" : "\"";
  return out;
}

}  // namespace countersign
