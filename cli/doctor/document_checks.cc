// What Services and Registrations expect of this host.
#include <sys/stat.h>

#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "cli/doctor/host_checks.h"
#include "cli/host/port_holder.h"

namespace countersign::cli::doctor {
namespace {

namespace fs = std::filesystem;
using authz::Registration;
using authz::Service;
using authz::ServicePort;

constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kProxy = "countersign-proxy";
constexpr uint32_t kUnprivilegedPortUsual = 1024;  // The kernel's own default.

const std::string kUseUnixSocket =
    "let it listen on a Unix socket in a folder that only its proxy's group may enter "
    "(application: unix:/run/NAME/app.sock), or give both a network namespace of their own";

// The registrations whose proxy holds a service's identity.
std::vector<const Registration*> ProxiesOf(const Service& service,
                                           const authz::LoadResult& documents) {
  std::vector<const Registration*> out;
  for (const Registration& registration : documents.registrations) {
    if (registration.id == service.workload_id && registration.proxy.has_value()) {
      out.push_back(&registration);
    }
  }
  return out;
}

// Only a proxy may hold what a Service says that a proxy listens on.
Finding CheckListen(const std::string& where, const std::string& address) {
  const std::string check = "port.listen";
  auto holder = host::HolderOf(address);
  if (!holder.has_value()) {
    return Good(check, Concat(where, ": ", address, " is free"));
  }
  if (holder->program == kProxy) {
    return Good(check, Concat(where, ": ", address, " is held by a proxy"));
  }
  return {
      check, Health::kBad, Concat(where, ": ", address, " is in use by ", host::Describe(*holder)),
      holder->pid == 0 ? "look as root to see which program it is; stop it, or change the Service"
                       : "stop it, or change the Service"};
}

Finding CheckPrivilegedPort(const std::string& where, const std::string& address,
                            const std::string& proc) {
  const std::string check = "port.privileged";
  StatusOr<std::string> text = ReadFile(proc + "/sys/net/ipv4/ip_unprivileged_port_start", 16);
  uint32_t first = kUnprivilegedPortUsual;
  if (text.ok()) {
    std::from_chars(text->data(), text->data() + text->size(), first);
  }
  uint32_t port = 0;
  size_t colon = address.rfind(':');
  std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  if (port != 0 && port < first) {
    return {
        check, Health::kWarning,
        Concat(where, ": only a privileged process may listen on ", address),
        "give the proxy's unit AmbientCapabilities=CAP_NET_BIND_SERVICE, or choose a port from " +
            std::to_string(first) + " on"};
  }
  return Good(check, Concat(where, ": any user may listen on ", address));
}

// An application on a port can be reached past its proxy, and so past the policy.
Finding CheckApplicationPort(const std::string& where, const std::string& address) {
  const std::string check = "application.port";
  auto holder = host::HolderOf(address);
  if (!host::IsLoopback(address)) {
    return {check, Health::kBad,
            Concat(where, ": its application at ", address,
                   " can be reached over the network past its proxy, so past the policy"),
            kUseUnixSocket};
  }
  if (holder.has_value() && holder->every_address) {
    return {
        check, Health::kBad,
        Concat(where, ": ", host::Describe(*holder), " listens on every address at the port of ",
               address, ": the network reaches it past its proxy, so past the policy"),
        Concat("let it listen on ", address, " alone; better, ", kUseUnixSocket)};
  }
  return {check, Health::kWarning,
          Concat(where, ": every process of this host can reach its application at ", address,
                 " past its proxy, so past the policy"),
          kUseUnixSocket};
}

// Whether any user may pass into a folder, through every folder above it.
bool OthersMayEnter(fs::path folder) {
  for (; folder.has_relative_path(); folder = folder.parent_path()) {
    struct stat facts = {};
    if (::stat(folder.c_str(), &facts) != 0 || (facts.st_mode & 0001) == 0) {
      return false;
    }
  }
  return true;
}

Finding CheckApplicationSocket(const std::string& where, const std::string& path) {
  const std::string check = "application.socket";
  std::string folder = fs::path(path).parent_path().string();
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) != 0) {
    return {check, Health::kWarning, Concat(where, ": ", path, " is not there"),
            "start the application; until then its proxy answers 503"};
  }
  if (OthersMayEnter(folder)) {
    return {check, Health::kBad,
            Concat(where, ": every user may enter ", folder, ", so reach the application past its ",
                   "proxy and the policy"),
            Concat("chgrp ", folder, " to the proxy's group and chmod 0710 it")};
  }
  return Good(check, Concat(where, ": ", folder, " is closed to others"));
}

// Who runs as the proxy's user can fetch its key.
Finding CheckUsers(const Registration& registration, const Service& service,
                   const ServicePort& port) {
  const std::string check = "application.user";
  std::string where = Concat("registration/", registration.name);
  std::optional<uint32_t> proxy = registration.selectors.uid;
  const std::string mend =
      "run the application under a user of its own, and name it in spec.proxy.applicationUid";
  if (!proxy.has_value()) {
    return {check, Health::kWarning,
            Concat(where, ": no uid selects the proxy, so its application's user may be the same"),
            "select the proxy by spec.selectors.unix.uid, a user of its own"};
  }
  if (proxy == registration.proxy->application_uid) {
    return {check, Health::kBad,
            Concat(where, ": application and proxy are both uid ", *proxy,
                   ": the application can fetch the proxy's key and go around the policy"),
            mend};
  }
  std::optional<uint32_t> runs;
  struct stat facts = {};
  if (!port.application.starts_with(kUnix)) {
    if (auto holder = host::HolderOf(port.application); holder.has_value()) {
      runs = holder->uid;
    }
  } else if (::stat(port.application.c_str() + kUnix.size(), &facts) == 0) {
    runs = facts.st_uid;
  }
  if (runs == proxy) {
    return {
        check, Health::kBad,
        Concat("service/", service.name, ": its application runs as uid ", *runs, ", the user of ",
               "its proxy: it can fetch the proxy's key and go around the policy"),
        mend};
  }
  return Good(check, Concat(where, ": application and proxy are different users"));
}

}  // namespace

Findings CheckDocuments(const authz::LoadResult& documents, const std::string& proc) {
  Findings out;
  for (const Service& service : documents.services) {
    for (const ServicePort& port : service.ports) {
      std::string where = Concat("service/", service.name, " port ", port.name);
      out.push_back(CheckListen(where, port.listen));
      out.push_back(CheckPrivilegedPort(where, port.listen, proc));
      out.push_back(port.application.starts_with(kUnix)
                        ? CheckApplicationSocket(where, port.application.substr(kUnix.size()))
                        : CheckApplicationPort(where, port.application));
      for (const Registration* registration : ProxiesOf(service, documents)) {
        out.push_back(CheckUsers(*registration, service, port));
      }
    }
    for (const authz::ServiceReach& reach : service.reach) {
      if (!reach.listen.starts_with(kUnix)) {
        out.push_back(CheckListen(Concat("service/", service.name, " reach"), reach.listen));
      }
    }
  }
  return out;
}

}  // namespace countersign::cli::doctor
