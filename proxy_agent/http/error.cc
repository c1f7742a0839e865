#include "proxy_agent/http/error.h"

namespace countersign::proxy::http {

std::string_view HttpErrorName(HttpError error) {
  switch (error) {
    case HttpError::kNone:
      return "none";
    case HttpError::kBareLf:
      return "bare_lf";
    case HttpError::kBareCr:
      return "bare_cr";
    case HttpError::kControlByte:
      return "control_byte";
    case HttpError::kBadRequestLine:
      return "bad_request_line";
    case HttpError::kBadMethod:
      return "bad_method";
    case HttpError::kConnectRefused:
      return "connect_refused";
    case HttpError::kBadTarget:
      return "bad_target";
    case HttpError::kFragmentInTarget:
      return "fragment_in_target";
    case HttpError::kTargetTooLong:
      return "target_too_long";
    case HttpError::kBadVersion:
      return "bad_version";
    case HttpError::kVersionNotSupported:
      return "version_not_supported";
    case HttpError::kBadStatusLine:
      return "bad_status_line";
    case HttpError::kEmptyHeaderName:
      return "empty_header_name";
    case HttpError::kBadHeaderName:
      return "bad_header_name";
    case HttpError::kSpaceBeforeColon:
      return "space_before_colon";
    case HttpError::kUnderscoreInName:
      return "underscore_in_name";
    case HttpError::kFoldedHeader:
      return "folded_header";
    case HttpError::kHeadTooLarge:
      return "head_too_large";
    case HttpError::kTooManyHeaders:
      return "too_many_headers";
    case HttpError::kMissingHost:
      return "missing_host";
    case HttpError::kDuplicateHost:
      return "duplicate_host";
    case HttpError::kBadHost:
      return "bad_host";
    case HttpError::kHostMismatch:
      return "host_mismatch";
    case HttpError::kDuplicateHeader:
      return "duplicate_header";
    case HttpError::kBadConnectionOption:
      return "bad_connection_option";
    case HttpError::kUnknownExpectation:
      return "unknown_expectation";
    case HttpError::kLengthAndChunked:
      return "length_and_chunked";
    case HttpError::kBadTransferEncoding:
      return "bad_transfer_encoding";
    case HttpError::kChunkedInHttp10:
      return "chunked_in_http10";
    case HttpError::kBadContentLength:
      return "bad_content_length";
    case HttpError::kBodyTooLarge:
      return "body_too_large";
    case HttpError::kBadChunkSize:
      return "bad_chunk_size";
    case HttpError::kBadChunkFraming:
      return "bad_chunk_framing";
    case HttpError::kChunkExtensionTooLong:
      return "chunk_extension_too_long";
    case HttpError::kBadTrailer:
      return "bad_trailer";
    case HttpError::kTrailersTooLarge:
      return "trailers_too_large";
    case HttpError::kUpgradeWithBody:
      return "upgrade_with_body";
    case HttpError::kEarlyUpgradeBytes:
      return "early_upgrade_bytes";
    case HttpError::kUnexpectedSwitch:
      return "unexpected_switch";
    case HttpError::kHeadTimeout:
      return "head_timeout";
    case HttpError::kTruncated:
      return "truncated";
    case HttpError::kUnsolicited:
      return "unsolicited";
    case HttpError::kTooManyInterim:
      return "too_many_interim";
  }
  return "unknown";
}

int StatusOf(HttpError error) {
  switch (error) {
    case HttpError::kHeadTimeout:
      return 408;
    case HttpError::kBodyTooLarge:
      return 413;
    case HttpError::kTargetTooLong:
      return 414;
    case HttpError::kUnknownExpectation:
      return 417;
    case HttpError::kHeadTooLarge:
    case HttpError::kTooManyHeaders:
    case HttpError::kTrailersTooLarge:
      return 431;
    case HttpError::kConnectRefused:
      return 501;
    case HttpError::kVersionNotSupported:
      return 505;
    default:
      return 400;
  }
}

}  // namespace countersign::proxy::http
