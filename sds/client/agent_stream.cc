#include "sds/client/agent_stream.h"

#include "base/log.h"
#include "sds/client/node_client.h"

namespace countersign::sds {

AgentStream::AgentStream(std::string name, Serve serve)
    : name_(std::move(name)), serve_(std::move(serve)), thread_([this] { Run(); }) {}

AgentStream::~AgentStream() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (current_ != nullptr) {
      current_->TryCancel();
    }
  }
  stopped_.notify_all();
  thread_.join();
}

void AgentStream::Run() {
  Backoff backoff({NodeClientLimits::kBackoffMin, NodeClientLimits::kBackoffMax});
  bool was_served = true;
  while (true) {
    bool is_served = ServeOnce(backoff);
    std::unique_lock lock(mutex_);
    if (stopping_) {
      return;
    }
    std::chrono::milliseconds wait = backoff.Next();
    // One line when the agent goes; the attempts that follow would say the same again.
    if (is_served || was_served) {
      LogWarning("no stream to the agent; what it gave last stays in force", {{"stream", name_}});
    }
    was_served = is_served;
    if (stopped_.wait_for(lock, wait, [this] { return stopping_; })) {
      return;
    }
  }
}

bool AgentStream::ServeOnce(Backoff& backoff) {
  grpc::ClientContext context;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      return false;
    }
    current_ = &context;
  }
  StreamEnd end = serve_(context);
  {
    std::lock_guard lock(mutex_);
    current_ = nullptr;
  }
  LogDebug("stream to the agent ended", {{"stream", name_},
                                         {"code", static_cast<int>(end.status.error_code())},
                                         {"reason", end.status.error_message()}});
  bool is_served = end.progress == StreamEnd::Progress::kSome;
  if (is_served) {
    backoff.Reset();
  }
  return is_served;
}

std::shared_ptr<grpc::Channel> ConnectAgent(const std::string& agent_socket) {
  grpc::ChannelArguments arguments;
  // gRPC dials behind our attempts; without these its own patience would outgrow ours.
  int least = static_cast<int>(NodeClientLimits::kBackoffMin.count());
  int most = static_cast<int>(NodeClientLimits::kBackoffMax.count());
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, least);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, most);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, most);
  // A channel of our own: another one of this process may be to another agent's lifetime.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(NodeClientLimits::kConfigBytesMax));
  return grpc::CreateCustomChannel("unix:" + agent_socket, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace countersign::sds
