#include "authz/check/test_request.h"

#include "authz/model/ip_text.h"

namespace countersign::authz {

TestRequest::TestRequest(const PolicyTestCase::Request& source) : source_(source) {
  canonical_.kind = source_.http ? RequestKind::kHttp : RequestKind::kTcp;
  canonical_.callee = source_.workload;
  canonical_.caller = source_.caller;
  canonical_.port = source_.port;
  sni_ = CanonicalSni(source_.sni);
  canonical_.sni = sni_;
  if (!source_.peer_ip.empty()) {
    // The loader let only addresses in; anything else stays absent, as for a Unix socket.
    if (StatusOr<IpAddress> address = ParseIpAddress(source_.peer_ip); address.ok()) {
      canonical_.peer_ip = *address;
    }
  }
  if (source_.http) {
    TakeHttp();
  }
}

void TestRequest::TakeHttp() {
  canonical_.method = source_.method;
  path_.resize(source_.path.size());
  CanonicalTarget target = CanonicalizePath(source_.path, PathRelaxations(), path_);
  error_ = target.error;
  canonical_.path = target.path;
  if (!source_.host.empty()) {
    host_.resize(kHostBufferBytes);
    CanonicalHost host = CanonicalizeHost(source_.host, host_);
    error_ = error_ == CanonicalError::kNone ? host.error : error_;
    canonical_.host = host.host;
  }
  for (const auto& [name, value] : source_.headers) {
    headers_.push_back({name, value});
  }
  for (const auto& [name, value] : source_.query) {
    query_.push_back({name, value});
  }
  canonical_.headers = headers_;
  canonical_.query = query_;
}

}  // namespace countersign::authz
