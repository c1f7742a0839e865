#include "audit/log/collector.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "audit/log/node_log.h"
#include "audit/log/ring_sources.h"
#include "audit/record/decision_record.h"
#include "audit/record/ring_handover.h"
#include "base/crypto/hash.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/passed_descriptors.h"

namespace countersign::audit {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr size_t kNameBytesMax = 64;
constexpr Milliseconds kStalledPause{500};  // Between two tries on a disk that refuses.
constexpr int kEventsMax = 64;
constexpr int kLastBatchesMax = 32;      // At the end: half a million records.
constexpr size_t kOwnRecordsMax = 4096;  // Kept while the disk refuses.

// Numbers below kFirstConnection in epoll's data; rings only wake, they need no name.
constexpr uint64_t kListener = 1;
constexpr uint64_t kStop = 2;
constexpr uint64_t kRingWake = 3;
constexpr uint64_t kFirstConnection = 16;

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

class AuditCollector::Impl {
 public:
  Impl(Options options, const Clock& clock, std::unique_ptr<NodeLog> log)
      : options_(std::move(options)),
        clock_(clock),
        log_(std::move(log)),
        verifier_key_(log_->verifier().ToString()),
        rings_(options_.node, options_.workloads_of, clock) {}

  ~Impl() {
    if (thread_.joinable()) {
      uint64_t one = 1;
      CHECK(::write(stop_.get(), &one, sizeof(one)) == sizeof(one));
      thread_.join();
    }
  }

