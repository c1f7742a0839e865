#include "proxy_agent/endpoint_names.h"

#include <netdb.h>

#include <algorithm>

#include "base/log.h"

namespace countersign::proxy {

std::vector<Address> EndpointNames::InOrder(std::vector<Address> addresses) {
  std::sort(addresses.begin(), addresses.end(),
            [](const Address& a, const Address& b) { return a.text() < b.text(); });
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  if (addresses.size() > kAddressesMax) {
    addresses.erase(addresses.begin() + kAddressesMax, addresses.end());
  }
  return addresses;
}

std::vector<Address> EndpointNames::SystemLookup(const std::string& name_and_port) {
  std::vector<Address> found;
  const size_t colon = name_and_port.rfind(':');
  if (colon == std::string::npos) {
    return found;
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const std::string name = name_and_port.substr(0, colon);
  const std::string port = name_and_port.substr(colon + 1);
  if (const int error = getaddrinfo(name.c_str(), port.c_str(), &hints, &list); error != 0) {
    LogWarning("endpoint name not resolved",
               {{"name", name_and_port}, {"error", gai_strerror(error)}});
    return found;
  }
  for (const addrinfo* item = list; item != nullptr; item = item->ai_next) {
    sockaddr_storage storage = {};
    std::copy_n(reinterpret_cast<const char*>(item->ai_addr), item->ai_addrlen,
                reinterpret_cast<char*>(&storage));
    found.push_back(Address::FromSockaddr(storage, item->ai_addrlen));
  }
  freeaddrinfo(list);
  return found;
}

const std::vector<Address>& EndpointNames::Of(std::string_view name_and_port) {
  const auto [at, is_new] = known_.try_emplace(std::string(name_and_port));
  if (is_new) {
    if (const auto found = before_.find(name_and_port); found != before_.end()) {
      at->second = found->second;
    } else {
      unknown_.push_back(at->first);
    }
  }
  return at->second;
}

}  // namespace countersign::proxy
