#include "sds/agent/agent.h"

#include <algorithm>
#include <condition_variable>
#include <random>

#include "base/file.h"
#include "base/log.h"
#include "sds/agent/audit_intake.h"
#include "sds/agent/known_callers.h"
#include "sds/agent/socket_service.h"

namespace countersign::agent {
namespace {

constexpr size_t kAsksAtOnce = 64;   // A key each; more would keep the loop from its streams.
constexpr size_t kAwaitedMax = 256;  // Revisions waiting for subscribers; older ones are merged.
constexpr std::chrono::seconds kSaveRetry{1};

std::function<double()> UniformJitter() {
  return [random = std::make_shared<std::minstd_rand>(std::random_device{}())] {
    return std::uniform_real_distribution<double>(-1, 1)(*random);
  };
}

std::string_view HowToJoin() {
  return "make a token with `countersign token generate`, and start with --join-token-file and "
         "--bundle-sha256";
}

// Waits and is woken by `stop`; true if it may go on.
bool WaitUnlessStopped(std::chrono::nanoseconds delay, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, delay, [] { return false; });
  return !stop.stop_requested();
}

bool IsPassing(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kDeadlineExceeded ||
         status.code() == StatusCode::kResourceExhausted;
}

StatusOr<Joined> JoinOnce(const AgentOptions& options, const Clock& clock) {
  return Join({options.trust_domain, options.server, options.bundle_sha256, options.join_token},
              clock);
}

StatusOr<Joined> JoinWithPatience(const AgentOptions& options, const Clock& clock,
                                  const std::stop_token& stop) {
  std::chrono::nanoseconds backoff = options.limits.backoff_least;
  for (;;) {
    StatusOr<Joined> joined = JoinOnce(options, clock);
    if (!IsPassing(joined.status())) {
      return joined;
    }
    LogWarning("this node cannot be attested yet; trying again",
               {{"server", options.server}, {"why", joined.status()}});
    if (!WaitUnlessStopped(backoff, stop)) {
      return absl::CancelledError("stopped before this node was attested");
    }
    backoff = std::min(backoff * 2, options.limits.backoff_most);
  }
}

}  // namespace

StatusOr<std::unique_ptr<Agent>> Agent::Start(AgentOptions options, const Clock& clock,
                                              std::stop_token stop) {
  if (options.selector_mode == SelectorMode::kDemo) {
    LogWarning(
        "DEMO SELECTORS: every process of this user may claim any registration by its "
        "environment; this isolates nothing and is for demonstrations alone");
  }
  // Workloads know this agent by its socket's path alone.
  RETURN_IF_ERROR(CheckSocketFolder(options.socket));
  if (!options.audit_socket.empty()) {
    RETURN_IF_ERROR(CheckSocketFolder(options.audit_socket));
  }
  ASSIGN_OR_RETURN(DataFolder folder, DataFolder::Open(options.data_dir, options.limits));
  ASSIGN_OR_RETURN(Joined self, LoadOrJoin(options, clock, folder, stop));
  ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  std::unique_ptr<Agent> agent(
      new Agent(std::move(options), clock, std::move(folder), std::move(loop), std::move(self)));
  RETURN_IF_ERROR(agent->LoadWork());
  RETURN_IF_ERROR(agent->StartAudit());
  RETURN_IF_ERROR(agent->Serve());
  return agent;
}

