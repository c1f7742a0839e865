#include "proxy_agent/listener_set.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/passed_descriptors.h"

namespace countersign::proxy {
namespace {

// SOMAXCONN on Debian; the kernel cuts it to its own bound.
constexpr int kBacklog = 4096;
// Descriptors in one SCM_RIGHTS message (base/fd.h allows 16).
constexpr size_t kFdsInMessage = 16;
constexpr std::string_view kListenersGreeting = "countersign-listeners/1";
constexpr std::string_view kListenersEnd = "countersign-listeners-end/1";

StatusOr<Fd> BindOne(const Address& address) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return ErrnoError(errno, "make a listening socket");
  }
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
  if (address.family() == AF_INET6) {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
  }
  if (bind(fd.get(), address.native(), address.native_size()) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return ErrnoError(errno, Concat("listen on ", address.text()));
  }
  return fd;
}

// A port that another program holds with SO_REUSEPORT under the same uid would be shared silently:
// half of the connections would go past us. A plain bind first finds that out.
Status CheckUnused(const Address& address) {
  if (address.port() == 0) {
    return absl::OkStatus();
  }
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return ErrnoError(errno, "make a listening socket");
  }
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (address.family() == AF_INET6) {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
  }
  if (bind(fd.get(), address.native(), address.native_size()) != 0) {
    return ErrnoError(errno, Concat("listen on ", address.text()));
  }
  return absl::OkStatus();
}

StatusOr<Address> LocalAddress(int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return ErrnoError(errno, "read a listening socket's address");
  }
  if (storage.ss_family == AF_UNIX) {
    const auto& native = reinterpret_cast<const sockaddr_un&>(storage);
    return Address::Parse(Concat("unix:", std::string_view(native.sun_path)));
  }
  return Address::FromSockaddr(storage, size);
}

Status CheckListens(int fd) {
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
    return InvalidArgument("descriptor ", fd, " is not a listening socket");
  }
  int family = AF_UNSPEC;
  size = sizeof(family);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family == AF_UNIX) {
    // As ListenUnix does for those that are bound here.
    if (Status status = RefuseDescriptors(fd);
        !status.ok() && status.code() != StatusCode::kUnimplemented) {
      return status;
    }
  }
  return SetNonBlocking(fd);
}

}  // namespace

std::string_view ListenerOriginName(ListenerOrigin origin) {
  switch (origin) {
    case ListenerOrigin::kBound:
      return "bound";
    case ListenerOrigin::kInherited:
      return "inherited";
    case ListenerOrigin::kReceived:
      return "received";
  }
  return "bound";
}

StatusOr<std::shared_ptr<const Listener>> Listener::Bind(const Address& address, size_t workers) {
  std::vector<Fd> fds;
  if (address.is_unix()) {
    // Anybody on the host may connect; who may pass is decided by peer credentials.
    ASSIGN_OR_RETURN(Fd fd, ListenUnix(std::string(address.unix_path()), 0666));
    RETURN_IF_ERROR(SetNonBlocking(fd.get()));
    fds.push_back(std::move(fd));
  } else {
    RETURN_IF_ERROR(CheckUnused(address));
    Address bound = address;
    for (size_t i = 0; i < std::max<size_t>(workers, 1); ++i) {
      ASSIGN_OR_RETURN(Fd fd, BindOne(bound));
      if (i == 0) {  // With port 0 the kernel chose one; the other workers take the same.
        ASSIGN_OR_RETURN(bound, LocalAddress(fd.get()));
      }
      fds.push_back(std::move(fd));
    }
    return std::shared_ptr<const Listener>(
        new Listener(bound, ListenerOrigin::kBound, std::move(fds)));
  }
  return std::shared_ptr<const Listener>(
      new Listener(address, ListenerOrigin::kBound, std::move(fds)));
}

