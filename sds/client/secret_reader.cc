#include "sds/client/secret_reader.h"

#include "envoy/discovery.pb.h"
#include "envoy/tls.pb.h"
#include "sds/client/node_client.h"

namespace countersign::sds {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::core::v3::DataSource;
using identity::BundleSet;
using identity::TrustBundle;
using identity::TrustDomain;
using identity::X509Svid;

// A file name or an environment variable would let the sender choose what this process reads.
StatusOr<std::string_view> InlineBytes(const DataSource& source, std::string_view what) {
  if (source.has_inline_bytes()) {
    return std::string_view(source.inline_bytes());
  }
  if (source.has_inline_string()) {
    return std::string_view(source.inline_string());
  }
  return InvalidArgument(what, " must be inline");
}

StatusOr<std::shared_ptr<const X509Svid>> ReadSvid(const tls::TlsCertificate& certificate) {
  ASSIGN_OR_RETURN(std::string_view chain,
                   InlineBytes(certificate.certificate_chain(), "certificate_chain"));
  ASSIGN_OR_RETURN(std::string_view key, InlineBytes(certificate.private_key(), "private_key"));
  ASSIGN_OR_RETURN(X509Svid svid, X509Svid::FromPem(chain, key));
  return std::make_shared<const X509Svid>(std::move(svid));
}

StatusOr<std::shared_ptr<const BundleSet>> ReadBundles(
    const tls::CertificateValidationContext& context) {
  tls::SPIFFECertValidatorConfig config;
  if (!context.custom_validator_config().typed_config().UnpackTo(&config)) {
    return InvalidArgument("validation context without authorities by trust domain");
  }
  std::vector<BundleSet::Bundle> bundles;
  for (const auto& entry : config.trust_domains()) {
    ASSIGN_OR_RETURN(TrustDomain domain, TrustDomain::Parse(entry.name()));
    ASSIGN_OR_RETURN(std::string_view pem, InlineBytes(entry.trust_bundle(), "trust_bundle"));
    ASSIGN_OR_RETURN(TrustBundle bundle, TrustBundle::FromPem(domain, pem));
    bundles.push_back(std::make_shared<const TrustBundle>(std::move(bundle)));
  }
  ASSIGN_OR_RETURN(BundleSet set, BundleSet::Create(std::move(bundles)));
  return std::make_shared<const BundleSet>(std::move(set));
}

Status ReadSecret(const google::protobuf::Any& resource, Secrets& secrets) {
  tls::Secret secret;
  if (resource.type_url() != kSecretTypeUrl || !resource.UnpackTo(&secret)) {
    return InvalidArgument("resource of type ", Quoted(resource.type_url()), " is no secret");
  }
  if (secret.name() == kSvidSecretName && secret.has_tls_certificate() && !secrets.svid) {
    ASSIGN_OR_RETURN(secrets.svid, ReadSvid(secret.tls_certificate()));
    return absl::OkStatus();
  }
  if (secret.name() == kBundlesSecretName && secret.has_validation_context() && !secrets.bundles) {
    ASSIGN_OR_RETURN(secrets.bundles, ReadBundles(secret.validation_context()));
    return absl::OkStatus();
  }
  return InvalidArgument("unexpected, or twice, or of the wrong kind");
}

}  // namespace

StatusOr<Secrets> ReadSecrets(const envoy::service::discovery::v3::DiscoveryResponse& response) {
  if (response.ByteSizeLong() > NodeClientLimits::kSecretsBytesMax) {
    return ResourceExhausted("secrets are larger than the limit of ",
                             NodeClientLimits::kSecretsBytesMax, " bytes");
  }
  if (response.type_url() != kSecretTypeUrl) {
    return InvalidArgument("response of type ", Quoted(response.type_url()), " holds no secrets");
  }
  if (response.resources().empty()) {
    return InvalidArgument("response without secrets");
  }
  Secrets secrets;
  for (const google::protobuf::Any& resource : response.resources()) {
    Status status = ReadSecret(resource, secrets);
    if (!status.ok()) {
      tls::Secret named;
      resource.UnpackTo(&named);
      return Annotate(status, Concat("secret ", Quoted(named.name())));
    }
  }
  return secrets;
}

}  // namespace countersign::sds