StatusOr<Joined> Agent::LoadOrJoin(const AgentOptions& options, const Clock& clock,
                                   DataFolder& folder, const std::stop_token& stop) {
  StatusOr<StoredSvid> svid = folder.LoadAgentSvid();
  StatusOr<identity::TrustBundle> bundle = folder.LoadBundle(options.trust_domain);
  bool good = svid.ok() && bundle.ok() && svid->svid->not_after() > clock.Now();
  if (svid.ok() && svid->svid->not_before() > clock.Now()) {
    return FailedPrecondition("the clock of this node says ", FormatTime(clock.Now()),
                              ", but this agent's SVID begins at ",
                              FormatTime(svid->svid->not_before()),
                              "; set the clock, then start the agent again");
  }
  if (good) {
    RETURN_IF_ERROR(CheckAgentId(svid->svid->id(), options.trust_domain));
  }
  // A token that was not used here yet asks for another attestation, say after the server removed
  // this agent. One that was is only still on the command line.
  bool new_token = !options.join_token.empty() && !folder.JoinedWith(options.join_token);
  if (good && !new_token) {
    return Joined{*std::move(svid), *std::move(bundle)};
  }
  if (!new_token) {
    if (svid.ok() && bundle.ok()) {
      return FailedPrecondition("this agent's SVID expired at ",
                                FormatTime(svid->svid->not_after()),
                                " and the clock of this node says ", FormatTime(clock.Now()),
                                ": if that is wrong, set the clock; else ", HowToJoin());
    }
    if (svid.status().code() == StatusCode::kNotFound) {
      return FailedPrecondition("this node is not attested yet; ", HowToJoin());
    }
    return Annotate(svid.ok() ? bundle.status() : svid.status(),
                    Concat("the stored identity cannot be used (", HowToJoin(), "): "));
  }
  // A token is good for one use: do not spend it on an SVID that cannot be kept.
  RETURN_IF_ERROR(folder.CheckWritable());
  StatusOr<Joined> joined =
      good ? JoinOnce(options, clock) : JoinWithPatience(options, clock, stop);
  if (good && IsPassing(joined.status())) {
    LogWarning("the server cannot be reached with the new token; going on as attested before",
               {{"why", joined.status()}});
    return Joined{*std::move(svid), *std::move(bundle)};
  }
  RETURN_IF_ERROR(joined.status());
  RETURN_IF_ERROR(folder.ForgetWork());
  RETURN_IF_ERROR(folder.SaveBundle(joined->bundle));
  RETURN_IF_ERROR(folder.SaveAgentSvid(joined->svid));
  RETURN_IF_ERROR(folder.SaveJoinedWith(options.join_token));
  LogInfo("attested", {{"id", joined->svid.svid->id().str()}});
  return joined;
}

Agent::Agent(AgentOptions options, const Clock& clock, DataFolder folder,
             std::unique_ptr<EventLoop> loop, Joined self)
    : options_(std::move(options)),
      clock_(clock),
      id_(self.svid.svid->id()),
      folder_(std::move(folder)),
      loop_(std::move(loop)),
      keeper_(options_.limits, UniformJitter(), clock_),
      own_bundle_(std::move(self.bundle)),
      slots_(options_.limits.streams_per_uid_max),
      refusals_(options_.limits.refusals_logged_per_uid_minute_max, clock_),
      proxies_([this] { loop_->Post([this] { stream_.Report(proxies_.Report()); }); }),
      hub_(*loop_, [this] { ReportTaken(); }),
      digests_(options_.limits, clock_, [this] { hub_.KickAll(); }),
      attestor_(options_.selector_mode, options_.limits, digests_),
      stream_({options_.trust_domain, options_.server, options_.limits}, *this, clock_) {
  keeper_.SetAgent(id_);
  keeper_.Restore("", self.svid);
}

Agent::~Agent() {
  audit_.reset();
  socket_.reset();  // Ends the streams, which need the loop to end.
  stream_.Stop();
  loop_->Stop();
}

Status Agent::LoadWork() {
  SetTrusted();
  ASSIGN_OR_RETURN(stored_svids_, folder_.LoadSvids());
  StatusOr<std::shared_ptr<const NodeState>> state = folder_.LoadState();
  if (state.status().code() == StatusCode::kDataLoss) {
    LogError("the stored state is damaged; it is set aside and asked for again",
             {{"why", state.status()}});
    RETURN_IF_ERROR(folder_.SetStateAside());
    return absl::OkStatus();
  }
  if (state.status().code() == StatusCode::kNotFound) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(state.status());
  applied_ = (*state)->revision();
  TakeState(*std::move(state));
  return absl::OkStatus();
}

// The log is open before the first proxy can be told where to hand its rings.
Status Agent::StartAudit() {
  if (options_.audit_socket.empty()) {
    return absl::OkStatus();
  }
  audit::AuditCollector::Options options;
  options.socket_path = options_.audit_socket;
  options.log_dir = options_.audit_dir;
  options.origin = id_.str().substr(std::string_view("spiffe://").size());
  options.node = id_.str();
  options.workloads_of = [this](const audit::HandoverPeer& peer) {
    return WorkloadsOf(published_state_.Get().get(), options_.selector_mode,
                       {peer.uid, peer.gid, peer.pid});
  };
  ASSIGN_OR_RETURN(audit_, audit::AuditCollector::Start(std::move(options), clock_));
  return absl::OkStatus();
}

