#include "sds/agent/workload_api_service.h"

#include <set>

#include "sds/agent/trust_of.h"

namespace countersign::agent {
namespace {

// Workload Endpoint section 3: a call without this header, with this very value, may come from a
// deputy that was talked into it, and "MUST" be answered with InvalidArgument.
Status CheckSecurityHeader(const grpc::CallbackServerContext& call) {
  auto [first, last] = call.client_metadata().equal_range("workload.spiffe.io");
  if (first == last || std::next(first) != last || first->second != "true") {
    return InvalidArgument("the metadata workload.spiffe.io: true is required");
  }
  return absl::OkStatus();
}

std::string JoinDer(const std::vector<std::string>& ders) {
  std::string joined;
  for (const std::string& der : ders) {
    joined += der;
  }
  return joined;
}

// WorkloadSubscriber writes one full message whenever it differs from the last one.
template <class Response>
class WorkloadSubscriber : public StreamSubscriber<Response> {
 public:
  using StreamSubscriber<Response>::StreamSubscriber;

 protected:
  // Fill makes the full message; false if what it needs is not there yet.
  virtual bool Fill(const AgentView& view, const Attestation& attestation, Response& response) = 0;

 private:
  StatusOr<bool> Next(const AgentView& view, Response& response) final {
    if (!view.state) {
      return Wait("the agent has not heard from its server yet");
    }
    StatusOr<Attestation> attestation = AttestCaller(this->context(), view, this->process());
    if (!attestation.ok()) {
      if (attestation.status().code() == StatusCode::kPermissionDenied) {
        LogNoRegistration(this->context(), *this->process());
      }
      return attestation.status();
    }
    if (!Fill(view, *attestation, response)) {
      return Wait("the identity is registered, but the server has not signed it yet");
    }
    waiting_since_.reset();
    std::string bytes = EqualBytes(response);
    if (bytes == sent_) {
      return false;
    }
    sent_ = std::move(bytes);
    return true;
  }

  // A caller is not refused while what it may have is on its way: its own retry would take longer.
  StatusOr<bool> Wait(std::string_view why) {
    MonotonicTime now = this->context().clock.Monotonic();
    if (!waiting_since_) {
      waiting_since_ = now;
    }
    if (now - *waiting_since_ >= this->context().limits.first_svid_wait_max) {
      return Unavailable(why);
    }
    this->StepOnTickLocked();
    return false;
  }

  std::string sent_;
  std::optional<MonotonicTime> waiting_since_;
};

class SvidSubscriber final : public WorkloadSubscriber<X509SVIDResponse> {
 public:
  using WorkloadSubscriber::WorkloadSubscriber;

 private:
  bool Fill(const AgentView& view, const Attestation& attestation,
            X509SVIDResponse& response) override {
    std::set<std::string> hints;
    for (const auto& registration : attestation.matched) {
      auto svid = view.svids.find(registration->name);
      if (svid == view.svids.end()) {
        continue;
      }
      auto bundle = TrustOf(*view.state, svid->second->id().trust_domain_name());
      if (!bundle) {
        continue;
      }
      X509SVID& out = *response.add_svids();
      out.set_spiffe_id(svid->second->id().str());
      out.set_x509_svid(JoinDer(svid->second->chain_der()));
      out.set_x509_svid_key(svid->second->key_pkcs8_der());
      out.set_bundle(JoinDer(bundle->authorities_der()));
      // Workload API section 5.2.1: hints are unique in a response; the first keeps it.
      if (hints.insert(registration->hint).second) {
        out.set_hint(registration->hint);
      }
    }
    return response.svids_size() > 0;
  }
};

class BundlesSubscriber final : public WorkloadSubscriber<X509BundlesResponse> {
 public:
  using WorkloadSubscriber::WorkloadSubscriber;

 private:
  bool Fill(const AgentView& view, const Attestation& attestation,
            X509BundlesResponse& response) override {
    for (const auto& registration : attestation.matched) {
      auto id = identity::SpiffeId::Parse(registration->id);
      auto bundle = id.ok() ? TrustOf(*view.state, id->trust_domain_name()) : nullptr;
      if (bundle) {
        (*response.mutable_bundles())[bundle->trust_domain().IdString()] =
            JoinDer(bundle->authorities_der());
      }
    }
    return response.bundles_size() > 0;
  }
};

template <class Response, class ItsSubscriber>
grpc::ServerWriteReactor<Response>* Serve(const ServiceContext& context,
                                          grpc::CallbackServerContext* call) {
  if (Status status = CheckSecurityHeader(*call); !status.ok()) {
    return new RefusedServerStream<Response>(status);
  }
  StatusOr<StreamCaller> caller = TakeCaller(context, *call);
  if (!caller.ok()) {
    return new RefusedServerStream<Response>(caller.status());
  }
  auto subscriber = std::make_shared<ItsSubscriber>(context, *std::move(caller));
  return new ServerStreamReactor<Response>(call, context.hub, std::move(subscriber));
}

}  // namespace

grpc::ServerWriteReactor<X509SVIDResponse>* WorkloadApiService::FetchX509SVID(
    grpc::CallbackServerContext* call, const X509SVIDRequest* /*request*/) {
  return Serve<X509SVIDResponse, SvidSubscriber>(context_, call);
}

grpc::ServerWriteReactor<X509BundlesResponse>* WorkloadApiService::FetchX509Bundles(
    grpc::CallbackServerContext* call, const X509BundlesRequest* /*request*/) {
  return Serve<X509BundlesResponse, BundlesSubscriber>(context_, call);
}

}  // namespace countersign::agent
