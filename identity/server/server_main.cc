#include "identity/server/server_main.h"

#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "identity/server/sqlite_store.h"
#include "identity/trust_bundle.h"

namespace countersign::server {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kHousekeepingPeriod{1};  // Expiry is noticed within it.
constexpr std::chrono::minutes kSlowHousekeepingPeriod{5};
constexpr std::chrono::seconds kShutdownGrace{2};
constexpr std::chrono::hours kServerSvidTtlMax{24};
// What gRPC may hold for the node port's connections before it closes idle ones and then others: a
// second bound behind NodePlaceLimits, far above what 8,192 agents need.
constexpr size_t kNodePortBytesMax = size_t{512} << 20;
constexpr std::chrono::seconds kRefreshHint{300};  // Agents are pushed to; this is for others.

// A new bundle keeps the authorities that are known already: SVIDs of theirs may still be alive.
StatusOr<identity::TrustBundle> BundleWith(const identity::TrustDomain& domain,
                                           const std::vector<std::string>& authorities,
                                           const std::string& stored) {
  identity::TrustBundle::Facts facts{1, kRefreshHint};
  if (stored.empty()) {
    return identity::TrustBundle::FromAuthorities(domain, authorities, facts);
  }
  ASSIGN_OR_RETURN(identity::TrustBundle known, identity::TrustBundle::ParseJson(domain, stored));
  std::vector<std::string> all = known.authorities_der();
  for (const std::string& authority : authorities) {
    if (std::find(all.begin(), all.end(), authority) == all.end()) {
      all.push_back(authority);
    }
  }
  if (all.size() == known.authorities_der().size()) {
    return known;
  }
  facts.sequence = known.sequence() + 1;
  return identity::TrustBundle::FromAuthorities(domain, std::move(all), facts);
}

StatusOr<identity::BundleSet> BundlesOf(const RegistryState& state) {
  std::vector<identity::BundleSet::Bundle> bundles;
  for (const auto& [name, item] : state.bundles) {
    ASSIGN_OR_RETURN(identity::TrustDomain domain, identity::TrustDomain::Parse(name));
    ASSIGN_OR_RETURN(identity::TrustBundle bundle,
                     identity::TrustBundle::ParseJson(domain, item->document));
    bundles.push_back(std::make_shared<const identity::TrustBundle>(std::move(bundle)));
  }
  return identity::BundleSet::Create(std::move(bundles));
}

}  // namespace

StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, const Clock& clock) {
  std::unique_ptr<Server> server(new Server(options, clock));
  RETURN_IF_ERROR(server->Open());
  RETURN_IF_ERROR(server->PublishOwnBundle());
  RETURN_IF_ERROR(server->RenewServerSvid());
  RETURN_IF_ERROR(server->Listen());
  server->housekeeping_ = std::thread([raw = server.get()] { raw->KeepHouse(); });
  return server;
}

Server::~Server() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ended_.notify_all();
  if (housekeeping_.joinable()) {
    housekeeping_.join();
  }
  admin_listener_.reset();
  if (node_port_ != nullptr) {
    node_port_->Stop();
  }
  auto deadline = std::chrono::system_clock::now() + kShutdownGrace;
  for (grpc::Server* server : {admin_server_.get(), node_server_.get()}) {
    if (server != nullptr) {
      server->Shutdown(deadline);
      server->Wait();
    }
  }
  registry_.reset();  // Its thread calls the services.
}

Status Server::Open() {
  ASSIGN_OR_RETURN(identity::TrustDomain domain,
                   identity::TrustDomain::Parse(options_.trust_domain));
  // Administrators know this server by its socket's path alone.
  RETURN_IF_ERROR(CheckSocketFolder(options_.admin_socket));
  RETURN_IF_ERROR(MakeFolder(options_.data_dir, 0700));
  ASSIGN_OR_RETURN(lock_, LockFolder(options_.data_dir));
  IssuerOptions issuer{domain,
                       Concat(options_.data_dir, "/ca"),
                       options_.authority_ttl,
                       options_.agent_svid_ttl,
                       options_.upstream_cert_path,
                       options_.upstream_key_path};
  ASSIGN_OR_RETURN(issuer_, Issuer::Open(issuer, clock_));
  ASSIGN_OR_RETURN(
      store_, OpenSqliteStore({Concat(options_.data_dir, "/store.db"), options_.store_pages_max}));
  ASSIGN_OR_RETURN(registry_, Registry::Open(*store_));
  RETURN_IF_ERROR(registry_->CollectGarbage());
  agents_ = std::make_unique<AgentDirectory>(*store_, domain);
  applier_ =
      std::make_unique<Applier>(*registry_, Applier::Options{domain, issuer_->longest_ttl()});
  streams_ = std::make_unique<NodeStreamService>(
      NodeStreamService::Parts{*registry_, *agents_, sessions_, places_, *issuer_, *trust_, clock_,
                               options_.agent_svid_ttl});
  attestation_ = std::make_unique<NodeAttestationService>(NodeAttestationService::Parts{
      *registry_, *agents_, *streams_, *issuer_, clock_, options_.agent_svid_ttl});
  admin_ = std::make_unique<AdminService>(AdminService::Parts{
      *registry_, *applier_, *agents_, sessions_, *streams_, *store_, domain, clock_});
  return absl::OkStatus();
}