Status Agent::Serve() {
  loop_->Start([this] { Tick(); });
  NodeFacts facts{options_.trust_domain.name(), id_.str(), options_.audit_socket};
  auto is_known = [this](const UnixCaller& caller) {
    return IsKnownCaller(published_state_.Get().get(), options_.selector_mode,
                         {caller.uid, caller.gid, caller.pid});
  };
  ASSIGN_OR_RETURN(socket_,
                   SocketService::Start(
                       {options_.socket, options_.selector_mode, std::move(facts), is_known},
                       {options_.limits, clock_, hub_, slots_, refusals_, attestor_, proxies_}));
  stream_.Start();
  return absl::OkStatus();
}

NodeStreamObserver::Greeting Agent::OnConnecting() {
  Greeting greeting;
  loop_->PostAndWait([this, &greeting] {
    const StoredSvid* own = keeper_.agent_svid();
    greeting.svid = own != nullptr ? own->svid : nullptr;
    greeting.bundles = trusted_;
    if (state_ && !std::exchange(resync_, false)) {
      greeting.have = state_->revision();
    }
  });
  return greeting;
}

void Agent::OnConnected() {
  loop_->PostAndWait([this] {
    LogInfo("connected to the server", {{"server", options_.server}});
    told_.clear();
    connected_ = true;
    keeper_.ForgetAsks();
    stream_.Report(proxies_.Report());
    if (applied_) {
      stream_.Acknowledge(v1::Ack::APPLIED, *applied_);
    }
    if (taken_) {
      stream_.Acknowledge(v1::Ack::TAKEN, *taken_);
    }
  });
}

void Agent::OnUpdate(const v1::Update& update) {
  loop_->PostAndWait([this, &update] { ApplyUpdate(update); });
}

void Agent::OnSigned(const SigningAnswer& answer) {
  loop_->PostAndWait([this, &answer] { TakeAnswer(answer); });
}

void Agent::OnDisconnected(const Status& why) {
  loop_->PostAndWait([this, &why] {
    connected_ = false;
    if (!why.ok() && Message(why) != told_) {
      told_ = std::string(Message(why));
      LogWarning("no connection to the server; working from what is stored",
                 {{"server", options_.server}, {"why", why}});
    }
  });
}

void Agent::Tick() {
  WallTime now = clock_.Now();
  if (state_unsaved_ && clock_.Monotonic() >= save_retry_at_) {
    PersistState();
  }
  if (view_stale_ || keeper_.ValidCount() != view_svids_) {
    PublishView();
  }
  if (connected_) {
    AskForSvids();
  }
  hub_.CheckSilence(clock_.Monotonic());
  WarnOfOwnExpiry(now);
  if (std::optional<std::chrono::nanoseconds> left = keeper_.UntilExpiry()) {
    loop_->TickWithin(*left);
  }
}

void Agent::AskForSvids() {
  StatusOr<std::vector<SigningAsk>> asks = keeper_.Due(kAsksAtOnce);
  if (!asks.ok()) {
    LogError("cannot make a key", {{"why", asks.status()}});
    return;
  }
  if (!asks->empty()) {
    stream_.Sign(*std::move(asks));
  }
  if (std::optional<std::chrono::nanoseconds> wait = keeper_.UntilDue()) {
    loop_->TickWithin(*wait);
  }
}

void Agent::ApplyUpdate(const v1::Update& update) {
  Revision revision{update.revision().term(), update.revision().n()};
  stream_.Acknowledge(v1::Ack::RECEIVED, revision);
  NodeState nothing;
  StatusOr<std::shared_ptr<const NodeState>> state =
      NodeState::Apply(state_ ? *state_ : nothing, update);
  if (!state.ok()) {
    LogError("an update cannot be applied; asking for everything", {{"why", state.status()}});
    resync_ = true;
    stream_.Reconnect();
    return;
  }
  TakeState(*std::move(state));
  state_unsaved_ = true;
  PersistState();
}

