#include "proxy_agent/http/forward_edits.h"

#include "base/status.h"

namespace countersign::proxy::http {

std::string ForwardedClientCert(std::string_view own_id, std::string_view chain_sha256,
                                std::string_view caller_id) {
  return Concat("By=", own_id, ";Hash=", chain_sha256, ";URI=", caller_id);
}

}  // namespace countersign::proxy::http
