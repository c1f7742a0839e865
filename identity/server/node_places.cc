#include "identity/server/node_places.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <utility>

namespace countersign::server {
namespace {

constexpr std::chrono::seconds kForgetAtLeastEvery{1};

// A full table is looked through again after so long at the soonest: a flood must not keep the
// accepting thread at it.
constexpr std::chrono::milliseconds kForgetPeriod{20};

uint64_t InodeOf(int socket) {
  struct stat facts = {};
  return ::fstat(socket, &facts) == 0 ? facts.st_ino : 0;
}

// What cannot be told counts as too much.
uint64_t BytesReceived(int socket) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  return ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0
             ? info.tcpi_bytes_received
             : std::numeric_limits<uint64_t>::max();
}

}  // namespace

void NodePlaces::Cap(size_t connections_max) {
  std::lock_guard lock(mutex_);
  limits_.connections_max = std::min(limits_.connections_max, connections_max);
  // Whoever is unknown never holds more than a half.
  limits_.strangers_max =
      std::min(limits_.strangers_max, std::max<size_t>(limits_.connections_max / 2, 1));
  limits_.strangers_of_source_max =
      std::min(limits_.strangers_of_source_max, std::max<size_t>(limits_.strangers_max / 4, 1));
}

size_t NodePlaces::connections_max() const {
  std::lock_guard lock(mutex_);
  return limits_.connections_max;
}

size_t NodePlaces::size() const {
  std::lock_guard lock(mutex_);
  return places_.size();
}

size_t NodePlaces::strangers() const {
  std::lock_guard lock(mutex_);
  return CountStrangers();
}

bool NodePlaces::IsOpen(const Place& place) { return InodeOf(place.number) == place.inode; }

void NodePlaces::End(Place& place) {
  place.ended = true;
  if (IsOpen(place)) {
    // A reset. After shutdown() the kernel would go on taking what the stranger sends, and hold it
    // with its sender for as long as gRPC does not read.
    const sockaddr nobody = {.sa_family = AF_UNSPEC, .sa_data = {}};
    ::connect(place.number, &nobody, sizeof(nobody));
  }
}

void NodePlaces::ForgetClosed() {
  forgot_at_ = clock_.Monotonic();
  std::erase_if(places_, [](const Place& place) { return !IsOpen(place); });
}

size_t NodePlaces::CountStrangers() const {
  return static_cast<size_t>(std::count_if(places_.begin(), places_.end(), IsStranger));
}

size_t NodePlaces::StrangersOf(const std::string& source) const {
  return static_cast<size_t>(std::count_if(places_.begin(), places_.end(), [&](const Place& place) {
    return IsStranger(place) && place.source == source;
  }));
}

// The source that holds most gives up its oldest stranger, unless the newcomer's holds as many.
bool NodePlaces::MakeRoomFor(size_t of_source) {
  std::map<std::string_view, size_t> held;
  for (const Place& place : places_) {
    if (IsStranger(place)) {
      ++held[place.source];
    }
  }
  auto most = std::max_element(held.begin(), held.end(), [](const auto& left, const auto& right) {
    return left.second < right.second;
  });
  if (most == held.end() || most->second <= of_source + 1) {
    return false;
  }
  auto oldest = std::find_if(places_.begin(), places_.end(), [&](const Place& place) {
    return IsStranger(place) && place.source == most->first;
  });
  End(*oldest);
  return true;
}

Status NodePlaces::Enter(const Endpoint& peer, int socket) {
  std::lock_guard lock(mutex_);
  std::string source = SourceOf(peer);
  auto is_full = [&] {
    return places_.size() >= limits_.connections_max || CountStrangers() >= limits_.strangers_max ||
           StrangersOf(source) >= limits_.strangers_of_source_max;
  };
  if (is_full() && clock_.Monotonic() - forgot_at_ >= kForgetPeriod) {
    ForgetClosed();
  }
  if (places_.size() >= limits_.connections_max) {
    return ResourceExhausted("the node port has reached its limit of ", limits_.connections_max,
                             " connections");
  }
  size_t of_source = StrangersOf(source);
  if (of_source >= limits_.strangers_of_source_max) {
    return ResourceExhausted(source, " has reached its limit of ", limits_.strangers_of_source_max,
                             " connections on which no agent is known");
  }
  if (CountStrangers() >= limits_.strangers_max && !MakeRoomFor(of_source)) {
    return ResourceExhausted("the node port has reached its limit of ", limits_.strangers_max,
                             " connections on which no agent is known");
  }
  Place place{.peer = peer, .source = std::move(source), .number = socket};
  place.inode = InodeOf(socket);
  place.since = clock_.Monotonic();
  if (place.inode == 0) {
    return ErrnoError(errno, "look at a connection");
  }
  places_.push_back(std::move(place));
  return absl::OkStatus();
}

// The newest, should the kernel have given a port again before gRPC closed its former connection.
NodePlaces::Place* NodePlaces::Find(std::string_view peer) {
  std::optional<Endpoint> endpoint = ParsePeer(peer);
  auto found = std::find_if(places_.rbegin(), places_.rend(), [&](const Place& place) {
    return endpoint && place.peer == *endpoint;
  });
  return found == places_.rend() ? nullptr : &*found;
}

void NodePlaces::Began(std::string_view peer) {
  std::lock_guard lock(mutex_);
  if (Place* place = Find(peer); place != nullptr) {
    ++place->streams;
  }
}

void NodePlaces::Ended(std::string_view peer) {
  std::lock_guard lock(mutex_);
  Place* place = Find(peer);
  if (place == nullptr || place->streams == 0) {
    return;
  }
  if (--place->streams == 0) {
    place->since = clock_.Monotonic();
    place->bytes_since = BytesReceived(place->number);
  }
}

void NodePlaces::Sweep() {
  std::lock_guard lock(mutex_);
  MonotonicTime now = clock_.Monotonic();
  for (Place& place : places_) {
    if (IsStranger(place) &&
        (now - place.since >= limits_.stranger_life ||
         BytesReceived(place.number) - place.bytes_since > limits_.stranger_bytes_max)) {
      End(place);
    }
  }
  if (now - forgot_at_ >= kForgetAtLeastEvery) {
    ForgetClosed();
  }
}

}  // namespace countersign::server
