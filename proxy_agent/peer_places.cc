#include "proxy_agent/peer_places.h"

#include <algorithm>
#include <functional>

#include "authz/model/ip_text.h"

namespace countersign::proxy {
namespace {

bool IsV4(const authz::IpAddress& address) {
  const auto& bytes = address.bytes;
  return std::all_of(bytes.begin(), bytes.begin() + 10, [](auto b) { return b == 0; }) &&
         bytes[10] == 0xff && bytes[11] == 0xff;
}

}  // namespace

authz::IpAddress SourceOf(const authz::IpAddress& address) {
  authz::IpAddress source = address;
  if (!IsV4(source)) {
    std::fill(source.bytes.begin() + 8, source.bytes.end(), uint8_t{0});
  }
  return source;
}

std::string PeerName(const Origin& origin, const identity::VerifiedPeer* peer) {
  if (peer != nullptr) {
    return peer->id().str();
  }
  if (origin.local.has_value()) {
    return Concat("uid ", origin.local->uid());
  }
  if (const std::optional<authz::IpAddress> ip = origin.peer.ip()) {
    return IsV4(*ip) ? authz::FormatIpAddress(*ip)
                     : Concat(authz::FormatIpAddress(SourceOf(*ip)), "/64");
  }
  return "a local process";
}

size_t HalfOpen::Hash::operator()(const authz::IpAddress& address) const {
  return std::hash<std::string_view>()(
      {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()});
}

std::optional<Limit> HalfOpen::Enter(const authz::IpAddress& address) {
  if (total_ >= limits_.half_open_max) {
    return Limit::kHalfOpen;
  }
  const authz::IpAddress source = SourceOf(address);
  const auto known = by_source_.find(source);
  if (limits_.half_open_per_source_max <= (known == by_source_.end() ? 0 : known->second)) {
    return Limit::kHalfOpenPerSource;
  }
  ++by_source_[source];
  ++total_;
  return std::nullopt;
}

void HalfOpen::Leave(const authz::IpAddress& address) {
  const auto found = by_source_.find(SourceOf(address));
  CHECK(found != by_source_.end());
  --total_;
  if (--found->second == 0) {
    by_source_.erase(found);
  }
}

std::optional<PeerPlaces::Place> PeerPlaces::Take(std::string peer) {
  const auto known = held_.find(peer);
  if (limits_.connections_per_peer_max <= (known == held_.end() ? 0 : known->second)) {
    return std::nullopt;
  }
  auto& entry = *held_.try_emplace(std::move(peer), 0).first;
  ++entry.second;
  return Place(*this, entry);
}

PeerPlaces::Place::~Place() {
  if (places_ != nullptr && --entry_->second == 0) {
    places_->held_.erase(places_->held_.find(entry_->first));
  }
}

}  // namespace countersign::proxy
