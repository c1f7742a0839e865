// EndpointNames: the addresses behind the names that Services give as endpoints.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proxy_agent/address.h"

namespace countersign::proxy {

// EndpointNames looks names up while a configuration is made. A name that is unknown leaves its
// service without that endpoint, which narrows; it does not refuse the configuration.
class EndpointNames {
 public:
  // More would make each proxy dial a whole fleet through one name.
  static constexpr size_t kAddressesMax = 64;
  using Known = std::map<std::string, std::vector<Address>, std::less<>>;
  // Lookup gives the addresses of "orders.shop.internal:8443"; none if it is unknown. It may take
  // as long as the system's resolver does.
  using Lookup = std::function<std::vector<Address>(const std::string& name_and_port)>;
  static std::vector<Address> SystemLookup(const std::string& name_and_port);

  // What `before` knows is not looked up.
  EndpointNames(const Lookup& lookup, const Known& before) : lookup_(lookup), before_(before) {}

  const std::vector<Address>& Of(std::string_view name_and_port);
  // known is every name that was asked for.
  const Known& known() const { return known_; }

  // LookUpAgain looks all of them up. A name without an answer keeps its addresses: whoever is
  // there must still prove to be the service.
  static Known LookUpAgain(const Known& known, const Lookup& lookup);

 private:
  const Lookup& lookup_;
  const Known& before_;
  Known known_;
};

}  // namespace countersign::proxy
