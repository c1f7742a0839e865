#include "tests/identity/server/test_agent.h"

#include <grpcpp/security/tls_credentials_options.h>

namespace countersign::server {
namespace {

std::chrono::system_clock::time_point Deadline() {
  return std::chrono::system_clock::now() + std::chrono::seconds(20);
}

}  // namespace

std::shared_ptr<grpc::Channel> NodeChannel(int port, const identity::X509Svid* svid) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  if (svid != nullptr) {
    std::vector<grpc::experimental::IdentityKeyCertPair> pair = {
        {svid->KeyPem(), svid->ChainPem()}};
    options.set_certificate_provider(
        std::make_shared<grpc::experimental::StaticDataCertificateProvider>(pair));
    options.watch_identity_key_cert_pairs();
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(Concat("127.0.0.1:", port),
                                   grpc::experimental::TlsCredentials(options), arguments);
}

TestStream::TestStream(int port, const identity::X509Svid& svid)
    : channel_(NodeChannel(port, &svid)), stub_(v1::NodeStream::NewStub(channel_)) {
  context_.set_deadline(Deadline());
  stream_ = stub_->Connect(&context_);
}

TestStream::~TestStream() { End(); }

void TestStream::Hello(const v1::Revision& have) {
  v1::AgentMessage message;
  *message.mutable_hello()->mutable_have() = have;
  message.mutable_hello()->set_version("test");
  Send(message);
}

void TestStream::Ack(const v1::Revision& revision, v1::Ack::Level level) {
  v1::AgentMessage message;
  *message.mutable_ack()->mutable_revision() = revision;
  message.mutable_ack()->set_level(level);
  Send(message);
}

std::optional<v1::ServerMessage> TestStream::Next() {
  v1::ServerMessage message;
  return stream_->Read(&message) ? std::optional(message) : std::nullopt;
}

v1::Update TestStream::NextUpdate() {
  std::optional<v1::ServerMessage> message = Next();
  CHECK(message.has_value() && message->has_update());
  return message->update();
}

v1::SigningResponse TestStream::Sign(const std::string& registration,
                                     const identity::PrivateKey& key) {
  v1::AgentMessage message;
  message.mutable_sign()->set_id(7);
  message.mutable_sign()->set_registration(registration);
  message.mutable_sign()->set_csr(*identity::MakeCsr(key));
  Send(message);
  std::optional<v1::ServerMessage> answer = Next();
  CHECK(answer.has_value() && answer->has_signed_());
  CHECK(answer->signed_().id() == 7);
  return answer->signed_();
}

grpc::Status TestStream::End() {
  if (ended_) {
    return grpc::Status::OK;
  }
  ended_ = true;
  stream_->WritesDone();
  v1::ServerMessage rest;
  while (stream_->Read(&rest)) {
  }
  return stream_->Finish();
}

Attested Attest(int port, const std::string& token) {
  auto channel = NodeChannel(port, nullptr);
  auto stub = v1::NodeAttestation::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(Deadline());
  identity::PrivateKey key = *identity::PrivateKey::GenerateP256();
  v1::AttestNodeRequest request;
  request.set_join_token(token);
  request.set_csr(*identity::MakeCsr(key));
  v1::AttestNodeResponse response;
  Attested out;
  out.status = stub->AttestNode(&context, request, &response);
  if (out.status.ok()) {
    std::vector<std::string> chain(response.svid().begin(), response.svid().end());
    auto svid = identity::X509Svid::Create(std::move(chain), *key.ToPkcs8Der());
    CHECK(svid.ok());
    out.svid = std::make_shared<const identity::X509Svid>(*std::move(svid));
    out.bundle = response.bundle();
  }
  return out;
}

}  // namespace countersign::server