// The root is in the bundle before anything that it signed is shown to anybody.
Status Server::PublishOwnBundle() {
  const identity::CertificateAuthority& authority = issuer_->authority();
  const identity::TrustDomain& domain = issuer_->trust_domain();
  Registry::State state = registry_->state();
  auto found = state->bundles.find(domain.name());
  std::string stored = found == state->bundles.end() ? "" : found->second->document;
  ASSIGN_OR_RETURN(identity::TrustBundle bundle,
                   BundleWith(domain, authority.authorities_der(), stored));
  std::string json = bundle.ToJson();
  if (json != stored) {
    RegistryChange change;
    change.documents.push_back({std::string(kTrustBundleKind), domain.name(), std::move(json)});
    RETURN_IF_ERROR(registry_->Commit(*state, change).status());
  }
  registry_->Observe([this](const Registry::State& next) { StateChanged(next); });
  sessions_.ObserveProxies([this] { admin_->Changed(); });
  return absl::OkStatus();
}

void Server::StateChanged(const Registry::State& state) {
  StatusOr<identity::BundleSet> bundles = BundlesOf(*state);
  if (bundles.ok()) {
    trust_->Publish(std::make_shared<const identity::PeerVerifier>(
        std::make_shared<const identity::BundleSet>(*std::move(bundles))));
  } else {
    LogError("the bundles cannot be read; the last good ones stay", {{"why", bundles.status()}});
  }
  streams_->StateChanged(state);
  admin_->Changed();
}

Status Server::RenewServerSvid() {
  WallTime now = clock_.Now();
  std::chrono::nanoseconds ttl =
      std::min<std::chrono::nanoseconds>(kServerSvidTtlMax, issuer_->longest_ttl());
  ASSIGN_OR_RETURN(identity::X509Svid svid, issuer_->MakeServerSvid(ttl));
  // gRPC reads both files and takes them only if they match, so the order does not matter.
  RETURN_IF_ERROR(
      WriteFileAtomically(Concat(options_.data_dir, "/server.key"), svid.KeyPem(), 0600));
  RETURN_IF_ERROR(
      WriteFileAtomically(Concat(options_.data_dir, "/server.pem"), svid.ChainPem(), 0600));
  renew_at_ = now + (svid.not_after() - now) / 2;
  LogInfo("server's SVID made",
          {{"serial", svid.serial()}, {"not_after", FormatTime(svid.not_after())}});
  return absl::OkStatus();
}

Status Server::Listen() {
  ASSIGN_OR_RETURN(node_port_, NodePort::Listen(options_.listen, places_, clock_));
  using From = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
  grpc::ServerBuilder builder;
  std::shared_ptr<Acceptor> acceptor = builder.experimental().AddExternalConnectionAcceptor(
      From::FROM_FD, MakeNodePortCredentials({Concat(options_.data_dir, "/server.pem"),
                                              Concat(options_.data_dir, "/server.key")},
                                             trust_, clock_));
  grpc::ResourceQuota quota("node port");
  quota.Resize(kNodePortBytesMax);
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // An agent has one stream, and while it joins one call at a time.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 4);
  builder.SetMaxReceiveMessageSize(static_cast<int>(NodeStreamLimits::kMessageBytesMax));
  builder.RegisterService(attestation_.get());
  builder.RegisterService(streams_.get());
  node_server_ = builder.BuildAndStart();
  if (node_server_ == nullptr) {
    return Internal("gRPC does not start");
  }
  node_port_->Serve([acceptor](int listener, Fd connection) {
    Acceptor::NewConnectionParameters parameters;
    parameters.listener_fd = listener;
    parameters.fd = connection.Release();
    acceptor->HandleNewConnection(&parameters);
  });
  ASSIGN_OR_RETURN(admin_listener_,
                   UnixGrpcListener::Create({options_.admin_socket, 0600, {}, {}, {}}));
  admin_->SetListener(*admin_listener_);
  grpc::ServerBuilder admin_builder;
  admin_builder.SetMaxReceiveMessageSize(AdminLimits::kMessageBytesMax);
  admin_builder.RegisterService(admin_.get());
  admin_server_ = admin_builder.BuildAndStart();
  if (admin_server_ == nullptr) {
    return Internal("gRPC does not start");
  }
  admin_listener_->Serve(*admin_server_);
  return absl::OkStatus();
}

void Server::KeepHouse() {
  WallTime slow_at = clock_.Now();
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kHousekeepingPeriod, [this] { return ending_; })) {
    lock.unlock();
    Status clock_status = issuer_->CheckClock();
    streams_->CloseExpired();
    if (clock_.Now() >= renew_at_ && clock_status.ok()) {
      if (Status status = RenewServerSvid(); !status.ok()) {
        LogError("the server's SVID cannot be renewed", {{"why", status}});
      }
    }
    if (clock_.Now() >= slow_at) {
      slow_at = clock_.Now() + kSlowHousekeepingPeriod;
      Status status = agents_->RemoveExpiredTokens(clock_.Now());
      StatusOr<Revision> newest = store_->CurrentRevision();
      // The registry keeps its own picture; nobody resumes from the store's history.
      if (status.ok() && newest.ok()) {
        status = store_->Compact(*newest);
      }
      if (!status.ok()) {
        LogError("housekeeping failed", {{"why", status}});
      }
      if (!clock_status.ok()) {
        LogError("the clock is wrong", {{"why", clock_status}});
      } else if (issuer_->EndsSoon()) {
        LogWarning(
            "the authority ends soon, and with it every identity: begin with a new one before "
            "(see the fault table of docs/operations.md)",
            {{"not_after", FormatTime(issuer_->authority().not_after())}});
      }
    }
    lock.lock();
  }
}

}  // namespace countersign::server
