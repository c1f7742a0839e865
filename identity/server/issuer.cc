#include "identity/server/issuer.h"

#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "identity/certificate.h"
#include "identity/csr.h"
#include "identity/key.h"

namespace countersign::server {
namespace {

constexpr std::string_view kServerPath = "/server";

std::chrono::nanoseconds WallAhead(const Clock& clock) {
  return clock.Now().time_since_epoch() - clock.Monotonic().time_since_epoch();
}

StatusOr<identity::CertificateAuthority> MakeAuthority(const IssuerOptions& options, WallTime now) {
  if (options.upstream_cert_path.empty() != options.upstream_key_path.empty()) {
    return InvalidArgument("--upstream-ca-cert and --upstream-ca-key belong together");
  }
  if (options.upstream_cert_path.empty()) {
    return identity::CertificateAuthority::CreateSelfSigned(options.trust_domain,
                                                            options.authority_ttl, now);
  }
  constexpr size_t kBytesMax = identity::AuthorityLimits::kFileBytesMax;
  identity::UpstreamAuthority upstream;
  ASSIGN_OR_RETURN(upstream.certificates_pem, ReadFile(options.upstream_cert_path, kBytesMax));
  ASSIGN_OR_RETURN(upstream.key_pem, ReadSecretFile(options.upstream_key_path, kBytesMax));
  return identity::CertificateAuthority::CreateUnder(options.trust_domain, upstream,
                                                     options.authority_ttl, now);
}

StatusOr<identity::CertificateAuthority> LoadOrMakeAuthority(const IssuerOptions& options,
                                                             WallTime now) {
  auto loaded = identity::CertificateAuthority::Load(options.trust_domain, options.folder);
  if (loaded.status().code() != StatusCode::kNotFound) {
    if (loaded.ok() && now >= loaded->not_after()) {
      return FailedPrecondition(
          "the authority in ", options.folder, " ended at ", FormatTime(loaded->not_after()),
          " and the clock says ", FormatTime(now), ": if that is wrong, set the clock; else move ",
          "the folder away to begin with a new one, then attest every agent ", "again");
    }
    return loaded;
  }
  RETURN_IF_ERROR(MakeFolder(options.folder, 0700));
  ASSIGN_OR_RETURN(identity::CertificateAuthority made, MakeAuthority(options, now));
  RETURN_IF_ERROR(made.Save(options.folder));
  LogInfo("made a new authority", {{"serial", made.serial()},
                                   {"trust_domain", options.trust_domain.name()},
                                   {"not_after", FormatTime(made.not_after())}});
  return made;
}

}  // namespace

Issuer::Issuer(identity::CertificateAuthority authority, const Clock& clock)
    : authority_(std::move(authority)), clock_(clock), wall_ahead_(WallAhead(clock)) {}

StatusOr<std::unique_ptr<Issuer>> Issuer::Open(const IssuerOptions& options, const Clock& clock) {
  if (options.authority_ttl < IssuerLimits::kAuthorityLives * options.longest_svid_ttl) {
    return InvalidArgument("the authority must live at least ", IssuerLimits::kAuthorityLives,
                           " times as long as the longest SVID: --ca-ttl ",
                           FormatDuration(options.authority_ttl), " is too short for SVIDs of ",
                           FormatDuration(options.longest_svid_ttl));
  }
  ASSIGN_OR_RETURN(identity::CertificateAuthority authority,
                   LoadOrMakeAuthority(options, clock.Now()));
  std::unique_ptr<Issuer> issuer(new Issuer(std::move(authority), clock));
  RETURN_IF_ERROR(issuer->CheckClock());
  return issuer;
}

bool Issuer::EndsSoon() const {
  const auto life = authority_.not_after() - authority_.not_before();
  return authority_.not_after() - clock_.Now() < life / 5;
}

Status Issuer::CheckClock() const {
  std::chrono::nanoseconds moved;
  {
    std::lock_guard lock(mutex_);
    std::chrono::nanoseconds ahead = WallAhead(clock_);
    moved = ahead - std::exchange(wall_ahead_, ahead);
  }
  WallTime now = clock_.Now();
  if (std::chrono::abs(moved) > IssuerLimits::kClockJump) {
    LogWarning(
        "the wall clock jumped; SVIDs may expire early or late; if it is wrong now, set "
        "the clock (countersign doctor says whether anybody keeps it)",
        {{"now", FormatTime(now)},
         {"by_ms", std::chrono::duration_cast<std::chrono::milliseconds>(moved).count()}});
  }
  if (now < authority_.not_before()) {
    return FailedPrecondition("nothing is signed: the wall clock says ", FormatTime(now),
                              ", before the authority's beginning at ",
                              FormatTime(authority_.not_before()), "; set the clock");
  }
  if (now >= authority_.not_after()) {
    return FailedPrecondition(
        "nothing is signed: the wall clock says ", FormatTime(now),
        ", after the authority's end at ", FormatTime(authority_.not_after()),
        "; if it is wrong, set the clock; else start the server again, which ",
        "says how to begin with a new authority");
  }
  return absl::OkStatus();
}

StatusOr<SignedSvid> Issuer::Sign(const SignRequest& request) const {
  RETURN_IF_ERROR(CheckClock());
  ASSIGN_OR_RETURN(identity::CertificateRequest csr, identity::ParseCsr(request.csr_der));
  ASSIGN_OR_RETURN(std::vector<std::string> chain,
                   authority_.SignLeaf({request.id, csr.public_key_der(), request.ttl,
                                        request.dns_names, request.serial_prefix},
                                       clock_.Now()));
  X509Ptr leaf = identity::DecodeCertificate(chain.front());
  CHECK(leaf != nullptr);
  std::string serial = identity::SerialHex(leaf.get());
  WallTime not_after = identity::NotAfter(leaf.get());
  return SignedSvid{std::move(chain), std::move(serial), not_after};
}

StatusOr<identity::X509Svid> Issuer::MakeServerSvid(std::chrono::nanoseconds ttl) const {
  RETURN_IF_ERROR(CheckClock());
  ASSIGN_OR_RETURN(identity::SpiffeId id, identity::SpiffeId::Make(trust_domain(), kServerPath));
  ASSIGN_OR_RETURN(identity::PrivateKey key, identity::PrivateKey::GenerateP256());
  ASSIGN_OR_RETURN(std::string public_key, key.PublicKeyDer());
  ASSIGN_OR_RETURN(
      std::vector<std::string> chain,
      authority_.SignLeaf({std::move(id), std::move(public_key), ttl, {}}, clock_.Now()));
  ASSIGN_OR_RETURN(std::string key_der, key.ToPkcs8Der());
  return identity::X509Svid::Create(std::move(chain), std::move(key_der));
}

std::chrono::nanoseconds Issuer::longest_ttl() const {
  return std::min<std::chrono::nanoseconds>(
      (authority_.not_after() - authority_.not_before()) / IssuerLimits::kAuthorityLives,
      IssuerLimits::kSvidTtlMax);
}

}  // namespace countersign::server
