// HttpError names why a message was refused; the audit log and the status code follow from it.
//
// A message is refused, never repaired: each value stands for one rule that the sender broke.
#pragma once

#include <cstdint>
#include <string_view>

namespace countersign::proxy::http {

// HttpError is stored by name in logs and metrics; values may be added anywhere.
enum class HttpError : uint8_t {
  kNone,
  // Lines of a head.
  kBareLf,
  kBareCr,
  kControlByte,
  kBadRequestLine,
  kBadMethod,
  kConnectRefused,
  kBadTarget,
  kFragmentInTarget,
  kTargetTooLong,
  kBadVersion,
  kVersionNotSupported,
  kBadStatusLine,
  // Header fields.
  kEmptyHeaderName,
  kBadHeaderName,
  kSpaceBeforeColon,
  kUnderscoreInName,
  kFoldedHeader,
  kHeadTooLarge,
  kTooManyHeaders,
  kMissingHost,
  kDuplicateHost,
  kBadHost,
  kHostMismatch,
  kDuplicateHeader,  // A single-valued field, such as authorization, occurs more than once.
  kBadConnectionOption,
  kUnknownExpectation,
  // Framing.
  kLengthAndChunked,
  kBadTransferEncoding,
  kChunkedInHttp10,
  kBadContentLength,
  kBodyTooLarge,
  kBadChunkSize,
  kBadChunkFraming,
  kChunkExtensionTooLong,
  kBadTrailer,
  kTrailersTooLarge,
  // Tunnels.
  kUpgradeWithBody,
  kEarlyUpgradeBytes,
  kUnexpectedSwitch,  // 101 to a request that asked for no upgrade.
  // Connections.
  kHeadTimeout,     // Set by the driver, whose clock it is.
  kTruncated,       // The peer closed in the middle of a message.
  kUnsolicited,     // Bytes from an upstream that nobody asked for.
  kTooManyInterim,  // 1xx responses without end.
};

// HttpErrorName is the word for logs and metrics: "bare_lf".
std::string_view HttpErrorName(HttpError error);

// StatusOf is the status code that tells the client so: 400, 408, 413, 414, 417, 431, 501 or 505.
// An upstream that broke a rule is the driver's 502.
int StatusOf(HttpError error);

}  // namespace countersign::proxy::http