  Status Start() {
    ASSIGN_OR_RETURN(listener_, ListenUnix(options_.socket_path, options_.socket_mode));
    // ListenUnix lets no descriptors in: a stranger's could make this thread wait when it closes
    // them. Nobody sends one before it is known who it is.
    stop_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!stop_.valid() || !epoll_.valid()) {
      return ErrnoError(errno, "epoll");
    }
    RETURN_IF_ERROR(Watch(listener_.get(), EPOLLIN, kListener));
    RETURN_IF_ERROR(Watch(stop_.get(), EPOLLIN, kStop));
    AppendEvent(EventKind::kStart, "audit collector started");
    if (!CommitOnce()) {
      return Unavailable(options_.log_dir, " cannot be written: ", stats().stalled);
    }
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  CollectorStats stats() const {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  const std::string& verifier_key() const { return verifier_key_; }

 private:
  struct Connection {
    Fd fd;
    HandoverPeer peer;
    MonotonicTime deadline;  // To hand a ring over.
    bool handed_over = false;
  };

  Status Watch(int fd, uint32_t events, uint64_t number) {
    epoll_event event = {};
    event.events = events;
    event.data.u64 = number;
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0
               ? absl::OkStatus()
               : ErrnoError(errno, "epoll_ctl");
  }

  int64_t NowNs() const { return clock_.Now().time_since_epoch().count(); }

  void AppendEvent(EventKind kind, std::string_view text) {
    if (own_records_.size() < kOwnRecordsMax) {
      own_records_.push_back(
          EncodeToString(EventRecord{kind, NowNs(), "countersign-agent", options_.node, text, {}}));
    }
  }

  // One turn: sleep until a ring has something, gather for the commit interval, commit.
  void Run() {
    while (!stopping_) {
      rings_.SetAttention(RingReader::Attention::kSleeps);
      bool idle = !HasWork();
      Pump(idle ? Milliseconds(-1) : Milliseconds(0));
      if (!HasWork()) {
        continue;
      }
      rings_.SetAttention(RingReader::Attention::kDozes);
      Pump(options_.commit_interval);
      rings_.SetAttention(RingReader::Attention::kAwake);
      if (!CommitOnce()) {
        Pause(kStalledPause);
      }
    }
    listener_.Reset();
    ::unlink(options_.socket_path.c_str());
    // Proxies may go on writing: what is left stays in their rings for the next agent.
    for (int batch = 0; batch < kLastBatchesMax && rings_.AnyHasMore() && CommitOnce(); ++batch) {
    }
    AppendEvent(EventKind::kStop, "audit collector stopped");
    CommitOnce();
  }

  bool CommitOnce() {
    uint64_t rejected = 0;
    uint64_t before = log_->size();
    for (const std::string& record : own_records_) {
      log_->AppendOwn(record);
    }
    rings_.Drain(*log_, NowNs(), rejected);
    Status status = log_->Commit();
    if (status.ok()) {
      rings_.Release(forget_);
      own_records_.clear();
    } else {
      rings_.Rewind();
    }
    {
      std::lock_guard lock(mutex_);
      stats_.records += log_->size() - before;
      stats_.commits += status.ok() ? 1 : 0;
      stats_.rejected += status.ok() ? rejected : 0;
    }
    Publish(status);
    return status.ok();
  }

  void Publish(const Status& status) {
    std::lock_guard lock(mutex_);
    std::string stalled(Message(status));
    if (stalled.empty() != stats_.stalled.empty()) {
      Log(status.ok() ? LogLevel::kInfo : LogLevel::kError,
          status.ok() ? "audit log writes again" : "audit log cannot be written; the rings fill",
          {{"folder", options_.log_dir}, {"error", stalled}});
    }
    stats_.stalled = std::move(stalled);
    stats_.tree_size = log_->size();
    stats_.rings = rings_.size();
  }

  bool HasWork() const { return rings_.AnyHasMore() || !own_records_.empty(); }

  // Waits out the pause on a disk that refuses, still serving connections.
  void Pause(Milliseconds length) {
    const Clock& real = Clock::System();
    MonotonicTime until = real.Monotonic() + length;
    while (!stopping_ && real.Monotonic() < until) {
      Pump(std::chrono::ceil<Milliseconds>(until - real.Monotonic()));
    }
  }

  // Closes the connections that handed nothing over in time; gives when to look again, or -1.
  Milliseconds CloseEmptyHanded() {
    MonotonicTime now = clock_.Monotonic();
    Milliseconds next{-1};
    for (auto one = connections_.begin(); one != connections_.end();) {
      auto connection = one++;
      if (connection->second.handed_over) {
        continue;
      }
      if (connection->second.deadline <= now) {
        End(connection);
        continue;
      }
      auto left = std::chrono::ceil<Milliseconds>(connection->second.deadline - now);
      next = next.count() < 0 ? left : std::min(next, left);
    }
    return next;
  }

  // Waits once, at most `limit` (-1: for ever), and serves what came.
  void Pump(Milliseconds limit) {
    Milliseconds deadline = CloseEmptyHanded();
    if (deadline.count() >= 0 && (limit.count() < 0 || deadline < limit)) {
      limit = deadline;
    }
    std::array<epoll_event, kEventsMax> events;
    int got =
        ::epoll_wait(epoll_.get(), events.data(), kEventsMax, static_cast<int>(limit.count()));
    for (int i = 0; i < got; ++i) {
      uint64_t number = events[static_cast<size_t>(i)].data.u64;
      if (number == kListener) {
        Accept();
      } else if (number == kStop) {
        stopping_ = true;
      } else if (number >= kFirstConnection) {
        Serve(number);
      }
    }
  }

  // Whether there is room for one connection more of this peer, and a reason to have it.
  Status Admit(const HandoverPeer& peer) const {
    RETURN_IF_ERROR(options_.workloads_of(peer).status());
    auto of_user = static_cast<size_t>(
        std::count_if(connections_.begin(), connections_.end(),
                      [&](const auto& one) { return one.second.peer.uid == peer.uid; }));
    if (of_user >= CollectorLimits::kConnectionsPerUidMax) {
      return ResourceExhausted("more than ", CollectorLimits::kConnectionsPerUidMax,
                               " proxies of one user");
    }
    size_t reserved = of_user == 0 ? 0 : CollectorLimits::kConnectionsReserved;
    if (connections_.size() >= CollectorLimits::kConnectionsMax - reserved) {
      return ResourceExhausted("more than ", CollectorLimits::kConnectionsMax - reserved,
                               " proxies");
    }
    return absl::OkStatus();
  }

  void Accept() {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) {
      return;
    }
    ucred credentials = {};
    socklen_t size = sizeof(credentials);
    Status allowed = absl::OkStatus();
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
      allowed = ErrnoError(errno, "SO_PEERCRED");
    }
    HandoverPeer peer = {credentials.pid, credentials.uid, credentials.gid};
    if (allowed.ok()) {
      allowed = Admit(peer);
    }
    if (allowed.ok()) {
      allowed = TakeDescriptors(fd.get());
    }
    if (allowed.ok()) {
      allowed = Watch(fd.get(), EPOLLIN | EPOLLRDHUP, next_connection_);
    }
    if (!allowed.ok()) {
      LogRefused(peer, allowed);
      Answer(fd.get(), allowed);
      return;
    }
    connections_[next_connection_++] = {
        std::move(fd), peer, clock_.Monotonic() + CollectorLimits::kEmptyHandedFor, false};
  }

