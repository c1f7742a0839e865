// Serving gRPC on a Unix socket while knowing who calls: the socket is accepted here, the caller is
// taken from the kernel, and only then is the descriptor given to the gRPC server.
//
// It does not decide who may call what; that is the service's part.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/log_budget.h"
#include "base/status.h"

namespace countersign {

struct UnixGrpcLimits {
  size_t connections_max = 1024;         // Each costs about 50 KiB in gRPC.
  size_t connections_per_uid_max = 256;  // One user must not starve the others.
  // Of those whom is_known does not name, in all: whoever owns many uids must not starve the rest.
  size_t connections_of_unknown_max = 1024;
  size_t refusals_logged_per_uid_minute_max = 20;  // Nor fill the disk.
};

// UnixCaller is who connected, by the kernel's word at the time of connect (SO_PEERCRED).
struct UnixCaller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  // What the program's OnAccept learned (a pidfd, selectors ...); null if there is no OnAccept.
  std::shared_ptr<const void> facts = nullptr;
  bool is_known = true;  // As the program's IsKnown said when it connected.
};

// UnixGrpcListener accepts on one Unix socket and hands each connection to a gRPC server. Safe for
// any thread.
class UnixGrpcListener {
 public:
  // OnAccept sees each connection before gRPC does, on the accepting thread, which must not wait
  // long. It returns facts to keep for the connection's life, or an error that closes it. The
  // descriptor is borrowed for the call.
  using OnAccept =
      std::function<StatusOr<std::shared_ptr<const void>>(int socket, const UnixCaller& caller)>;

  // IsKnown says whether this program has to do with the caller; asked on the accepting thread.
  using IsKnown = std::function<bool(const UnixCaller& caller)>;

  struct Options {
    std::string path;
    unsigned mode = 0600;
    OnAccept on_accept;  // May be empty.
    IsKnown is_known;    // May be empty: then everybody is known.
    UnixGrpcLimits limits;
  };

  // Create binds the socket; connections wait in its queue until Serve.
  static StatusOr<std::unique_ptr<UnixGrpcListener>> Create(Options options);
  // Stops accepting and removes the socket's name. Open connections belong to the gRPC server.
  ~UnixGrpcListener();
  UnixGrpcListener(const UnixGrpcListener&) = delete;
  UnixGrpcListener& operator=(const UnixGrpcListener&) = delete;

  // Serve starts to accept, once. `server` is running and outlives this object.
  void Serve(grpc::Server& server);

  // Stop ends accepting, so that the server can be shut down; CallerOf still answers. Safe to call
  // again.
  void Stop();

  // CallerOf is who makes the call, or null if the call did not come through this listener: a
  // service must then refuse. Use it while the call is open, and keep the result.
  std::shared_ptr<const UnixCaller> CallerOf(const grpc::ServerContextBase& context) const;

 private:
  UnixGrpcListener(Options options, Fd socket, Fd stop_reader, Fd stop_writer);
  void Run(grpc::Server& server);
  void AcceptOne(grpc::Server& server);
  StatusOr<UnixCaller> Identify(int socket, uid_t& uid);
  void LogRefused(uid_t uid, const Status& why);
  Status CheckRoom(const UnixCaller& caller);
  StatusOr<Fd> DuplicateHigh(int socket);

  Options options_;  // Not changed once made; the limits are cut to the process's descriptors.
  const Fd socket_;
  const Fd stop_reader_;
  const Fd stop_writer_;
  int lowest_;  // The range for handed-over descriptors: [lowest_, highest_).
  int highest_;
  int next_;  // Accepting thread only.
  LogBudget refusals_;
  mutable std::mutex mutex_;
  std::map<int, std::shared_ptr<const UnixCaller>> callers_;  // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace countersign
