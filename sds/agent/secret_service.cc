#include "sds/agent/secret_service.h"

#include <map>
#include <set>

#include "base/crypto/hash.h"
#include "sds/agent/secrets.h"

namespace countersign::agent {
namespace {

using Request = SecretService::Request;
using Response = SecretService::Response;

constexpr size_t kReasonBytesMax = 1024;  // Of a refusal, in the log.

Status CheckRequest(const AgentLimits& limits, const Request& request) {
  if (!request.type_url().empty() && request.type_url() != kSecretTypeUrl) {
    return InvalidArgument("only secrets are served here, not ", Quoted(request.type_url()));
  }
  if (static_cast<size_t>(request.resource_names_size()) > limits.names_per_stream_max) {
    return ResourceExhausted("a stream may name at most ", limits.names_per_stream_max, " secrets");
  }
  for (const std::string& name : request.resource_names()) {
    if (name.size() > limits.name_bytes_max) {
      return ResourceExhausted("the name of a secret may have at most ", limits.name_bytes_max,
                               " bytes");
    }
  }
  return absl::OkStatus();
}

void AddResource(const EnvoySecret& secret, Response& response) {
  response.add_resources()->PackFrom(secret);
}

// The version names the content, so that two agents and two streams say the same of the same.
void Seal(Response& response) {
  Sha256Hasher hasher;
  for (const auto& resource : response.resources()) {
    hasher.Update(resource.value());
  }
  response.set_version_info(HexLower(hasher.Finish()).substr(0, 16));
  response.set_type_url(std::string(kSecretTypeUrl));
}

// SecretSubscriber is one SDS stream. Each message carries only the secrets that changed.
class SecretSubscriber final : public AnsweringSubscriber<Request, Response> {
 public:
  using AnsweringSubscriber::AnsweringSubscriber;

  Status Take(const Request& request) override {
    RETURN_IF_ERROR(CheckRequest(context().limits, request));
    std::lock_guard lock(mutex());
    // A nonce names a response of this stream. A request that answers an older response was
    // overtaken; the peer repeats its names when it answers the newest one.
    if (request.response_nonce() != nonce_) {
      return absl::OkStatus();
    }
    TakeNames(request);
    if (!unanswered_) {
      KickLocked();
      return absl::OkStatus();
    }
    unanswered_ = false;
    // A refusal is told by error_detail alone: its version may be any.
    if (request.has_error_detail()) {
      refused_ = true;
      if (context().refusals.Take(process()->uid()) != LogBudget::Verdict::kSkip) {
        LogWarning("a subscriber refused its secrets",
                   {{"pid", process()->pid()},
                    {"uid", process()->uid()},
                    {"version", version_},
                    {"why", request.error_detail().message().substr(0, kReasonBytesMax)}});
      }
      AnswerRefusedLocked();
    } else {
      AnswerTakenLocked();
    }
    KickLocked();
    return absl::OkStatus();
  }

 private:
  void TakeNames(const Request& request) {
    std::set<std::string> names(request.resource_names().begin(), request.resource_names().end());
    begun_ = true;
    named_ever_ = named_ever_ || !names.empty();
    if (!named_ever_) {
      return;  // Everything it has, as before.
    }
    std::erase_if(sent_, [&names](const auto& sent) { return !names.contains(sent.first); });
    names_ = std::move(names);
  }

  bool AwaitsAnswer() const override { return unanswered_ || refused_; }

  StatusOr<bool> Next(const AgentView& view, Response& response) override {
    if (!begun_ || !view.state) {
      return false;
    }
    StatusOr<Attestation> attestation = AttestCaller(context(), view, process());
    if (attestation.status().code() == StatusCode::kPermissionDenied) {
      // Who has no identity yet may get one: an unknown name is answered when it is known.
      if (!std::exchange(logged_, true)) {
        LogNoRegistration(context(), *process());
      }
      return false;
    }
    RETURN_IF_ERROR(attestation.status());
    // An empty first list asks for everything; an empty later one asks for nothing any more.
    if (!named_ever_) {
      for (std::string& name : OwnSecretNames(view, *attestation)) {
        names_.insert(std::move(name));
      }
    }
    for (const std::string& name : names_) {
      std::optional<EnvoySecret> secret = BuildSecret(name, view, *attestation);
      if (!secret) {
        continue;
      }
      std::string digest = HexLower(Sha256(EqualBytes(*secret)));
      std::string& sent = sent_[name];
      if (sent != digest) {
        sent = std::move(digest);
        AddResource(*secret, response);
      }
    }
    if (response.resources_size() == 0) {
      return false;
    }
    Seal(response);
    nonce_ = Concat(++nonces_);
    version_ = response.version_info();
    response.set_nonce(nonce_);
    unanswered_ = true;
    refused_ = false;
    return true;
  }

  bool begun_ = false;
  bool named_ever_ = false;
  bool logged_ = false;
  std::set<std::string> names_;
  std::map<std::string, std::string> sent_;  // Digest of what was last sent, by name.
  std::string nonce_;                        // Of the newest response; empty before the first.
  std::string version_;
  uint64_t nonces_ = 0;
  bool unanswered_ = false;
  bool refused_ = false;
};

}  // namespace

grpc::ServerBidiReactor<Request, Response>* SecretService::StreamSecrets(
    grpc::CallbackServerContext* call) {
  StatusOr<StreamCaller> caller = TakeCaller(context_, *call);
  if (!caller.ok()) {
    return new RefusedBidiStream<Request, Response>(caller.status());
  }
  auto subscriber = std::make_shared<SecretSubscriber>(context_, *std::move(caller));
  return new BidiStreamReactor<Request, Response>(call, context_.hub, std::move(subscriber));
}

grpc::ServerUnaryReactor* SecretService::FetchSecrets(grpc::CallbackServerContext* call,
                                                      const Request* request, Response* response) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  StatusOr<StreamCaller> caller = TakeCaller(context_, *call);
  Status status = caller.ok() ? CheckRequest(context_.limits, *request) : caller.status();
  if (!status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  context_.hub.Ask([this, reactor, request, response, caller = *caller](const AgentView& view) {
    StatusOr<Attestation> attestation = AttestCaller(context_, view, caller.process);
    if (!attestation.ok()) {
      reactor->Finish(ToGrpc(attestation.status()));
      return;
    }
    for (const std::string& name : request->resource_names()) {
      if (auto secret = BuildSecret(name, view, *attestation)) {
        AddResource(*secret, *response);
      }
    }
    Seal(*response);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

}  // namespace countersign::agent
