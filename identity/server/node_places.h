// NodePlaces counts who holds a connection to the node port. A connection is a stranger's until an
// agent's stream begins on it, and again once the last one ended: strangers are few, may send
// little and stay for seconds, so that whoever has no certificate can neither use up the server's
// descriptors and memory nor keep agents out.
#pragma once

#include <chrono>
#include <list>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "identity/server/source.h"

namespace countersign::server {

struct NodePlaceLimits {
  size_t connections_max = 8192;  // An agent has one.
  size_t strangers_max = 512;     // Nodes that start at the same moment; the others try again.
  size_t strangers_of_source_max = 64;  // Many nodes may share an address, one must not take all.
  // A handshake and two calls take a second; the rest is for slow links.
  std::chrono::nanoseconds stranger_life = std::chrono::seconds(20);
  // What a stranger may send: a handshake, a token and a CSR are some KiB. gRPC alone would hold
  // whole messages for it, without an end.
  uint64_t stranger_bytes_max = 256 << 10;
};

// NodePlaces is safe for any thread. The clock outlives it.
class NodePlaces {
 public:
  NodePlaces(const NodePlaceLimits& limits, const Clock& clock) : limits_(limits), clock_(clock) {}

  // Cap lowers the most connections, for a process that has fewer descriptors.
  void Cap(size_t connections_max);
  size_t connections_max() const;

  // Enter takes a place for a connection that gRPC will be given, or says which limit refuses it.
  // `socket` is borrowed, and its number is the one that gRPC will close.
  Status Enter(const Endpoint& peer, int socket);

  // Began and Ended: an agent's stream on the connection of this peer, in gRPC's words.
  void Began(std::string_view peer);
  void Ended(std::string_view peer);

  // Sweep ends strangers' connections that are over a limit, and forgets those that gRPC closed. To
  // be called every kSweepPeriod while there are any.
  static constexpr std::chrono::milliseconds kSweepPeriod{100};
  void Sweep();

  size_t size() const;
  size_t strangers() const;

 private:
  struct Place {
    Endpoint peer;
    std::string source;
    int number = -1;  // The descriptor, which gRPC closes when it likes.
    uint64_t inode = 0;
    MonotonicTime since = {};  // A stranger since.
    uint64_t bytes_since = 0;  // Received before that.
    size_t streams = 0;
    bool ended = false;  // Told to end; gRPC has not closed it yet.
  };
  // All below with mutex_ held. gRPC's poller counts on its descriptor being the only one, so none
  // is duplicated here: IsOpen says whether the number still is this connection. Should gRPC close
  // it and get the number again within the system call after that, another connection is ended,
  // and its agent comes again.
  static bool IsOpen(const Place& place);
  static bool IsStranger(const Place& place) { return place.streams == 0 && !place.ended; }
  static void End(Place& place);
  void ForgetClosed();
  size_t StrangersOf(const std::string& source) const;
  size_t CountStrangers() const;
  bool MakeRoomFor(size_t of_source);
  Place* Find(std::string_view peer);

  mutable std::mutex mutex_;
  NodePlaceLimits limits_;
  const Clock& clock_;
  std::list<Place> places_;  // The oldest first.
  MonotonicTime forgot_at_;
};

}  // namespace countersign::server
