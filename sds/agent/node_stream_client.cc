#include "sds/agent/node_stream_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <random>

#include "base/log.h"
#include "countersign/v1/node.grpc.pb.h"
#include "sds/agent/server_channel.h"

namespace countersign::agent {
namespace {

constexpr std::string_view kVersion = "0.1.0";
constexpr size_t kAsksWaitingMax = 8192;  // More means that the server reads no more.

void SetRevision(const Revision& revision, v1::Revision& wire) {
  wire.set_term(revision.term);
  wire.set_n(revision.n);
}

SigningAnswer ToAnswer(const v1::SigningResponse& wire) {
  SigningAnswer answer;
  answer.id = wire.id();
  answer.chain_der.assign(wire.svid().begin(), wire.svid().end());
  if (wire.error_code() != 0 || answer.chain_der.empty()) {
    auto code =
        wire.error_code() != 0 ? static_cast<StatusCode>(wire.error_code()) : StatusCode::kUnknown;
    answer.status = Error(code, wire.error());
  }
  return answer;
}

// Up to a quarter more, so that the agents of a dead server do not come back as one.
std::chrono::nanoseconds WithJitter(std::chrono::nanoseconds delay) {
  static thread_local std::minstd_rand random(std::random_device{}());
  return delay + delay * std::uniform_int_distribution<int>(0, 25)(random) / 100;
}

}  // namespace

struct NodeStreamClient::Connection {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::AgentMessage, v1::ServerMessage>> stream;
  bool ended = false;  // Guarded by mutex_.
};

NodeStreamClient::NodeStreamClient(Options options, NodeStreamObserver& observer,
                                   const Clock& clock)
    : options_(std::move(options)), observer_(observer), clock_(clock) {}

NodeStreamClient::~NodeStreamClient() { Stop(); }

void NodeStreamClient::Start() {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

void NodeStreamClient::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (connection_ != nullptr) {
      connection_->context.TryCancel();
    }
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void NodeStreamClient::Reconnect() {
  std::lock_guard lock(mutex_);
  if (connection_ != nullptr) {
    connection_->context.TryCancel();
  }
}

void NodeStreamClient::Acknowledge(v1::Ack::Level level, const Revision& revision) {
  std::lock_guard lock(mutex_);
  if (connection_ != nullptr) {
    outbox_.acks[level] = revision;
    changed_.notify_all();
  }
}

void NodeStreamClient::Sign(std::vector<SigningAsk> asks) {
  std::lock_guard lock(mutex_);
  // An ask that is dropped here is asked again later.
  if (connection_ != nullptr && outbox_.asks.size() < kAsksWaitingMax) {
    std::move(asks.begin(), asks.end(), std::back_inserter(outbox_.asks));
    changed_.notify_all();
  }
}

void NodeStreamClient::Report(v1::ProxyReport report) {
  std::lock_guard lock(mutex_);
  if (connection_ != nullptr) {
    outbox_.report = std::move(report);
    changed_.notify_all();
  }
}

void NodeStreamClient::Run() {
  std::chrono::nanoseconds backoff = options_.limits.backoff_least;
  for (;;) {
    MonotonicTime began = clock_.Monotonic();
    Status why = RunConnection();
    std::unique_lock lock(mutex_);
    if (stopping_) {
      return;
    }
    lock.unlock();
    observer_.OnDisconnected(why);
    // A connection that held for a while was a good one: the next failure is a new one.
    if (clock_.Monotonic() - began > options_.limits.backoff_most) {
      backoff = options_.limits.backoff_least;
    }
    lock.lock();
    if (changed_.wait_for(lock, WithJitter(backoff), [this] { return stopping_; })) {
      return;
    }
    backoff = std::min(backoff * 2, options_.limits.backoff_most);
  }
}

Status NodeStreamClient::RunConnection() {
  NodeStreamObserver::Greeting greeting = observer_.OnConnecting();
  if (!greeting.svid || !greeting.bundles) {
    return Unavailable("the agent has no identity to show");
  }
  ASSIGN_OR_RETURN(identity::SpiffeId server_id,
                   identity::SpiffeId::Make(options_.trust_domain, "/server"));
  std::shared_ptr<grpc::Channel> channel = VerifiedChannel(
      options_.server, {std::move(server_id), greeting.bundles, greeting.svid}, clock_);
  auto stub = v1::NodeStream::NewStub(channel);
  Connection connection;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      return absl::CancelledError("stopping");
    }
    outbox_ = Outbox();
    connection_ = &connection;
  }
  connection.stream = stub->Connect(&connection.context);
  v1::AgentMessage hello;
  SetRevision(greeting.have, *hello.mutable_hello()->mutable_have());
  hello.mutable_hello()->set_version(std::string(kVersion));
  std::thread writer;
  if (connection.stream->Write(hello)) {
    // The hello went out, so the server proved its identity; if it has nothing new it is silent.
    writer = std::thread([this, &connection] { WriteLoop(connection); });
    observer_.OnConnected();
    v1::ServerMessage message;
    while (connection.stream->Read(&message)) {
      Read(message);
    }
  }
  {
    std::lock_guard lock(mutex_);
    connection.ended = true;
    connection_ = nullptr;
  }
  changed_.notify_all();
  connection.context.TryCancel();  // Ends a write that waits for a peer which reads no more.
  if (writer.joinable()) {
    writer.join();
  }
  grpc::Status status = connection.stream->Finish();
  return Error(static_cast<StatusCode>(status.error_code()), status.error_message());
}

void NodeStreamClient::Read(const v1::ServerMessage& message) {
  if (message.has_update()) {
    observer_.OnUpdate(message.update());
  } else if (message.has_signed_()) {
    observer_.OnSigned(ToAnswer(message.signed_()));
  }
}

void NodeStreamClient::WriteLoop(Connection& connection) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return connection.ended || !outbox_.empty(); });
    if (connection.ended) {
      return;
    }
    Outbox taken = std::exchange(outbox_, Outbox());
    lock.unlock();
    for (const v1::AgentMessage& message : Unpack(taken)) {
      if (!connection.stream->Write(message)) {
        return;  // The reading side learns why.
      }
    }
    lock.lock();
  }
}

std::vector<v1::AgentMessage> NodeStreamClient::Unpack(const Outbox& outbox) {
  std::vector<v1::AgentMessage> messages;
  for (const auto& [level, revision] : outbox.acks) {
    v1::Ack& ack = *messages.emplace_back().mutable_ack();
    ack.set_level(static_cast<v1::Ack::Level>(level));
    SetRevision(revision, *ack.mutable_revision());
  }
  for (const SigningAsk& ask : outbox.asks) {
    v1::SigningRequest& sign = *messages.emplace_back().mutable_sign();
    sign.set_id(ask.id);
    sign.set_registration(ask.registration);
    sign.set_csr(ask.csr_der);
  }
  if (outbox.report) {
    *messages.emplace_back().mutable_proxies() = *outbox.report;
  }
  return messages;
}

}  // namespace countersign::agent
