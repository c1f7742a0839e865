// What the streaming services of the agent's socket share: one writer at a time, the newest state
// and never a queue, an end when the caller's process ends or changes.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include "base/log.h"
#include "base/log_budget.h"
#include "base/unix_grpc/unix_grpc_listener.h"
#include "sds/agent/hub.h"
#include "sds/agent/workload_attestor.h"

namespace countersign::agent {

// ServiceContext is what every service of the socket works with; all of it outlives the services.
struct ServiceContext {
  const AgentLimits& limits;
  const Clock& clock;
  Hub& hub;
  StreamSlots& slots;
  LogBudget& refusals;
  const WorkloadAttestor& attestor;
  const UnixGrpcListener& listener;
};

// StreamCaller is the process behind a call, with its place among its user's streams.
struct StreamCaller {
  std::shared_ptr<const AttestedProcess> process;
  std::shared_ptr<void> slot;
};
StatusOr<StreamCaller> TakeCaller(const ServiceContext& context,
                                  const grpc::ServerContextBase& call);

// ToGrpc keeps the code; the message is meant for the caller.
grpc::Status ToGrpc(const Status& status);

// EqualBytes of two messages are equal exactly if the messages are, maps included.
std::string EqualBytes(const google::protobuf::MessageLite& message);

// AttestCaller says which registrations the caller may use now, as a Status for it: UNAVAILABLE for
// a passing fault, PERMISSION_DENIED for a caller without registration. An attestation that is
// pending is OK and matches nothing yet.
StatusOr<Attestation> AttestCaller(const ServiceContext& context, const AgentView& view,
                                   const std::shared_ptr<const AttestedProcess>& process);

// LogNoRegistration tells the operator what a caller without registration looks like.
void LogNoRegistration(const ServiceContext& context, const AttestedProcess& process);

// StreamSubscriber is a subscriber that writes messages of one type. Step, on the hub's thread,
// asks Next what to do; gRPC's threads report reads and writes. The reactor that owns the call is
// reached through Writer until Detach.
template <class Response>
class StreamSubscriber : public Subscriber,
                         public std::enable_shared_from_this<StreamSubscriber<Response>> {
 public:
  class Writer {
   public:
    virtual void Write(const Response& response) = 0;
    virtual void End(const grpc::Status& status) = 0;
    virtual void Cancel() = 0;

   protected:
    ~Writer() = default;
  };

  StreamSubscriber(const ServiceContext& context, StreamCaller caller)
      : context_(context), caller_(std::move(caller)) {}

  const std::shared_ptr<const AttestedProcess>& process() const final { return caller_.process; }

  void Attach(Writer* writer) {
    std::lock_guard lock(mutex_);
    writer_ = writer;
  }
  void Detach() {
    std::lock_guard lock(mutex_);
    writer_ = nullptr;
  }

  void Step(const AgentView& view) final {
    std::lock_guard lock(mutex_);
    if (writer_ == nullptr || ended_) {
      return;
    }
    if (Status status = caller_.process->CheckUnchanged(); !status.ok()) {
      EndLocked(PermissionDenied(Message(status)));
      return;
    }
    if (writing_) {
      step_after_write_ = true;
      return;
    }
    response_.Clear();
    StatusOr<bool> something = Next(view, response_);
    if (!something.ok()) {
      EndLocked(something.status());
    } else if (*something) {
      writing_ = true;
      writing_version_ = view.version;
      if (!silent_since_) {  // News does not excuse an answer that is missing.
        silent_since_ = context_.clock.Monotonic();
      }
      writer_->Write(response_);
    } else if (!AwaitsAnswer()) {
      settled_ = view.version;
    }
  }

  void OnWritten(bool ok) {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (end_after_write_) {
      writer_->End(*end_after_write_);
      return;
    }
    if (!ok) {
      EndLocked(absl::CancelledError("the stream is broken"));
      return;
    }
    if (!AwaitsAnswer()) {
      settled_ = writing_version_;
      silent_since_.reset();
    }
    if (std::exchange(step_after_write_, false)) {
      KickLocked();
    }
  }

  // Cancelled is called when the peer has gone.
  void Cancelled() {
    std::lock_guard lock(mutex_);
    EndLocked(absl::CancelledError("the caller has gone"));
  }

  void CheckSilence(MonotonicTime now) final {
    std::lock_guard lock(mutex_);
    if (std::exchange(step_on_tick_, false)) {
      KickLocked();
    }
    if (writer_ == nullptr || !silent_since_ ||
        now - *silent_since_ < context_.limits.subscriber_silence_max) {
      return;
    }
    LogWarning("a subscriber neither reads nor acknowledges; its stream is closed",
               {{"pid", caller_.process->pid()}, {"uid", caller_.process->uid()}});
    silent_since_.reset();
    EndLocked(absl::DeadlineExceededError("nothing was read or acknowledged for too long"));
    writer_->Cancel();
  }

  uint64_t settled_version() const final {
    std::lock_guard lock(mutex_);
    return ended_ ? UINT64_MAX : settled_;
  }

 protected:
  // Next fills `response` and returns true, returns false if the caller has all that concerns it,
  // or ends the stream with an error. Called with the lock held.
  virtual StatusOr<bool> Next(const AgentView& view, Response& response) = 0;
  // AwaitsAnswer says whether the last message still lacks its acknowledgement.
  virtual bool AwaitsAnswer() const { return false; }

  // The rest is for subclasses' own entry points, which take the lock.
  std::mutex& mutex() const { return mutex_; }
  const ServiceContext& context() const { return context_; }
  bool ended() const { return ended_; }
  void AnswerTakenLocked() {
    settled_ = writing_version_;
    silent_since_.reset();
    KickLocked();
  }
  void AnswerRefusedLocked() { silent_since_.reset(); }
  void KickLocked() { context_.hub.Kick(this->shared_from_this()); }
  // StepOnTickLocked is for a Next that depends on time.
  void StepOnTickLocked() { step_on_tick_ = true; }
  void EndLocked(const Status& status) {
    if (ended_ || writer_ == nullptr) {
      return;
    }
    ended_ = true;
    if (writing_) {
      end_after_write_ = ToGrpc(status);  // gRPC takes the end only after the write in hand.
    } else {
      writer_->End(ToGrpc(status));
    }
  }

 private:
  const ServiceContext context_;
  const StreamCaller caller_;
  mutable std::mutex mutex_;  // Guards what follows, and the subclass's state.
  Writer* writer_ = nullptr;
  Response response_;
  bool writing_ = false;
  bool step_after_write_ = false;
  bool step_on_tick_ = false;
  bool ended_ = false;
  std::optional<grpc::Status> end_after_write_;
  uint64_t writing_version_ = 0;
  uint64_t settled_ = 0;
  std::optional<MonotonicTime> silent_since_;
};

// ServerStreamReactor owns a call that only writes.
template <class Response>
class ServerStreamReactor final : public grpc::ServerWriteReactor<Response>,
                                  public StreamSubscriber<Response>::Writer {
 public:
  ServerStreamReactor(grpc::CallbackServerContext* call, Hub& hub,
                      std::shared_ptr<StreamSubscriber<Response>> subscriber)
      : call_(call), hub_(hub), subscriber_(std::move(subscriber)) {
    subscriber_->Attach(this);
    hub_.Add(subscriber_);
  }
  void Write(const Response& response) override { this->StartWrite(&response); }
  void End(const grpc::Status& status) override { this->Finish(status); }
  void Cancel() override { call_->TryCancel(); }
  void OnWriteDone(bool ok) override { subscriber_->OnWritten(ok); }
  void OnCancel() override { subscriber_->Cancelled(); }
  void OnDone() override {
    subscriber_->Detach();
    hub_.Remove(subscriber_);
    delete this;
  }

 private:
  grpc::CallbackServerContext* const call_;
  Hub& hub_;
  const std::shared_ptr<StreamSubscriber<Response>> subscriber_;
};

// AnsweringSubscriber is a stream subscriber that also reads. A request is read, taken, and only
// then is the next one read.
template <class Request, class Response>
class AnsweringSubscriber : public StreamSubscriber<Response> {
 public:
  using StreamSubscriber<Response>::StreamSubscriber;
  // Take is called on gRPC's thread without the lock; an error ends the stream.
  virtual Status Take(const Request& request) = 0;
  // HalfClosed is called when the peer will send no more.
  void HalfClosed() {
    std::lock_guard lock(this->mutex());
    this->EndLocked(absl::OkStatus());
  }
  void Refuse(const Status& status) {
    std::lock_guard lock(this->mutex());
    this->EndLocked(status);
  }
};

// BidiStreamReactor owns a call that reads and writes.
template <class Request, class Response>
class BidiStreamReactor final : public grpc::ServerBidiReactor<Request, Response>,
                                public StreamSubscriber<Response>::Writer {
 public:
  BidiStreamReactor(grpc::CallbackServerContext* call, Hub& hub,
                    std::shared_ptr<AnsweringSubscriber<Request, Response>> subscriber)
      : call_(call), hub_(hub), subscriber_(std::move(subscriber)) {
    subscriber_->Attach(this);
    hub_.Add(subscriber_);
    this->StartRead(&request_);
  }
  void Write(const Response& response) override { this->StartWrite(&response); }
  void End(const grpc::Status& status) override { this->Finish(status); }
  void Cancel() override { call_->TryCancel(); }
  void OnReadDone(bool ok) override {
    if (!ok) {
      subscriber_->HalfClosed();
      return;
    }
    if (Status status = subscriber_->Take(request_); !status.ok()) {
      subscriber_->Refuse(status);
      return;
    }
    this->StartRead(&request_);
  }
  void OnWriteDone(bool ok) override { subscriber_->OnWritten(ok); }
  void OnCancel() override { subscriber_->Cancelled(); }
  void OnDone() override {
    subscriber_->Detach();
    hub_.Remove(subscriber_);
    delete this;
  }

 private:
  grpc::CallbackServerContext* const call_;
  Hub& hub_;
  const std::shared_ptr<AnsweringSubscriber<Request, Response>> subscriber_;
  Request request_;
};

// RefusedServerStream and RefusedBidiStream end a call that may not begin.
template <class Response>
class RefusedServerStream final : public grpc::ServerWriteReactor<Response> {
 public:
  explicit RefusedServerStream(const Status& status) { this->Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};
template <class Request, class Response>
class RefusedBidiStream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit RefusedBidiStream(const Status& status) { this->Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace countersign::agent
