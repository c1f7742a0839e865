#include "sds/agent/proxy_config_service.h"

#include <algorithm>

#include "sds/agent/proxy_configuration.h"

namespace countersign::agent {
namespace {

constexpr size_t kInstanceBytesMax = 253;  // As long as a host name; it stands in tables.
constexpr size_t kReasonBytesMax = 4096;   // A compiler's first errors.

// ConfigSubscriber is one proxy. It writes the whole configuration whenever it changed.
class ConfigSubscriber final
    : public AnsweringSubscriber<v1::ProxyMessage, v1::ProxyConfiguration> {
 public:
  ConfigSubscriber(const ServiceContext& context, StreamCaller caller, const NodeFacts& facts,
                   ProxyTable& proxies)
      : AnsweringSubscriber(context, std::move(caller)), facts_(facts), proxies_(proxies) {}
  ~ConfigSubscriber() override { proxies_.Remove(this); }

  Status Take(const v1::ProxyMessage& message) override {
    std::lock_guard lock(mutex());
    if (message.has_hello()) {
      return TakeHello(message.hello());
    }
    if (!message.has_result()) {
      return absl::OkStatus();  // A message of a newer proxy.
    }
    if (!begun_) {
      return InvalidArgument("the first message must be a hello");
    }
    return TakeResult(message.result());
  }

 private:
  Status TakeHello(const v1::ProxyHello& hello) {
    if (begun_) {
      return InvalidArgument("a second hello");
    }
    if (hello.instance().empty() || hello.instance().size() > kInstanceBytesMax) {
      return InvalidArgument("an instance has a name of 1 to ", kInstanceBytesMax, " bytes");
    }
    begun_ = true;
    status_.set_instance(hello.instance());
    status_.set_agent_id(facts_.node_id);
    status_.set_pid(static_cast<uint32_t>(process()->pid()));
    KickLocked();
    return absl::OkStatus();
  }

  Status TakeResult(const v1::ProxyResult& result) {
    constexpr int kDigestsMax = ProxyReportLimits::kDigestsMax;
    if (result.refused().size() > kReasonBytesMax || result.acknowledged_size() > kDigestsMax) {
      return ResourceExhausted("a result may have a reason of ", kReasonBytesMax, " bytes and ",
                               kDigestsMax, " digests");
    }
    for (const v1::SetDigest& one : result.acknowledged()) {
      if (one.set().size() + one.digest().size() > ProxyReportLimits::kDigestTextBytesMax) {
        return ResourceExhausted("a set's name and digest may have ",
                                 ProxyReportLimits::kDigestTextBytesMax, " bytes");
      }
    }
    status_.set_ready(result.ready());
    *status_.mutable_acknowledged() = result.acknowledged();
    status_.set_refused(result.refused());
    status_.set_svid_serial(result.svid_serial().substr(0, 128));
    status_.set_svid_expires_unix_ms(result.svid_expires_unix_ms());
    status_.set_config_version(result.config_version());
    status_.set_seen_unix_ms(std::chrono::duration_cast<std::chrono::milliseconds>(
                                 context().clock.Now().time_since_epoch())
                                 .count());
    proxies_.Set(this, status_);
    // A refusal may pass: the proxy tries again what its host did not let it take.
    bool later = refused_ && result.refused().empty();
    if (!(unanswered_ || later) || result.config_version() != version_) {
      return absl::OkStatus();
    }
    unanswered_ = false;
    refused_ = !result.refused().empty();
    if (refused_) {
      if (context().refusals.Take(process()->uid()) != LogBudget::Verdict::kSkip) {
        LogWarning(
            "a proxy refused its configuration",
            {{"instance", status_.instance()}, {"version", version_}, {"why", result.refused()}});
      }
      AnswerRefusedLocked();
    } else {
      AnswerTakenLocked();
    }
    return absl::OkStatus();
  }

  bool AwaitsAnswer() const override { return unanswered_ || refused_; }

  StatusOr<bool> Next(const AgentView& view, v1::ProxyConfiguration& response) override {
    if (!begun_) {
      return false;
    }
    ASSIGN_OR_RETURN(Attestation attestation, AttestCaller(context(), view, process()));
    if (attestation.outcome == Attestation::Outcome::kPending) {
      return false;
    }
    auto holder = std::find_if(attestation.matched.begin(), attestation.matched.end(),
                               [](const auto& registration) { return registration->proxy; });
    if (holder == attestation.matched.end()) {
      return PermissionDenied("the caller is registered, but not as a proxy");
    }
    response = BuildProxyConfiguration(*view.state, **holder);
    response.set_trust_domain(facts_.trust_domain);
    response.set_audit_socket(facts_.audit_socket);
    response.set_node_id(facts_.node_id);
    std::string bytes = EqualBytes(response);
    if (bytes == sent_) {
      return false;
    }
    sent_ = std::move(bytes);
    // The number of the view rises with each one, so it also orders what is cut from it.
    version_ = view.version;
    response.set_version(version_);
    status_.set_workload_id((*holder)->id);
    unanswered_ = true;
    refused_ = false;
    return true;
  }

  const NodeFacts facts_;
  ProxyTable& proxies_;
  bool begun_ = false;
  v1::ProxyStatus status_;
  std::string sent_;
  uint64_t version_ = 0;
  bool unanswered_ = false;
  bool refused_ = false;
};

}  // namespace

grpc::ServerBidiReactor<v1::ProxyMessage, v1::ProxyConfiguration>* ProxyConfigService::Stream(
    grpc::CallbackServerContext* call) {
  StatusOr<StreamCaller> caller = TakeCaller(context_, *call);
  if (!caller.ok()) {
    return new RefusedBidiStream<v1::ProxyMessage, v1::ProxyConfiguration>(caller.status());
  }
  auto subscriber =
      std::make_shared<ConfigSubscriber>(context_, *std::move(caller), facts_, proxies_);
  return new BidiStreamReactor<v1::ProxyMessage, v1::ProxyConfiguration>(call, context_.hub,
                                                                         std::move(subscriber));
}

}  // namespace countersign::agent
