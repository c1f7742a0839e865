// A caller of the Workload API in a process of its own, for tests of attestation.
//
// workload_caller SOCKET MODE [PROGRAM ARG...]; it prints one line an event, "svid ID" or "code N".
//   once     one FetchX509SVID to its first message or its end
//   late     prints "ready", and is as `once` after "go" on stdin
//   follow   prints every message and the end
//   shared   connects, and a child makes the call on the connection that both hold
//   orphan   connects; a child follows the stream; the one that connected ends after "go" on stdin
//   swap     connects; a child follows the stream; the one that connected becomes PROGRAM after
//   "go"
#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>

#include "base/fd.h"
#include "spiffe/workload_api.grpc.pb.h"

namespace {

using countersign::Fd;

int Follow(const std::shared_ptr<grpc::Channel>& channel, size_t messages_max) {
  auto stub = SpiffeWorkloadAPI::NewStub(channel);
  grpc::ClientContext call;
  call.AddMetadata("workload.spiffe.io", "true");
  auto reader = stub->FetchX509SVID(&call, X509SVIDRequest());
  X509SVIDResponse response;
  for (size_t messages = 0; messages < messages_max; ++messages) {
    if (!reader->Read(&response)) {
      std::cout << "code " << reader->Finish().error_code() << std::endl;
      return 1;
    }
    std::cout << "svid " << response.svids(0).spiffe_id() << std::endl;
  }
  call.TryCancel();
  while (reader->Read(&response)) {
  }
  reader->Finish();
  return 0;
}

std::shared_ptr<grpc::Channel> Dial(const std::string& socket) {
  return grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials());
}

// The child's part: calls twice on the connection it was left, so that what holds for a stream is
// also seen to hold for the connection.
int CallOnInherited(Fd connection) {
  ::fcntl(connection.get(), F_SETFL, O_NONBLOCK);
  auto channel = grpc::CreateInsecureChannelFromFd("inherited", connection.Release());
  Follow(channel, SIZE_MAX);
  return Follow(channel, 1);
}

// Connects here, so that the kernel names this process; a child calls; `after` is done here.
template <class After>
int WithChild(const std::string& socket, After after) {
  countersign::StatusOr<Fd> connection = countersign::ConnectUnix(socket);
  if (!connection.ok()) {
    std::cout << "cannot connect" << std::endl;
    return 2;
  }
  ::fcntl(connection->get(), F_SETFD, 0);  // It survives an exec, as an attacker would see to.
  if (::fork() == 0) {
    return CallOnInherited(*std::move(connection));
  }
  return after();
}

void AwaitGo() {
  std::string line;
  std::getline(std::cin, line);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    return 2;
  }
  std::string socket = argv[1];
  std::string mode = argv[2];
  if (mode == "once") {
    return Follow(Dial(socket), 1);
  }
  if (mode == "late") {
    std::cout << "ready" << std::endl;
    AwaitGo();
    return Follow(Dial(socket), 1);
  }
  if (mode == "follow") {
    return Follow(Dial(socket), SIZE_MAX);
  }
  if (mode == "shared" || mode == "orphan") {
    return WithChild(socket, [] {
      AwaitGo();
      return 0;
    });
  }
  if (mode == "swap" && argc > 3) {
    return WithChild(socket, [argv] {
      AwaitGo();
      ::execv(argv[3], argv + 3);
      return 2;
    });
  }
  return 2;
}
