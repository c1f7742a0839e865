#include "identity/server/agent_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "identity/server/node_messages.h"

namespace countersign::server {

AgentStream::AgentStream(NodeStreamService& service, grpc::CallbackServerContext& context,
                         const identity::VerifiedPeer& peer, AdmittedAgent agent)
    : service_(service),
      context_(context),
      agent_(std::move(agent)),
      peer_(context.peer()),
      svid_{peer.serial(), peer.not_after()},
      expires_(peer.not_after()) {}

void AgentStream::Begin() {
  has_begun_ = true;
  service_.parts_.places.Began(peer_);
  StartRead(&incoming_);
}

WallTime AgentStream::expires() const {
  std::lock_guard lock(mutex_);
  return expires_;
}

std::shared_ptr<const NodeView> AgentStream::ViewAt(Revision revision) const {
  std::lock_guard lock(mutex_);
  auto same = std::find_if(sent_.begin(), sent_.end(),
                           [&](const SentView& sent) { return sent.revision == revision; });
  return same == sent_.end() ? nullptr : same->view;
}

void AgentStream::OnReadDone(bool ok) {
  if (!ok) {
    Close(absl::OkStatus());  // The agent half-closed, or the connection is gone.
    return;
  }
  {
    std::lock_guard lock(mutex_);
    if (ending_) {
      return;  // Nothing is answered, signed or believed any more.
    }
  }
  Status status = Handle(incoming_);
  if (!status.ok()) {
    LogWarning("agent's stream ended", {{"agent", agent_.id}, {"why", status}});
    Close(status);
    return;
  }
  ReadNext();
}

void AgentStream::ReadNext() {
  {
    std::lock_guard lock(mutex_);
    reading_paused_ = answers_.size() >= NodeStreamLimits::kAnswersMax;
    if (reading_paused_) {
      return;
    }
  }
  StartRead(&incoming_);
}

Status AgentStream::Handle(const v1::AgentMessage& message) {
  if ((session_ == 0) != message.has_hello()) {
    return InvalidArgument("the first message of a stream, and no other, is hello");
  }
  switch (message.message_case()) {
    case v1::AgentMessage::kHello:
      return HandleHello(message.hello());
    case v1::AgentMessage::kAck:
      HandleAck(message.ack());
      return absl::OkStatus();
    case v1::AgentMessage::kSign:
      HandleSigning(message.sign());
      return absl::OkStatus();
    case v1::AgentMessage::kProxies:
      return HandleReport(message.proxies());
    case v1::AgentMessage::MESSAGE_NOT_SET:
      break;
  }
  return InvalidArgument("a message of no known kind; is the agent newer than the server?");
}

Status AgentStream::HandleHello(const v1::Hello& hello) {
  Revision have = FromProto(hello.have());
  session_ = service_.parts_.sessions.Connected(agent_.id, svid_);
  LogInfo("agent connected",
          {{"agent", agent_.id}, {"has", FormatRevision(have)}, {"version", hello.version()}});
  std::shared_ptr<const NodeView> view = service_.TakeView(agent_.id, have);
  Registry::State state = service_.parts_.registry.state();
  {
    std::lock_guard lock(mutex_);
    if (view == nullptr && have == state->revision && have != Revision()) {
      view = std::make_shared<const NodeView>(ViewForNode(*state, agent_.id));
    }
    if (view != nullptr) {
      sent_.push_back({have, std::move(view)});
    }
    greeted_ = true;
  }
  // After greeted_, so that no change falls between the look and the telling.
  StateChanged(service_.parts_.registry.state());
  return absl::OkStatus();
}

void AgentStream::HandleAck(const v1::Ack& ack) {
  Revision revision = FromProto(ack.revision());
  if (!v1::Ack::Level_IsValid(ack.level())) {
    return;  // Of a newer agent; it must not count for more than it may mean.
  }
  {
    std::lock_guard lock(mutex_);
    if (sent_.empty() || revision > sent_.back().revision) {
      return;  // Of something that was not sent on this stream.
    }
    while (ack.level() != v1::Ack::RECEIVED && sent_.size() > 1 &&
           sent_.front().revision < revision) {
      sent_.pop_front();
    }
  }
  AckLevel level = ack.level() == v1::Ack::RECEIVED  ? AckLevel::kReceived
                   : ack.level() == v1::Ack::APPLIED ? AckLevel::kApplied
                                                     : AckLevel::kTaken;
  service_.parts_.sessions.Acknowledged(agent_.id, level, revision);
}

void AgentStream::HandleSigning(const v1::SigningRequest& request) {
  StatusOr<SignedSvid> svid = service_.Sign(agent_, request);
  v1::ServerMessage answer;
  v1::SigningResponse& response = *answer.mutable_signed_();
  response.set_id(request.id());
  if (svid.ok()) {
    for (std::string& certificate : svid->chain_der) {
      response.add_svid(std::move(certificate));
    }
  } else {
    if (service_.MayLogRefusal(agent_.id)) {
      LogWarning(
          "an SVID was refused",
          {{"agent", agent_.id}, {"registration", request.registration()}, {"why", svid.status()}});
    }
    response.set_error_code(static_cast<int32_t>(svid.status().code()));
    response.set_error(std::string(Message(svid.status())));
  }
  std::lock_guard lock(mutex_);
  if (svid.ok() && request.registration().empty()) {
    expires_ = svid->not_after;  // The same agent, proven on this stream, for longer.
  }
  answers_.push_back(std::move(answer));
  WriteNext();
}

Status AgentStream::HandleReport(const v1::ProxyReport& report) {
  std::vector<RunningProxy> proxies;
  for (const v1::ProxyStatus& proxy : report.proxies()) {
    proxies.push_back(FromProto(proxy));
  }
  return service_.parts_.sessions.Report(agent_.id, std::move(proxies));
}

void AgentStream::StateChanged(Registry::State state) {
  std::lock_guard lock(mutex_);
  if (!greeted_) {
    return;
  }
  if (newest_ == nullptr || state->revision > newest_->revision) {
    newest_ = std::move(state);
    WriteNext();
  }
}

void AgentStream::WriteNext() {
  if (writing_ || ending_) {
    return;
  }
  if (!answers_.empty()) {
    outgoing_ = std::move(answers_.front());
    answers_.pop_front();
  } else if (!PrepareUpdate()) {
    return;
  }
  writing_ = true;
  StartWrite(&outgoing_);
}

// Fills outgoing_ with what the agent lacks; false if it lacks nothing. The first answer to a hello
// is always sent: it tells the agent that it is up to date.
bool AgentStream::PrepareUpdate() {
  if (newest_ == nullptr ||
      (!sent_.empty() && !first_ && sent_.back().revision >= newest_->revision)) {
    return false;
  }
  static const NodeView kNothing;
  bool full = sent_.empty();
  auto next = std::make_shared<const NodeView>(ViewForNode(*newest_, agent_.id));
  ViewChange change = CompareViews(full ? kNothing : *sent_.back().view, *next);
  if (!first_ && change.upsert.empty() && change.remove.empty()) {
    // Nothing here concerns the node: what it has is as good as the newest.
    return false;
  }
  first_ = false;
  outgoing_.Clear();
  *outgoing_.mutable_update() = MakeUpdate(newest_->revision, change, full);
  service_.parts_.sessions.Sent(agent_.id, newest_->revision);
  sent_.push_back({newest_->revision, std::move(next)});
  if (sent_.size() > NodeStreamLimits::kUnappliedViewsMax) {
    sent_.pop_front();
  }
  return true;
}

void AgentStream::OnWriteDone(bool ok) {
  bool resume = false;
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (ending_) {
      FinishNow();
      return;
    }
    if (ok) {
      WriteNext();
    }
    resume = ok && reading_paused_ && answers_.size() < NodeStreamLimits::kAnswersMax;
    reading_paused_ = reading_paused_ && !resume;
  }
  if (!ok) {
    Close(Unavailable("the connection is gone"));
  } else if (resume) {
    StartRead(&incoming_);
  }
}

void AgentStream::Close(const Status& status) {
  std::lock_guard lock(mutex_);
  if (ending_) {
    return;
  }
  ending_ = ToGrpc(status);
  if (!writing_) {
    FinishNow();
  }
}

void AgentStream::CutIfStuck() {
  std::lock_guard lock(mutex_);
  if (ending_ && writing_ && std::exchange(overdue_, true)) {
    context_.TryCancel();
  }
}

void AgentStream::FinishNow() {
  if (!finished_) {
    finished_ = true;
    Finish(*ending_);
  }
}

void AgentStream::OnCancel() { Close(Error(StatusCode::kCancelled, "the connection is gone")); }

void AgentStream::OnDone() {
  std::deque<SentView> views;
  {
    std::lock_guard lock(mutex_);  // The agent's next stream may be looking at them.
    views = std::move(sent_);
    sent_.clear();
  }
  service_.Remove(this, agent_.id, std::move(views));
  if (has_begun_) {
    service_.parts_.places.Ended(peer_);
  }
  if (session_ != 0) {
    LogInfo("agent disconnected", {{"agent", agent_.id}});
    service_.parts_.sessions.Disconnected(agent_.id, session_);
  }
  delete this;
}

}  // namespace countersign::server