void Agent::TakeState(std::shared_ptr<const NodeState> state) {
  state_ = std::move(state);
  published_state_.Publish(state_);
  std::vector<std::string> unneeded = keeper_.SetRegistrations(state_->registrations());
  for (const auto& [registration, stored] : std::exchange(stored_svids_, {})) {
    if (!keeper_.Restore(registration, stored)) {
      unneeded.push_back(registration);
    }
  }
  for (const std::string& gone : unneeded) {
    if (Status status = folder_.RemoveSvid(gone); !status.ok()) {
      LogWarning("cannot remove an SVID that is needed no more",
                 {{"registration", gone}, {"why", status}});
    }
  }
  SetTrusted();
  PublishView();
}

// The server is known by the newest bundle it pushed; before it pushed one, by the pinned one.
void Agent::SetTrusted() {
  identity::BundleSet::Bundle pushed =
      state_ ? state_->bundles()->Find(options_.trust_domain.name()) : nullptr;
  if (pushed && !pushed->authorities_der().empty()) {
    trusted_ = state_->bundles();
    if (pushed->ToJson() != own_bundle_.ToJson()) {
      own_bundle_ = *pushed;
      if (Status status = folder_.SaveBundle(own_bundle_); !status.ok()) {
        LogWarning("cannot store the bundle", {{"why", status}});
      }
    }
    return;
  }
  auto set = identity::BundleSet::Create({std::make_shared<identity::TrustBundle>(own_bundle_)});
  trusted_ = std::make_shared<const identity::BundleSet>(set.ok() ? *std::move(set)
                                                                  : identity::BundleSet());
}

void Agent::PersistState() {
  if (Status status = folder_.SaveState(*state_); !status.ok()) {
    LogError("cannot store what the server pushed; it is in force, but not acknowledged",
             {{"why", status}});
    save_retry_at_ = clock_.Monotonic() + kSaveRetry;
    return;
  }
  state_unsaved_ = false;
  applied_ = state_->revision();
  stream_.Acknowledge(v1::Ack::APPLIED, *applied_);
  if (awaited_.size() >= kAwaitedMax) {
    awaited_.pop_back();
  }
  awaited_.push_back({view_version_, *applied_});
  ReportTaken();
}

void Agent::ReportTaken() {
  if (awaited_.empty()) {
    return;
  }
  uint64_t settled = hub_.settled_version();
  std::optional<Revision> taken;
  while (!awaited_.empty() && awaited_.front().view_version <= settled) {
    taken = awaited_.front().revision;
    awaited_.pop_front();
  }
  if (taken) {
    taken_ = taken;
    stream_.Acknowledge(v1::Ack::TAKEN, *taken);
  }
}

identity::PeerVerifier Agent::Verifier() const { return identity::PeerVerifier(trusted_); }

void Agent::TakeAnswer(const SigningAnswer& answer) {
  auto accepted = keeper_.Accept(answer, Verifier());
  if (!accepted.ok()) {
    LogWarning("no SVID was had", {{"why", accepted.status()}});
    return;
  }
  if (!accepted->has_value()) {
    return;
  }
  const auto& [registration, stored] = **accepted;
  bool own = registration.empty();
  Status saved = own ? folder_.SaveAgentSvid(stored) : folder_.SaveSvid(registration, stored);
  if (!saved.ok()) {
    LogWarning("cannot store an SVID; it is in use, but a restart will lose it",
               {{"registration", registration}, {"why", saved}});
  }
  LogInfo(own ? "renewed the agent's own SVID" : "took an SVID",
          {{"registration", registration},
           {"serial", stored.svid->serial()},
           {"expires", FormatTime(stored.svid->not_after())}});
  if (own) {
    own_expiry_told_ = false;  // The next connection is made with it.
  } else {
    view_stale_ = true;
  }
}

void Agent::PublishView() {
  view_stale_ = false;
  auto view = std::make_shared<AgentView>();
  view->version = ++view_version_;
  view->state = state_;
  view->svids = keeper_.Valid();
  view_svids_ = view->svids.size();
  hub_.SetView(std::move(view));
}

void Agent::WarnOfOwnExpiry(WallTime now) {
  const StoredSvid* own = keeper_.agent_svid();
  if (own != nullptr && own->svid->not_after() <= now && !std::exchange(own_expiry_told_, true)) {
    LogError(Concat("this agent's own SVID expired at ", FormatTime(own->svid->not_after()),
                    ": the server will not know it, and workloads keep what they have until it "
                    "expires; ",
                    HowToJoin()));
  }
}

}  // namespace countersign::agent