  void LogRefused(const HandoverPeer& peer, const Status& why) {
    if (rings_.MayLog(peer.uid)) {
      LogWarning("audit rings refused", {{"pid", peer.pid}, {"uid", peer.uid}, {"error", why}});
    }
  }

  static void Answer(int fd, const Status& status) {
    std::string line = status.ok() ? "ok\n" : Concat("refused: ", Message(status), "\n");
    // A peer that does not read its answer has lost it; it is never waited for.
    [[maybe_unused]] ssize_t ignored =
        ::send(fd, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  void Serve(uint64_t number) {
    auto found = connections_.find(number);
    if (found == connections_.end()) {
      return;
    }
    StatusOr<FdMessage> message = ReceiveFds(found->second.fd.get());
    bool good = message.ok() && !message->payload.empty();
    if (good) {
      Status taken = Take(number, found->second.peer, *std::move(message));
      Answer(found->second.fd.get(), taken);
      good = taken.ok();
      found->second.handed_over = found->second.handed_over || good;
      if (!good) {
        LogRefused(found->second.peer, taken);
      }
    }
    if (!good) {
      End(found);
    }
    std::lock_guard lock(mutex_);
    stats_.rings = rings_.size();
  }

  void End(std::map<uint64_t, Connection>::iterator connection) {
    uint64_t number = connection->first;
    connections_.erase(connection);
    rings_.ConnectionGone(number);
    rings_.Release(forget_);  // Nothing is read and uncommitted here: those that are empty go.
  }

  Status Take(uint64_t number, const HandoverPeer& peer, FdMessage message) {
    std::string_view name = message.payload;
    if (!name.starts_with(kHandoverGreeting) || message.fds.size() != 2) {
      return InvalidArgument("not a ring handover of version 1");
    }
    name.remove_prefix(kHandoverGreeting.size());
    if (name.size() > kNameBytesMax || !IsPrintable(name)) {
      return InvalidArgument("a ring's name has at most ", kNameBytesMax, " printable bytes");
    }
    ASSIGN_OR_RETURN(std::vector<std::string> workloads, options_.workloads_of(peer));
    ASSIGN_OR_RETURN(RingSources::AddResult result,
                     rings_.Add({peer, std::string(name), number, std::move(workloads),
                                 std::move(message.fds[0]), std::move(message.fds[1])}));
    if (result.added == RingSources::Added::kAgain) {
      return absl::OkStatus();
    }
    // Edge-triggered: the counter is never read, see RingReader::wake_fd.
    RETURN_IF_ERROR(Watch(result.source->reader.wake_fd(), EPOLLIN | EPOLLET, kRingWake));
    AppendEvent(EventKind::kRingOpened,
                Concat("ring ", name, " of pid ", peer.pid, " uid ", peer.uid, kRingIdIn,
                       HexLower(result.source->reader.id())));
    return absl::OkStatus();
  }

  const Options options_;
  const Clock& clock_;
  std::unique_ptr<NodeLog> log_;
  const std::string verifier_key_;
  Fd listener_;
  Fd stop_;
  Fd epoll_;
  std::map<uint64_t, Connection> connections_;
  uint64_t next_connection_ = kFirstConnection;
  RingSources rings_;
  std::vector<std::string> own_records_;
  // A descriptor that the proxy holds too would stay in epoll after we close ours.
  const std::function<void(int)> forget_ = [this](int wake_fd) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, wake_fd, nullptr);
  };
  bool stopping_ = false;
  mutable std::mutex mutex_;  // Guards stats_.
  CollectorStats stats_;
  std::thread thread_;
};

AuditCollector::AuditCollector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AuditCollector::~AuditCollector() = default;

StatusOr<std::unique_ptr<AuditCollector>> AuditCollector::Start(Options options,
                                                                const Clock& clock) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<NodeLog> log,
      NodeLog::Open({.folder = options.log_dir, .origin = options.origin, .node = options.node},
                    clock));
  auto impl = std::make_unique<Impl>(std::move(options), clock, std::move(log));
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<AuditCollector>(new AuditCollector(std::move(impl)));
}

CollectorStats AuditCollector::stats() const { return impl_->stats(); }
const std::string& AuditCollector::verifier_key() const { return impl_->verifier_key(); }

}  // namespace countersign::audit