StatusOr<std::shared_ptr<const Listener>> Listener::Take(ListenerOrigin origin,
                                                         std::vector<Fd> fds) {
  if (fds.empty()) {
    return InvalidArgument("no listening socket was given");
  }
  for (const Fd& fd : fds) {
    RETURN_IF_ERROR(CheckListens(fd.get()));
  }
  ASSIGN_OR_RETURN(Address address, LocalAddress(fds.front().get()));
  return std::shared_ptr<const Listener>(new Listener(std::move(address), origin, std::move(fds)));
}

Listener::~Listener() = default;

StatusOr<std::shared_ptr<const ListenerSet>> ListenerSet::Create(
    const std::vector<std::shared_ptr<const Door>>& doors, size_t workers,
    const ListenerSet* before, const std::vector<std::shared_ptr<const Listener>>& given) {
  std::shared_ptr<ListenerSet> made(new ListenerSet());
  for (const std::shared_ptr<const Door>& door : doors) {
    std::shared_ptr<const Listener> found;
    if (before != nullptr) {
      for (const Entry& entry : before->entries_) {
        // By the door's address: a listener on port 0 has another one than its door.
        if (entry.door->listen == door->listen) {
          found = entry.listener;
        }
      }
    }
    for (const std::shared_ptr<const Listener>& listener : given) {
      if (found == nullptr && listener->address() == door->listen) {
        found = listener;
      }
    }
    if (found == nullptr) {
      ASSIGN_OR_RETURN(found, Listener::Bind(door->listen, workers));
    }
    made->entries_.push_back({door, std::move(found)});
  }
  return std::shared_ptr<const ListenerSet>(std::move(made));
}

StatusOr<std::vector<std::shared_ptr<const Listener>>> InheritedListeners() {
  std::vector<std::shared_ptr<const Listener>> listeners;
  const char* pid = std::getenv("LISTEN_PID");
  const char* count_text = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count_text == nullptr || Concat(getpid()) != pid) {
    return listeners;
  }
  int count = 0;
  const std::string_view digits(count_text);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (error != std::errc() || end != digits.data() + digits.size() || count < 0 || count > 1024) {
    return InvalidArgument("LISTEN_FDS is ", Quoted(digits), ", not a number up to 1024");
  }
  for (int i = 0; i < count; ++i) {
    Fd fd(3 + i);
    if (fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
      return ErrnoError(errno, "keep an inherited socket");
    }
    std::vector<Fd> fds;
    fds.push_back(std::move(fd));
    ASSIGN_OR_RETURN(std::shared_ptr<const Listener> listener,
                     Listener::Take(ListenerOrigin::kInherited, std::move(fds)));
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

StatusOr<std::vector<std::shared_ptr<const Listener>>> ReceiveListeners(int socket) {
  std::vector<std::shared_ptr<const Listener>> listeners;
  while (true) {
    ASSIGN_OR_RETURN(FdMessage message, ReceiveFds(socket));
    if (message.payload == kListenersEnd) {
      return listeners;
    }
    if (message.payload != kListenersGreeting) {
      return InvalidArgument("the process to take over from sent ", Quoted(message.payload));
    }
    ASSIGN_OR_RETURN(std::shared_ptr<const Listener> listener,
                     Listener::Take(ListenerOrigin::kReceived, std::move(message.fds)));
    listeners.push_back(std::move(listener));
  }
}

Status SendListeners(int socket, const ListenerSet& listeners, size_t workers) {
  for (const ListenerSet::Entry& entry : listeners.entries()) {
    std::vector<int> fds;
    for (size_t i = 0; i < std::min(workers, kFdsInMessage); ++i) {
      const int fd = entry.listener->fd(i);
      if (std::find(fds.begin(), fds.end(), fd) == fds.end()) {
        fds.push_back(fd);
      }
    }
    RETURN_IF_ERROR(SendFds(socket, kListenersGreeting, fds));
  }
  return SendFds(socket, kListenersEnd, {});
}

}  // namespace countersign::proxy
