// ProxyConfig: a registered proxy's configuration, and what the proxy says of it.
#pragma once

#include <string>

#include "countersign/v1/proxy.grpc.pb.h"
#include "sds/agent/proxy_table.h"
#include "sds/agent/stream_service.h"

namespace countersign::agent {

// NodeFacts are told to every proxy.
struct NodeFacts {
  std::string trust_domain;
  std::string node_id;
  std::string audit_socket;
};

// ProxyConfigService serves callers whose registration says `proxy`, and refuses all others.
class ProxyConfigService final : public v1::ProxyConfig::CallbackService {
 public:
  // `proxies` outlives it.
  ProxyConfigService(const ServiceContext& context, NodeFacts facts, ProxyTable& proxies)
      : context_(context), facts_(std::move(facts)), proxies_(proxies) {}

  grpc::ServerBidiReactor<v1::ProxyMessage, v1::ProxyConfiguration>* Stream(
      grpc::CallbackServerContext* call) override;

 private:
  const ServiceContext context_;
  const NodeFacts facts_;
  ProxyTable& proxies_;
};

}  // namespace countersign::agent
