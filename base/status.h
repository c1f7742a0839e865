// Errors as values: absl::Status with a way to write messages that works with std::string_view.
//
// Messages are lower case, without a full stop, position first, the offending value quoted and
// shortened (Quoted). Functions that can fail return Status or StatusOr<T>; no exception crosses an
// interface of ours.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>

namespace countersign {

using absl::Status;
using absl::StatusCode;
using absl::StatusOr;

namespace internal {
inline void AppendPart(std::string& out, std::string_view part) { out.append(part); }
void AppendSigned(std::string& out, long long value);
void AppendUnsigned(std::string& out, unsigned long long value);
inline void AppendPart(std::string& out, std::signed_integral auto value) {
  AppendSigned(out, value);
}
inline void AppendPart(std::string& out, std::unsigned_integral auto value) {
  AppendUnsigned(out, value);
}
}  // namespace internal

// Concat joins strings and integers.
template <class... Parts>
std::string Concat(const Parts&... parts) {
  std::string out;
  (internal::AppendPart(out, parts), ...);
  return out;
}

// Error makes a Status from a code and the parts of its message.
template <class... Parts>
Status Error(StatusCode code, const Parts&... parts) {
  std::string message = Concat(parts...);
  return Status(code, absl::string_view(message.data(), message.size()));
}

template <class... Parts>
Status InvalidArgument(const Parts&... parts) {
  return Error(StatusCode::kInvalidArgument, parts...);
}
template <class... Parts>
Status NotFound(const Parts&... parts) {
  return Error(StatusCode::kNotFound, parts...);
}
template <class... Parts>
Status AlreadyExists(const Parts&... parts) {
  return Error(StatusCode::kAlreadyExists, parts...);
}
template <class... Parts>
Status PermissionDenied(const Parts&... parts) {
  return Error(StatusCode::kPermissionDenied, parts...);
}
template <class... Parts>
Status FailedPrecondition(const Parts&... parts) {
  return Error(StatusCode::kFailedPrecondition, parts...);
}
template <class... Parts>
Status ResourceExhausted(const Parts&... parts) {
  return Error(StatusCode::kResourceExhausted, parts...);
}
template <class... Parts>
Status Unavailable(const Parts&... parts) {
  return Error(StatusCode::kUnavailable, parts...);
}
template <class... Parts>
Status DataLoss(const Parts&... parts) {
  return Error(StatusCode::kDataLoss, parts...);
}
template <class... Parts>
Status Internal(const Parts&... parts) {
  return Error(StatusCode::kInternal, parts...);
}

// ErrnoError names the failed call, its object and the system's word for `error_number`.
Status ErrnoError(int error_number, std::string_view what);

// Annotate puts `prefix` before the status's message and keeps its code.
Status Annotate(const Status& status, std::string_view prefix);

// Message is the status's message as a std::string_view of the status's own storage.
inline std::string_view Message(const Status& status) {
  return {status.message().data(), status.message().size()};
}

// Quoted puts a value from outside in double quotes, escapes what is not printable ASCII and cuts
// it after `bytes_max` bytes, so that no peer can write into a log or a terminal.
std::string Quoted(std::string_view value, size_t bytes_max = 80);

}  // namespace countersign

#define CS_CONCAT_INNER(a, b) a##b
#define CS_CONCAT(a, b) CS_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                                 \
  do {                                                        \
    if (::absl::Status cs_status = (expr); !cs_status.ok()) { \
      return cs_status;                                       \
    }                                                         \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_INNER(CS_CONCAT(cs_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_INNER(or_value, lhs, expr) \
  auto or_value = (expr);                           \
  if (!or_value.ok()) {                             \
    return std::move(or_value).status();            \
  }                                                 \
  lhs = std::move(or_value).value()

// CHECK ends the process on a broken invariant of ours; never use it on bytes from outside.
#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) [[unlikely]] {                                        \
      ::countersign::internal::CheckFailed(#condition, __FILE__, __LINE__); \
    }                                                                       \
  } while (false)

namespace countersign::internal {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}
