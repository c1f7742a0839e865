#include "proxy_agent/own_identity.h"

#include <algorithm>

namespace countersign::proxy {
namespace {

bool SameBundles(const identity::BundleSet& left, const identity::BundleSet& right) {
  return std::equal(left.all().begin(), left.all().end(), right.all().begin(), right.all().end(),
                    [](const auto& a, const auto& b) {
                      return a.first == b.first &&
                             a.second->authorities_der() == b.second->authorities_der();
                    });
}

}  // namespace

StatusOr<std::shared_ptr<const OwnIdentity>> OwnIdentity::Create(
    std::shared_ptr<const identity::X509Svid> svid,
    std::shared_ptr<const identity::BundleSet> bundles, const OwnIdentity* before) {
  if (bundles->Find(svid->id().trust_domain_name()) == nullptr) {
    return FailedPrecondition("no bundle of the own trust domain ",
                              Quoted(svid->id().trust_domain_name()));
  }
  std::shared_ptr<OwnIdentity> made(new OwnIdentity());
  if (before != nullptr) {
    const bool same_svid = before->svid_->chain_der() == svid->chain_der();
    const bool same_bundles = SameBundles(*before->bundles_, *bundles);
    made->svid_generation_ = before->svid_generation_ + (same_svid ? 0 : 1);
    made->bundle_generation_ = before->bundle_generation_ + (same_bundles ? 0 : 1);
  }
  made->verifier_ = std::make_shared<const identity::PeerVerifier>(bundles);
  const auto context = [&](TlsRole role, ClientCertificate certificate, std::string_view alpn,
                           std::shared_ptr<const TlsContext>& into) -> Status {
    ASSIGN_OR_RETURN(
        into, TlsContext::Create(
                  *svid, made->verifier_,
                  {.role = role, .client_certificate = certificate, .alpn = {std::string(alpn)}}));
    return absl::OkStatus();
  };
  using enum TlsRole;
  using enum ClientCertificate;
  RETURN_IF_ERROR(context(kServer, kRequired, kAlpnHttp1, made->server_http_));
  RETURN_IF_ERROR(context(kServer, kRequired, kAlpnTcp, made->server_tcp_));
  RETURN_IF_ERROR(context(kServer, kOptional, kAlpnHttp1, made->edge_http_));
  RETURN_IF_ERROR(context(kServer, kOptional, kAlpnTcp, made->edge_tcp_));
  RETURN_IF_ERROR(context(kClient, kRequired, kAlpnHttp1, made->client_http_));
  RETURN_IF_ERROR(context(kClient, kRequired, kAlpnTcp, made->client_tcp_));
  made->svid_ = std::move(svid);
  made->bundles_ = std::move(bundles);
  return std::shared_ptr<const OwnIdentity>(std::move(made));
}

}  // namespace countersign::proxy
