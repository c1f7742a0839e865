// ForwardEdits: the closed list of what a proxy changes between judging and forwarding.
//
// What upstream reads, less these edits, is what was judged. Nothing else may be added here without
// a test that says so.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace countersign::proxy::http {

// InternalHeaders says what becomes of internal fields in a response.
enum class InternalHeaders : uint8_t {
  kRemove,  // From an application: it may not speak in the mesh's name.
  kKeep,    // From a verified proxy of the mesh, which sets some of its own.
};

// ForwardEdits is the edits of one attempt; empty means: not set. Values must be clean field values
// (IsFieldValue); the serializer leaves out one that is not.
struct ForwardEdits {
  std::string_view forwarded_client_cert;  // Replaces x-forwarded-client-cert, which was removed.
  std::string_view traceparent;  // Replaces a received one. Empty: the received one stays.
  std::string_view tracestate;   // Likewise.
};

// ForwardedClientCert writes Envoy's element `By=<own id>;Hash=<sha256>;URI=<caller id>`. Both IDs
// are valid SPIFFE IDs, whose alphabet needs no quoting.
std::string ForwardedClientCert(std::string_view own_id, std::string_view chain_sha256,
                                std::string_view caller_id);

}  // namespace countersign::proxy::http
