// What one peer may hold of a worker at a time: handshakes under way, and established connections.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "authz/model/request.h"
#include "identity/verified_peer.h"
#include "proxy_agent/audit_trail.h"
#include "proxy_agent/limits.h"

namespace countersign::proxy {

// SourceOf is the part of an address that one host cannot change at will: an IPv4 address, or an
// IPv6 network of 64 bits, in which one host may take any address.
authz::IpAddress SourceOf(const authz::IpAddress& address);

// PeerName is who holds an established connection: its SPIFFE ID; "uid 1000" for a local caller
// whose socket the kernel knows; else where it comes from.
std::string PeerName(const Origin& origin, const identity::VerifiedPeer* peer);

// HalfOpen counts handshakes under way, so that no source can hold all of a worker's. Belongs to
// one worker.
class HalfOpen {
 public:
  explicit HalfOpen(const ProxyLimits& limits) : limits_(limits) {}
  // Enter takes a place, or says which limit refuses it.
  std::optional<Limit> Enter(const authz::IpAddress& address);
  void Leave(const authz::IpAddress& address);
  size_t size() const { return total_; }

 private:
  struct Hash {
    size_t operator()(const authz::IpAddress& address) const;
  };
  const ProxyLimits& limits_;
  std::unordered_map<authz::IpAddress, size_t, Hash> by_source_;
  size_t total_ = 0;
};

// PeerPlaces counts established connections by peer, so that none can hold all of a worker's. It
// outlives its places and belongs to one worker.
class PeerPlaces {
 public:
  // Place is one connection's; it is given back when it goes.
  class Place {
   public:
    Place(Place&& other) noexcept
        : places_(std::exchange(other.places_, nullptr)), entry_(other.entry_) {}
    Place& operator=(Place&&) = delete;
    ~Place();

   private:
    friend class PeerPlaces;
    using Entry = std::pair<const std::string, size_t>;
    Place(PeerPlaces& places, Entry& entry) : places_(&places), entry_(&entry) {}
    PeerPlaces* places_;
    Entry* entry_;
  };

  explicit PeerPlaces(const ProxyLimits& limits) : limits_(limits) {}
  // Take is a place for one more connection of the peer's, or nothing.
  std::optional<Place> Take(std::string peer);
  size_t peers() const { return held_.size(); }

 private:
  const ProxyLimits& limits_;
  std::unordered_map<std::string, size_t> held_;  // Entries stay where they are while it grows.
};

}  // namespace countersign::proxy
