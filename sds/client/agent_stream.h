// AgentStream keeps one gRPC stream to the agent alive: it opens it again each time it ends.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "sds/client/backoff.h"

namespace countersign::sds {

class NodeObserver;
class ProxyReport;

// StreamShared is what both streams use; all of it outlives them.
struct StreamShared {
  std::shared_ptr<grpc::Channel> channel;
  NodeObserver* observer;
  std::mutex* observer_mutex;  // Held during each call of the observer.
  ProxyReport* report;
};

// StreamEnd is why a stream ended, and whether it brought anything before.
struct StreamEnd {
  grpc::Status status;
  enum class Progress { kNone, kSome } progress = Progress::kNone;
};

// AgentStream calls `serve` on a thread of its own until it is destroyed, which cancels the stream
// in service and waits for `serve` to return.
class AgentStream {
 public:
  // Serve opens a stream with the context, serves it to its end and says how it ended.
  using Serve = std::function<StreamEnd(grpc::ClientContext&)>;
  AgentStream(std::string name, Serve serve);
  ~AgentStream();
  AgentStream(const AgentStream&) = delete;
  AgentStream& operator=(const AgentStream&) = delete;

 private:
  void Run();
  bool ServeOnce(Backoff& backoff);

  const std::string name_;
  const Serve serve_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;                   // Guarded by mutex_.
  grpc::ClientContext* current_ = nullptr;  // Guarded by mutex_.
  std::thread thread_;
};

// ConnectAgent makes the channel that both streams share. It dials on the first call.
std::shared_ptr<grpc::Channel> ConnectAgent(const std::string& agent_socket);

}  // namespace countersign::sds
