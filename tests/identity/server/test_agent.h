// TestAgent speaks to a server as countersign-agent does, one call at a time.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "countersign/v1/node.grpc.pb.h"
#include "identity/key.h"
#include "identity/x509_svid.h"

namespace countersign::server {

// Channel to the node port; with an SVID it is presented. The server is not verified: these tests
// are about what the server admits.
std::shared_ptr<grpc::Channel> NodeChannel(int port, const identity::X509Svid* svid);

// TestStream is one Connect call. Calls wait at most 20 s.
class TestStream {
 public:
  TestStream(int port, const identity::X509Svid& svid);
  ~TestStream();

  void Send(const v1::AgentMessage& message) { stream_->Write(message); }
  void Hello(const v1::Revision& have = {});
  void Ack(const v1::Revision& revision, v1::Ack::Level level);
  // Next is the next message, or nothing if the stream ended.
  std::optional<v1::ServerMessage> Next();
  v1::Update NextUpdate();
  v1::SigningResponse Sign(const std::string& registration, const identity::PrivateKey& key);
  // End closes this side and gives the stream's status.
  grpc::Status End();

 private:
  grpc::ClientContext context_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::NodeStream::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::AgentMessage, v1::ServerMessage>> stream_;
  bool ended_ = false;
};

struct Attested {
  grpc::Status status;
  std::shared_ptr<const identity::X509Svid> svid;  // Null if refused.
  std::string bundle;
};
Attested Attest(int port, const std::string& token);

}  // namespace countersign::server
