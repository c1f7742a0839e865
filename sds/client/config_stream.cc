#include "sds/client/config_stream.h"

#include <thread>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "countersign/v1/proxy.grpc.pb.h"

namespace countersign::sds {
namespace {

std::vector<NodeDocument> ReadDocuments(
    const google::protobuf::RepeatedPtrField<v1::Resource>& resources) {
  std::vector<NodeDocument> documents;
  documents.reserve(static_cast<size_t>(resources.size()));
  for (const v1::Resource& resource : resources) {
    documents.push_back({resource.kind(), resource.name(), resource.document()});
  }
  return documents;
}

ProxyConfigSnapshot ReadSnapshot(const v1::ProxyConfiguration& message) {
  ProxyConfigSnapshot snapshot;
  snapshot.version = message.version();
  snapshot.workload_id = message.workload_id();
  snapshot.registration = message.registration();
  if (message.has_application_uid()) {
    snapshot.application_uid = message.application_uid();
  }
  snapshot.services = ReadDocuments(message.services());
  snapshot.routes = ReadDocuments(message.routes());
  for (const v1::PolicySetVersion& set : message.policy_sets()) {
    snapshot.policy_sets.push_back(
        {set.set(), set.version(), set.digest(), {set.documents().begin(), set.documents().end()}});
  }
  snapshot.trust_domain = message.trust_domain();
  snapshot.audit_socket = message.audit_socket();
  snapshot.node_id = message.node_id();
  return snapshot;
}

v1::ProxyMessage WriteResult(const ProxyReport::Facts& facts) {
  v1::ProxyMessage message;
  v1::ProxyResult& result = *message.mutable_result();
  result.set_config_version(facts.config_version);
  result.set_refused(facts.refused);
  result.set_ready(facts.ready);
  for (const RunningSet& running : facts.running) {
    v1::SetDigest& set = *result.add_acknowledged();
    set.set_set(running.set);
    set.set_version(running.version);
    set.set_digest(running.digest);
  }
  if (!facts.svid_serial.empty()) {
    result.set_svid_serial(facts.svid_serial);
    result.set_svid_expires_unix_ms(
        std::chrono::floor<std::chrono::milliseconds>(facts.svid_not_after)
            .time_since_epoch()
            .count());
  }
  return message;
}

// Whether the same configuration may be taken later, when the host has changed.
bool MayPass(const Status& refusal) {
  return refusal.code() == StatusCode::kFailedPrecondition ||
         refusal.code() == StatusCode::kResourceExhausted ||
         refusal.code() == StatusCode::kUnavailable;
}

}  // namespace

StreamEnd ConfigStream::Serve(grpc::ClientContext& context) {
  StreamEnd end;
  auto stub = v1::ProxyConfig::NewStub(shared_.channel);
  auto stream = stub->Stream(&context);
  v1::ProxyMessage hello;
  hello.mutable_hello()->set_instance(caller_.instance);
  hello.mutable_hello()->set_version(caller_.version);
  if (!stream->Write(hello)) {
    end.status = stream->Finish();
    return end;
  }
  ProxyReport::Writer place;
  std::thread writer;
  auto configuration = std::make_shared<v1::ProxyConfiguration>();
  while (stream->Read(configuration.get())) {
    end.progress = StreamEnd::Progress::kSome;
    Take(std::exchange(configuration, std::make_shared<v1::ProxyConfiguration>()));
    if (!writer.joinable()) {
      // Only now: until a version of this agent's own count was answered, its numbers mean another
      // agent's configuration.
      writer = std::thread([&] {
        using Awaited = ProxyReport::Awaited;
        ProxyReport::Facts facts;
        for (;;) {
          Awaited awaited = shared_.report->Await(place, facts, NodeClientLimits::kRefusedRetry);
          if (awaited == Awaited::kTimeOut) {
            RetryRefused();
          } else if (awaited == Awaited::kEnded || !stream->Write(WriteResult(facts))) {
            return;
          }
        }
      });
    }
  }
  if (writer.joinable()) {
    shared_.report->End(place);
    writer.join();
  }
  {
    // The next stream brings a configuration of its own.
    std::lock_guard lock(*shared_.observer_mutex);
    refused_ = nullptr;
  }
  end.status = stream->Finish();
  if (end.status.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
    Withdraw(end.status.error_message());
  }
  return end;
}

void ConfigStream::Withdraw(const std::string& why) {
  std::lock_guard lock(*shared_.observer_mutex);
  if (taken_ == nullptr) {
    return;
  }
  ProxyConfigSnapshot nothing;
  nothing.workload_id = taken_->workload_id();
  nothing.trust_domain = taken_->trust_domain();
  nothing.audit_socket = taken_->audit_socket();
  nothing.node_id = taken_->node_id();
  LogWarning("the agent serves this proxy no more; its ports are closed", {{"why", why}});
  if (Status closed = shared_.observer->OnConfiguration(std::move(nothing)); !closed.ok()) {
    LogError("the ports of this proxy could not be closed", {{"why", closed}});
    return;
  }
  taken_ = nullptr;
}

Status ConfigStream::Offer(const std::shared_ptr<const v1::ProxyConfiguration>& configuration) {
  Status taken = shared_.observer->OnConfiguration(ReadSnapshot(*configuration));
  if (taken.ok()) {
    std::vector<RunningSet> running;
    for (const v1::PolicySetVersion& set : configuration->policy_sets()) {
      running.push_back({set.set(), set.version(), set.digest()});
    }
    taken_ = configuration;
    shared_.report->SetTaken(configuration->version(), std::move(running));
  }
  return taken;
}

void ConfigStream::Take(const std::shared_ptr<const v1::ProxyConfiguration>& configuration) {
  std::lock_guard lock(*shared_.observer_mutex);
  Status taken = Offer(configuration);
  refused_ = MayPass(taken) ? configuration : nullptr;
  if (taken.ok()) {
    return;
  }
  LogWarning("refused a configuration of the agent",
             {{"version", configuration->version()}, {"reason", taken}});
  std::string_view reason = Message(taken).substr(0, NodeClientLimits::kRefusalBytesMax);
  // An empty reason would read as an acknowledgement.
  shared_.report->SetRefused(configuration->version(),
                             std::string(reason.empty() ? "refused" : reason));
}

void ConfigStream::RetryRefused() {
  std::lock_guard lock(*shared_.observer_mutex);
  if (refused_ != nullptr && Offer(refused_).ok()) {
    LogInfo("took the configuration that was refused before", {{"version", refused_->version()}});
    refused_ = nullptr;
  }
}

}  // namespace countersign::sds
