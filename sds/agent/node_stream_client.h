// The one long-lived stream to the server: connects for ever, reads, and writes the newest of each
// kind of message.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "countersign/v1/node.pb.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"
#include "sds/agent/agent_limits.h"
#include "sds/agent/node_state.h"
#include "sds/agent/svid_keeper.h"

namespace countersign::agent {

// NodeStreamObserver is told what happens, on the client's reading thread; the next message is read
// when the call returns, so the server can never fill the agent's memory.
class NodeStreamObserver {
 public:
  // How the next connection is made: who we are, what we trust, what we have.
  struct Greeting {
    std::shared_ptr<const identity::X509Svid> svid;
    std::shared_ptr<const identity::BundleSet> bundles;
    Revision have;
  };
  virtual Greeting OnConnecting() = 0;
  virtual void OnConnected() = 0;
  virtual void OnUpdate(const v1::Update& update) = 0;
  virtual void OnSigned(const SigningAnswer& answer) = 0;
  virtual void OnDisconnected(const Status& why) = 0;

 protected:
  ~NodeStreamObserver() = default;
};

// NodeStreamClient owns two threads. Its sending functions are safe for any thread and never wait;
// what is sent while there is no connection is dropped, because each connection begins anew.
class NodeStreamClient {
 public:
  struct Options {
    identity::TrustDomain trust_domain;
    std::string server;
    AgentLimits limits;
  };
  // `observer` and `clock` outlive it.
  NodeStreamClient(Options options, NodeStreamObserver& observer, const Clock& clock);
  ~NodeStreamClient();
  NodeStreamClient(const NodeStreamClient&) = delete;
  NodeStreamClient& operator=(const NodeStreamClient&) = delete;

  void Start();
  void Stop();
  // Reconnect ends the connection; the next one begins after a wait, as after any fault, so that a
  // server whose updates are refused is not asked without a pause.
  void Reconnect();

  void Acknowledge(v1::Ack::Level level, const Revision& revision);
  void Sign(std::vector<SigningAsk> asks);
  void Report(v1::ProxyReport report);

 private:
  struct Connection;
  // What waits to be written; each new value replaces the one before it.
  struct Outbox {
    std::map<int, Revision> acks;  // By level.
    std::vector<SigningAsk> asks;
    std::optional<v1::ProxyReport> report;
    bool empty() const { return acks.empty() && asks.empty() && !report; }
  };
  void Run();
  Status RunConnection();
  void WriteLoop(Connection& connection);
  void Read(const v1::ServerMessage& message);
  static std::vector<v1::AgentMessage> Unpack(const Outbox& outbox);

  const Options options_;
  NodeStreamObserver& observer_;
  const Clock& clock_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  Outbox outbox_;
  Connection* connection_ = nullptr;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace countersign::agent
