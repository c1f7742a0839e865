// EndpointNames: the addresses behind the names that Services give as endpoints.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proxy_agent/address.h"

namespace countersign::proxy {

// EndpointNames gives a configuration the addresses that are known while it is made; it looks
// nothing up and so never waits. A name that is unknown leaves its service without that endpoint,
// which narrows; it does not refuse the configuration.
class EndpointNames {
 public:
  // More would make each proxy dial a whole fleet through one name.
  static constexpr size_t kAddressesMax = 64;
  using Known = std::map<std::string, std::vector<Address>, std::less<>>;
  // Lookup gives the addresses of "orders.shop.internal:8443"; none if it is unknown. It may take
  // as long as the system's resolver does.
  using Lookup = std::function<std::vector<Address>(const std::string& name_and_port)>;
  static std::vector<Address> SystemLookup(const std::string& name_and_port);
  // InOrder gives one order, whatever the resolver's, so that equal answers are equal; and no more
  // than kAddressesMax.
  static std::vector<Address> InOrder(std::vector<Address> addresses);

  explicit EndpointNames(const Known& before) : before_(before) {}

  const std::vector<Address>& Of(std::string_view name_and_port);
  // known is every name that was asked for; unknown those that nobody has looked up yet.
  const Known& known() const { return known_; }
  const std::vector<std::string>& unknown() const { return unknown_; }

 private:
  const Known& before_;
  Known known_;
  std::vector<std::string> unknown_;
};

}  // namespace countersign::proxy
