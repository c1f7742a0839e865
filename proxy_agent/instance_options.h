// InstanceOptions: what the command line changes for this one instance of a Service.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/status.h"
#include "proxy_agent/endpoint_names.h"
#include "proxy_agent/limits.h"

namespace countersign::proxy {

// InstanceOptions lets two instances of one Service run on one host. Plain data, keyed by name.
struct InstanceOptions {
  std::string name = "proxy";
  size_t workers = 1;
  size_t audit_ring_bytes = 4 * 1024 * 1024;                    // Of each worker; a power of two.
  std::map<std::string, std::string, std::less<>> listen = {};  // Port name -> IP:PORT.
  std::map<std::string, std::string, std::less<>> application =
      {};                                                      // Port name -> where it listens.
  std::map<std::string, std::string, std::less<>> reach = {};  // Service name -> local address.
  // Names of endpoints are looked up again this often: as long as records of services that move
  // commonly live.
  std::chrono::milliseconds names_period{30'000};
  // A configuration that brings new names waits so long for their addresses, and then goes on
  // without: the next SVID waits behind it.
  std::chrono::milliseconds names_patience{2'000};
  EndpointNames::Lookup lookup = &EndpointNames::SystemLookup;
  ProxyLimits limits = {};
};

// AddOverride reads "NAME=VALUE" into one of the maps; a second value for a name is an error.
Status AddOverride(std::map<std::string, std::string, std::less<>>& into, std::string_view text);

}  // namespace countersign::proxy
