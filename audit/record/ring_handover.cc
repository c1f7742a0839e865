#include "audit/record/ring_handover.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <thread>

#include "base/log.h"

namespace countersign::audit {
namespace {

constexpr size_t kAnswerBytesMax = 512;

struct HeldRing {
  Fd memory;
  Fd wake;
  std::string name;
};

enum class Waited { kReadable, kTimeout, kStop };

Waited WaitFor(int socket, int stop, std::chrono::milliseconds limit) {
  std::array<pollfd, 2> fds = {{{stop, POLLIN, 0}, {socket, POLLIN, 0}}};
  int got = ::poll(fds.data(), socket >= 0 ? 2 : 1, static_cast<int>(limit.count()));
  if (got > 0 && fds[0].revents != 0) {
    return Waited::kStop;
  }
  return got > 0 ? Waited::kReadable : Waited::kTimeout;
}

}  // namespace

struct RingHandover::State {
  Options options;
  std::vector<HeldRing> rings;
  Fd stop;
  mutable std::mutex mutex;  // Guards the two below.
  bool connected = false;
  std::string last_error = "not tried yet";
  std::thread thread;

  ~State() {
    if (thread.joinable()) {
      uint64_t one = 1;
      CHECK(::write(stop.get(), &one, sizeof(one)) == sizeof(one));
      thread.join();
    }
  }

  void Report(const Status& status) {
    std::lock_guard lock(mutex);
    if (status.ok() != connected || (!status.ok() && last_error != Message(status))) {
      Log(status.ok() ? LogLevel::kInfo : LogLevel::kWarning,
          status.ok() ? "audit rings handed over" : "audit rings not handed over",
          {{"socket", options.socket_path}, {"rings", rings.size()}, {"error", status}});
    }
    connected = status.ok();
    last_error = Message(status);
  }

  // The agent lets no descriptor in before it knows who we are; the kernel says EPERM until then.
  Status SendWhenLetIn(const Fd& socket, const std::string& greeting,
                       std::span<const int> fds) const {
    auto pause = std::chrono::milliseconds(1);
    auto waited = std::chrono::milliseconds(0);
    for (;;) {
      Status sent = SendFds(socket.get(), greeting, fds);
      // Readable: the agent has answered, and there is nothing to wait for.
      if (sent.code() != StatusCode::kPermissionDenied || waited >= options.answer_within ||
          WaitFor(socket.get(), stop.get(), pause) != Waited::kTimeout) {
        return sent;
      }
      waited += pause;
      pause = std::min(pause * 2, std::chrono::milliseconds(50));
    }
  }

  // Gives one ring and reads the line that answers it.
  Status Give(const Fd& socket, const HeldRing& ring) {
    std::array<int, 2> fds = {ring.memory.get(), ring.wake.get()};
    // An agent that refuses the process answers before it reads: look for its reason all the same.
    Status sent = SendWhenLetIn(socket, Concat(kHandoverGreeting, ring.name), fds);
    std::string answer;
    while (answer.empty() || answer.back() != '\n') {
      if (WaitFor(socket.get(), stop.get(), options.answer_within) != Waited::kReadable) {
        return Unavailable("the agent did not answer within ", options.answer_within.count(),
                           " ms");
      }
      char c = 0;
      ssize_t got = ::recv(socket.get(), &c, 1, 0);
      if (got <= 0 || answer.size() >= kAnswerBytesMax) {
        return sent.ok() ? Unavailable("the agent closed the connection") : sent;
      }
      answer.push_back(c);
    }
    answer.pop_back();
    return answer == "ok" ? absl::OkStatus() : PermissionDenied("the agent said ", Quoted(answer));
  }

  StatusOr<Fd> GiveAll() {
    ASSIGN_OR_RETURN(Fd socket, ConnectUnix(options.socket_path));
    for (const HeldRing& ring : rings) {
      RETURN_IF_ERROR(Give(socket, ring));
    }
    return socket;
  }

  void Run() {
    auto pause = options.retry_first;
    for (;;) {
      StatusOr<Fd> socket = GiveAll();
      Report(socket.status());
      if (socket.ok()) {
        pause = options.retry_first;
        // The agent says nothing more: readable means that it went, or that it broke the protocol.
        if (WaitFor(socket->get(), stop.get(), std::chrono::milliseconds(-1)) == Waited::kStop) {
          return;
        }
        Report(Unavailable("the agent closed the connection"));
      }
      if (WaitFor(-1, stop.get(), pause) == Waited::kStop) {
        return;
      }
      pause = std::min(pause * 2, options.retry_max);
    }
  }
};

RingHandover::RingHandover(std::unique_ptr<State> state) : state_(std::move(state)) {}
RingHandover::~RingHandover() = default;

StatusOr<std::unique_ptr<RingHandover>> RingHandover::Start(const Options& options,
                                                            const std::vector<Ring>& rings) {
  auto state = std::make_unique<State>();
  state->options = options;
  state->stop.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state->stop.valid()) {
    return ErrnoError(errno, "eventfd");
  }
  for (const Ring& ring : rings) {
    HeldRing held = {Fd(::fcntl(ring.writer->memory_fd(), F_DUPFD_CLOEXEC, 3)),
                     Fd(::fcntl(ring.writer->wake_fd(), F_DUPFD_CLOEXEC, 3)), ring.name};
    if (!held.memory.valid() || !held.wake.valid()) {
      return ErrnoError(errno, "duplicate a ring's descriptor");
    }
    state->rings.push_back(std::move(held));
  }
  state->thread = std::thread([raw = state.get()] { raw->Run(); });
  return std::unique_ptr<RingHandover>(new RingHandover(std::move(state)));
}

bool RingHandover::connected() const {
  std::lock_guard lock(state_->mutex);
  return state_->connected;
}

std::string RingHandover::last_error() const {
  std::lock_guard lock(state_->mutex);
  return state_->last_error;
}

}  // namespace countersign::audit
