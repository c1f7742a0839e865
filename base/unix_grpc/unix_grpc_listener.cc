#include "base/unix_grpc/unix_grpc_listener.h"

#include <fcntl.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "base/descriptor_limit.h"
#include "base/log.h"

namespace countersign {
StatusOr<std::unique_ptr<UnixGrpcListener>> UnixGrpcListener::Create(Options options) {
  ASSIGN_OR_RETURN(Fd socket, ListenUnix(options.path, options.mode));
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) {
    return ErrnoError(errno, "pipe");
  }
  return std::unique_ptr<UnixGrpcListener>(new UnixGrpcListener(
      std::move(options), std::move(socket), Fd(pipe_fds[0]), Fd(pipe_fds[1])));
}

UnixGrpcListener::UnixGrpcListener(Options options, Fd socket, Fd stop_reader, Fd stop_writer)
    : options_(std::move(options)),
      socket_(std::move(socket)),
      stop_reader_(std::move(stop_reader)),
      stop_writer_(std::move(stop_writer)),
      highest_(static_cast<int>(RaiseDescriptorLimit(kServerDescriptors))),
      refusals_(options_.limits.refusals_logged_per_uid_minute_max, Clock::System()) {
  lowest_ = highest_ / 2;  // The upper half becomes ours.
  next_ = lowest_;
  // A limit beyond what the process can have would be none.
  UnixGrpcLimits& limits = options_.limits;
  limits.connections_max =
      std::min(limits.connections_max, static_cast<size_t>(highest_ - lowest_) * 3 / 4);
  limits.connections_of_unknown_max =
      std::min(limits.connections_of_unknown_max, limits.connections_max / 2);
}

void UnixGrpcListener::Stop() {
  if (thread_.joinable()) {
    [[maybe_unused]] ssize_t wrote = ::write(stop_writer_.get(), "x", 1);
    thread_.join();
  }
}

UnixGrpcListener::~UnixGrpcListener() {
  Stop();
  ::unlink(options_.path.c_str());
}

void UnixGrpcListener::Serve(grpc::Server& server) {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this, &server] { Run(server); });
}

std::shared_ptr<const UnixCaller> UnixGrpcListener::CallerOf(
    const grpc::ServerContextBase& context) const {
  std::string peer = context.peer();
  constexpr std::string_view kPrefix = "fd:";
  int number = -1;
  if (!peer.starts_with(kPrefix)) {
    return nullptr;
  }
  const char* end = peer.data() + peer.size();
  auto [stopped, error] = std::from_chars(peer.data() + kPrefix.size(), end, number);
  if (error != std::errc() || stopped != end) {
    return nullptr;
  }
  std::lock_guard lock(mutex_);
  auto found = callers_.find(number);
  return found == callers_.end() ? nullptr : found->second;
}

void UnixGrpcListener::Run(grpc::Server& server) {
  for (;;) {
    pollfd waits[2] = {{socket_.get(), POLLIN, 0}, {stop_reader_.get(), POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) {
      LogError("cannot wait for connections", {{"path", options_.path}, {"errno", errno}});
      return;
    }
    if (waits[1].revents != 0) {
      return;
    }
    if (waits[0].revents != 0) {
      AcceptOne(server);
    }
  }
}

void UnixGrpcListener::AcceptOne(grpc::Server& server) {
  Fd accepted(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!accepted.valid()) {
    if (errno == EMFILE || errno == ENFILE) {
      // The connection stays in the queue and poll returns at once: wait a little, do not spin.
      LogWarning("no descriptor left for a connection", {{"path", options_.path}});
      pollfd stop = {stop_reader_.get(), POLLIN, 0};
      ::poll(&stop, 1, 100);
    }
    return;
  }
  uid_t uid = static_cast<uid_t>(-1);
  StatusOr<UnixCaller> caller = Identify(accepted.get(), uid);
  if (!caller.ok()) {
    LogRefused(uid, caller.status());
    return;
  }
  StatusOr<Fd> high = DuplicateHigh(accepted.get());
  if (!high.ok()) {
    LogRefused(uid, high.status());
    return;
  }
  accepted.Reset();  // The duplicate alone must keep the connection open.
  int number = high->Release();
  {
    std::lock_guard lock(mutex_);
    callers_[number] = std::make_shared<const UnixCaller>(*std::move(caller));
  }
  grpc::AddInsecureChannelFromFd(&server, number);
}

void UnixGrpcListener::LogRefused(uid_t uid, const Status& why) {
  if (refusals_.Take(uid) != LogBudget::Verdict::kSkip) {
    LogWarning("connection refused", {{"path", options_.path}, {"why", why}});
  }
}

// `uid` is set as soon as it is known, also for a caller that is refused.
StatusOr<UnixCaller> UnixGrpcListener::Identify(int socket, uid_t& uid) {
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return ErrnoError(errno, "read the peer's credentials");
  }
  UnixCaller caller{credentials.uid, credentials.gid, credentials.pid};
  uid = caller.uid;
  caller.is_known = !options_.is_known || options_.is_known(caller);
  RETURN_IF_ERROR(CheckRoom(caller));
  if (options_.on_accept) {
    ASSIGN_OR_RETURN(caller.facts, options_.on_accept(socket, caller));
  }
  return caller;
}

// Forgets the callers whose descriptors gRPC has closed, and holds the limits for the rest.
Status UnixGrpcListener::CheckRoom(const UnixCaller& caller) {
  std::lock_guard lock(mutex_);
  std::erase_if(callers_, [](const auto& entry) {
    return ::fcntl(entry.first, F_GETFD) < 0 && errno == EBADF;
  });
  if (callers_.size() >= options_.limits.connections_max) {
    return ResourceExhausted(options_.path, " has reached its limit of ",
                             options_.limits.connections_max, " connections");
  }
  if (!caller.is_known) {
    auto unknown = std::count_if(callers_.begin(), callers_.end(),
                                 [](const auto& entry) { return !entry.second->is_known; });
    if (static_cast<size_t>(unknown) >= options_.limits.connections_of_unknown_max) {
      return ResourceExhausted(options_.path, " has reached its limit of ",
                               options_.limits.connections_of_unknown_max,
                               " connections of users whom no registration names");
    }
  }
  auto of_uid = std::count_if(callers_.begin(), callers_.end(),
                              [&](const auto& entry) { return entry.second->uid == caller.uid; });
  if (static_cast<size_t>(of_uid) >= options_.limits.connections_per_uid_max) {
    return ResourceExhausted("uid ", caller.uid, " has reached its limit of ",
                             options_.limits.connections_per_uid_max, " connections");
  }
  return absl::OkStatus();
}

// gRPC names a call's connection by its descriptor's number, so a number must not return while a
// call of its former connection may still be running: numbers rise through a range of their own.
StatusOr<Fd> UnixGrpcListener::DuplicateHigh(int socket) {
  for (int from : {next_, lowest_}) {
    int number = ::fcntl(socket, F_DUPFD_CLOEXEC, from);
    if (number >= 0) {
      next_ = number + 1 < highest_ ? number + 1 : lowest_;
      return Fd(number);
    }
  }
  return ErrnoError(errno, "duplicate a connection");
}

}  // namespace countersign
