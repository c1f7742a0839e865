// From what a front door was told about a request to the CanonicalRequest that policy judges.
//
// Nothing is repaired: what has no one meaning is refused by name, before any rule is asked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "authz/engine/canonical.h"
#include "authz/engine/compiled_policy.h"
#include "authz/model/request.h"
#include "pdp/limits.h"

namespace countersign::pdp {

// Fault says why a request never came before the rules. Its name stands in the answer's log line
// and in AuthZEN's context.
enum class Fault : uint8_t {
  kNone,
  // The request itself is at fault: 400.
  kBadTarget,     // The detail is CanonicalErrorName.
  kNotCanonical,  // The path that would be forwarded is not the one that would be judged.
  kBadHost,
  kBadMethod,
  kBadHeaderName,
  kAmbiguousHeader,  // Lines of a header that a rule names cannot be told apart.
  // Whoever asks is at fault, or we are: 403.
  kBadCaller,   // Neither empty nor a SPIFFE ID.
  kBadCallee,   // No SPIFFE ID, or not the one that is served here.
  kBadAddress,  // A peer's address or a port that is none.
  kMalformed,   // A message that cannot be read.
  kOverLimit,
  kNotReady,  // No policy is in force yet.
  kInternal,
};
std::string_view FaultName(Fault fault);  // "not_canonical"
// IsBadRequest says whether the answer is 400.
bool IsBadRequest(Fault fault);

// HeaderForm says whether each line of a header stands for itself, or the lines of one name may
// have been joined by commas on the way here (Envoy's `headers`), and bytes replaced by '!'.
enum class HeaderForm : uint8_t { kLines, kJoined };

// RawRequest borrows what a front door was told. An empty view means absent.
struct RawRequest {
  authz::RequestKind kind = authz::RequestKind::kHttp;
  std::string_view callee;
  std::string_view caller;  // Empty: anonymous.
  std::string_view peer_ip;
  uint32_t port = 0;
  std::string_view sni;
  std::string_view method;
  std::string_view target;  // Path and query, as it would be forwarded.
  std::string_view host;
  std::vector<authz::NameValue> headers;
  HeaderForm header_form = HeaderForm::kLines;
};

// CheckRequest owns what its canonical request borrows of its own making; the rest is borrowed from
// the RawRequest's owner. Not movable, because views point into it.
class CheckRequest {
 public:
  CheckRequest(const RawRequest& raw, const authz::CompiledPolicy& policy, const PdpLimits& limits);
  CheckRequest(const CheckRequest&) = delete;
  CheckRequest& operator=(const CheckRequest&) = delete;

  Fault fault() const { return fault_; }
  // detail is a word more about the fault, or empty.
  const std::string& detail() const { return detail_; }
  // canonical is for policy only if there is no fault.
  const authz::CanonicalRequest& canonical() const { return canonical_; }

 private:
  bool Refuse(Fault fault, std::string detail = {});
  bool TakeConnection(const RawRequest& raw);
  bool TakeTarget(const RawRequest& raw);
  bool TakeHeaders(const RawRequest& raw, const authz::CompiledPolicy& policy,
                   const PdpLimits& limits);

  std::string sni_;
  std::vector<char> path_;
  std::vector<char> host_;
  std::vector<char> query_bytes_;
  std::vector<authz::NameValue> headers_;
  std::vector<authz::NameValue> query_;
  Fault fault_ = Fault::kNone;
  std::string detail_;
  authz::CanonicalRequest canonical_;
};

}  // namespace countersign::pdp
