// Exchange: one request on its way through the proxy: judged, recorded, forwarded, answered,
// recorded again.
//
// It keeps the request as it was judged until it ends, so that it can be judged again. Its tries
// are Attempts, each with a permit of its own.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "authz/engine/authorizer.h"
#include "authz/engine/canonical.h"
#include "proxy_agent/audit_trail.h"
#include "proxy_agent/http/codec.h"
#include "proxy_agent/registry.h"
#include "proxy_agent/route/route_table.h"
#include "proxy_agent/timer_queue.h"
#include "proxy_agent/upstream.h"

namespace countersign::proxy {

class ServerConnection;
class Worker;

// Attempt is one try of an exchange: its permit until that is spent, and its connection.
struct Attempt {
  std::optional<authz::Permit> permit;
  UpstreamConnection* connection = nullptr;  // Borrowed; null before and after.
  std::optional<size_t> endpoint;            // Outbound only: its place in the cluster.
  uint32_t number = 0;
  bool sent = false;  // Bytes of the request may have reached the upstream.
};

// Exchange belongs to a worker and is used again for the next request, so that a busy connection
// allocates nothing.
class Exchange final : private UpstreamUser, private Revisable, private Deadline::Owner {
 public:
  explicit Exchange(Worker& worker);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  void Begin(ServerConnection& server, http::StreamId stream, http::RequestHeadPtr head,
             http::End end);
  // What the caller's connection tells.
  void OnRequestBody(std::string_view data);
  void OnRequestEnd();
  void OnCallerDrained();
  // Cut ends the exchange from outside: its connection goes, or its verdict fell.
  void Cut(CutReason reason);
  // Refused ends it because the rest of the request is malformed; the caller was told so.
  void Refused(int status);
  bool done() const { return state_ == State::kDone; }

 private:
  enum class State : uint8_t {
    kAwaitVerdict,
    kAwaitUpstream,
    kForwarded,   // The request is on its way; no response yet.
    kResponding,  // The response's head was sent; after 101, a tunnel.
    kDone,
  };

  // exchange.cc: from the head to the verdict.
  authz::CanonicalError Canonicalize();
  void LogRefusal(std::string_view reason);
  void AwaitVerdict();
  authz::Verdict Judge();
  void OnVerdict(authz::Verdict verdict);
  void Deny(const authz::Decision& decision);

  // exchange_upstream.cc: from the permit to the response.
  void AwaitUpstream();
  bool ChooseRoute();
  bool ChooseUpstream(UpstreamTarget& target);
  // They tell the balancer that this try's endpoint answered, or did not.
  void PraiseEndpoint();
  void BlameEndpoint();
  bool RenewPermit();
  void ForwardRequest();
  http::OutgoingRequest MakeOutgoing() const;
  void CreditRequest();
  void CreditResponse();
  void OnConnected() override;
  void OnResponse(http::ClientEvent& event) override;
  void OnUpstreamDrained() override;
  void OnResponseHead(http::ClientEvent& event);
  void OnSwitched(http::ClientEvent& event);
  void EndResponse();
  void Supersede(const authz::Decision& decision, CutReason reason);
  void Revise(const Change& change) override;

  // exchange_failure.cc: how tries fail, and what is done then.
  void OnConnectFailed(UpstreamFailure failure, std::string_view cause) override;
  void OnUpstreamLost(UpstreamFailure failure, std::string_view cause) override;
  void OnUpstreamCut(CutReason reason) override;
  bool MayTryAgain(UpstreamFailure failure, uint16_t status);
  void TryAgainOrFail(UpstreamFailure failure, std::string_view cause);
  void TryAgain();
  void CountFailure(UpstreamFailure failure);
  // LogFailure says in the log why the caller gets an answer of ours.
  void LogFailure(UpstreamFailure failure, std::string_view cause);
  void OnDeadline(Deadline& which) override;
  void Progress();
  void CountDeadline(const Deadline& which);

  // Ends.
  void Answer(int status, std::string_view body, CutReason cut = CutReason::kNone);
  void AnswerWithDecision(int status, CutReason cut = CutReason::kNone);
  void Finish(CutReason cut);
  void DropUpstream();
  void Reset();

  Worker& worker_;
  ServerConnection* server_ = nullptr;
  std::shared_ptr<const Door> door_;  // As it was when the request came.
  http::StreamId stream_ = 0;
  State state_ = State::kDone;
  http::RequestHeadPtr head_;
  bool request_ended_ = false;
  bool hold_body_ = false;  // Expect: 100-continue, until the upstream says so.
  bool head_sent_ = false;
  bool whole_ = false;   // The response was sent to its end.
  bool tunnel_ = false;  // After 101.

  // The request as it is judged; views into head_ and the buffers below.
  authz::CanonicalRequest request_;
  std::string path_buffer_;
  std::array<char, authz::kHostBufferBytes> host_buffer_ = {};
  std::string query_buffer_;
  std::vector<authz::NameValue> headers_;
  std::vector<authz::NameValue> query_;
  std::string target_;  // What is forwarded: canonical path and query.
  std::string host_;    // Canonical host and port.

  authz::Reason reason_ = authz::Reason::kNotReady;
  Recorded recorded_;
  Attempt attempt_;
  // Outbound: the rule and the endpoints it leads to. The table and door_ keep them alive.
  std::shared_ptr<const RouteTable> routes_;
  const RouteRule* rule_ = nullptr;
  const Cluster* cluster_ = nullptr;
  std::vector<size_t> tried_;
  bool stale_ = false;        // The last try was on a pooled connection.
  uint32_t stale_tries_ = 0;  // On pooled connections that turned out to be closed.
  std::string replay_;        // The body so far, while it may have to be sent again.
  bool replayable_ = true;
  size_t credit_out_ = 0;           // Given to the caller's codec and not used yet.
  size_t response_credit_out_ = 0;  // Given to the upstream's codec and not used yet.
  int status_ = 0;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  std::string upstream_text_;
  MonotonicTime began_;
  Deadline request_deadline_;
  Deadline try_deadline_;
  Deadline continue_deadline_;
  WeakHandle registered_;
  WeakHandle user_handle_;
};

}  // namespace countersign::proxy
