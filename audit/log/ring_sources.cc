#include "audit/log/ring_sources.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "audit/record/decision_record.h"
#include "base/log.h"

namespace countersign::audit {
namespace {

constexpr size_t kTurnRecords = 1024;  // Of one ring, before the next one has its turn.
constexpr size_t kDamagedKept = 4096;  // Ids; 64 KiB.

constexpr std::string_view kAgentProgram = "countersign-agent";

std::string Named(std::string_view record) {
  std::optional<PeekedId> peeked = PeekId(record);
  return peeked.has_value() ? Concat("decision ", DecisionIdText(peeked->id)) : "a record";
}

void Allow(RingSource& source, const std::vector<std::string>& workloads) {
  source.workloads.insert(workloads.begin(), workloads.end());
  if (source.workloads.size() > CollectorLimits::kWorkloadsPerRingMax) {
    source.workloads = {workloads.begin(), workloads.end()};
  }
}

}  // namespace

// Batch is one Drain: where what is read goes.
struct RingSources::Batch {
  NodeLog& log;
  int64_t now_ns;
  uint64_t& rejected;
  size_t bytes = 0;  // Read so far.
};

// Share is what may still be read. The record that uses up the bytes may pass them.
struct RingSources::Share {
  size_t records = 0;
  size_t bytes = 0;
};

// User is one user's rings in the order of their turns.
struct RingSources::User {
  uid_t uid = 0;
  std::vector<RingSource*> rings;
  size_t next = 0;
};

StatusOr<RingSources::AddResult> RingSources::Add(Offer offer) {
  ASSIGN_OR_RETURN(RingReader reader,
                   RingReader::Attach(std::move(offer.memory), std::move(offer.wake)));
  RingId id = reader.id();
  if (id == RingId{}) {
    return InvalidArgument("a ring's id is random; zeros stand for what the agent itself writes");
  }
  if (damaged_.contains(id)) {
    return FailedPrecondition("this ring broke the format before; restart its proxy");
  }
  auto known = rings_.find(id);
  if (known != rings_.end()) {
    // A ring's id is its own: another user may not speak in its name.
    if (known->second.peer.uid != offer.peer.uid) {
      return PermissionDenied("this ring belongs to uid ", known->second.peer.uid);
    }
    known->second.connection = offer.connection;
    Allow(known->second, offer.workloads);
    return AddResult{Added::kAgain, &known->second};
  }
  RETURN_IF_ERROR(CheckAdmission(offer));
  auto added =
      rings_.emplace(id, RingSource{.reader = std::move(reader),
                                    .peer = offer.peer,
                                    .name = std::move(offer.name),
                                    .connection = offer.connection,
                                    .workloads = {offer.workloads.begin(), offer.workloads.end()}});
  return AddResult{Added::kNew, &added.first->second};
}

// Whether there is room for one ring more of this peer.
Status RingSources::CheckAdmission(const Offer& offer) const {
  size_t of_peer = 0;
  size_t of_user = 0;
  for (const auto& [id, source] : rings_) {
    of_peer += source.connection == offer.connection ? 1 : 0;
    of_user += source.peer.uid == offer.peer.uid ? 1 : 0;
  }
  if (of_peer >= CollectorLimits::kRingsPerPeerMax) {
    return ResourceExhausted("too many rings: at most ", CollectorLimits::kRingsPerPeerMax,
                             " a proxy");
  }
  if (of_user >= CollectorLimits::kRingsPerUidMax) {
    return ResourceExhausted("too many rings: at most ", CollectorLimits::kRingsPerUidMax,
                             " of the proxies of one user");
  }
  bool few = of_user < CollectorLimits::kRingsPerPeerMax;
  if (rings_.size() >=
      CollectorLimits::kRingsMax - (few ? size_t{0} : CollectorLimits::kRingsReserved)) {
    return ResourceExhausted("too many rings: at most ", CollectorLimits::kRingsMax,
                             " a node, and the last ", CollectorLimits::kRingsReserved,
                             " are for users with fewer than ", CollectorLimits::kRingsPerPeerMax);
  }
  return absl::OkStatus();
}

void RingSources::ConnectionGone(uint64_t connection) {
  for (auto& [id, source] : rings_) {
    if (source.connection == connection) {
      source.connection = 0;
    }
  }
}

// True if the ring's owner is registered for the workload, or was since it handed the ring over.
bool RingSources::SpeaksFor(RingSource& source, std::string_view workload) {
  if (source.workloads.contains(workload)) {
    return true;
  }
  // Registrations come and go while a ring stays; once a batch is enough for the honest.
  if (!std::exchange(source.batch.asked_again, true)) {
    if (StatusOr<std::vector<std::string>> now = workloads_of_(source.peer); now.ok()) {
      Allow(source, *now);
    }
  }
  return source.workloads.contains(workload);
}

// What a proxy may not write: the node's own word, another node's, and another workload's.
Status RingSources::CheckProducersRecord(RingSource& source, const RecordClaims& claims,
                                         std::string_view record) {
  if (claims.event.has_value() &&
      (*claims.event > EventKind::kPolicyLoaded || claims.program == kAgentProgram)) {
    return PermissionDenied("a ", EventKindName(*claims.event), " record of ",
                            Quoted(claims.program), " is not a proxy's to write");
  }
  if (claims.decision && (claims.node.empty() || claims.workload.empty())) {
    return PermissionDenied(Named(record), " that names no ",
                            claims.node.empty() ? "node" : "workload", " is nobody's to write");
  }
  if (claims.missing == 0U) {
    return InvalidArgument("a gap record of no records");
  }
  if (!claims.node.empty() && claims.node != node_) {
    return PermissionDenied(Named(record), " in the name of node ", Quoted(claims.node),
                            ", which is not this one");
  }
  if (!claims.workload.empty() && !SpeaksFor(source, claims.workload)) {
    return PermissionDenied(Named(record), " in the name of ", Quoted(claims.workload),
                            ", which this ring's user is not registered for");
  }
  return absl::OkStatus();
}

void RingSources::AppendRejected(const RingSource& source, std::string_view what, Batch& batch) {
  std::string text = Concat("ring ", source.name, " of pid ", source.peer.pid, " uid ",
                            source.peer.uid, ": ", what);
  if (MayLog(source.peer.uid)) {
    LogError("audit record rejected", {{"what", text}});
  }
  batch.log.AppendOwn(EncodeToString(
      EventRecord{EventKind::kRejected, batch.now_ns, kAgentProgram, node_, text, {}}));
}

void RingSources::Reject(RingSource& source, const Status& why, Batch& batch) {
  ++batch.rejected;
  if (++source.batch.rejected <= CollectorLimits::kRefusalsTold) {
    AppendRejected(source, Message(why), batch);
  }
}

// False if this batch has enough gap records of the ring: then they are summed up.
bool RingSources::MayFileGap(RingSource& source, uint64_t missing) const {
  if (++source.batch.gaps <= CollectorLimits::kGapsPerCommitMax) {
    return true;
  }
  uint64_t room = std::numeric_limits<uint64_t>::max() - source.batch.unfiled_missing;
  source.batch.unfiled_missing += std::min(missing, room);
  return false;
}

// Reads as much of one ring as its turn and its user's share allow; gives the number of records.
size_t RingSources::DrainOne(RingSource& source, Share& share, Batch& batch) {
  static thread_local std::string record;
  EntrySource from = {source.reader.id(), 0};
  size_t turn = std::min(kTurnRecords, share.records);
  size_t read = 0;
  for (; read < turn && share.bytes > 0 && !batch.log.BatchIsFull(); ++read) {
    StatusOr<RingReader::Next> next = source.reader.Read(record, from.sequence);
    if (!next.ok()) {
      source.damaged = true;
      Reject(source, next.status(), batch);
      break;
    }
    if (*next == RingReader::Next::kEmpty) {
      break;
    }
    share.bytes -= std::min(share.bytes, record.size());
    batch.bytes += record.size();
    StatusOr<RecordClaims> claims = ReadClaims(record);
    Status valid = claims.ok() ? CheckProducersRecord(source, *claims, record) : claims.status();
    if (!valid.ok()) {
      Reject(source, valid, batch);
    } else if (claims->missing.has_value() && !MayFileGap(source, *claims->missing)) {
      ++batch.rejected;
    } else {
      batch.log.Append(from, record);
    }
  }
  share.records -= read;
  return read;
}

// The users whose rings hold something, from the one after the last batch's first, each with its
// rings from the one after the last that was read.
std::vector<RingSources::User> RingSources::UsersWithMore() {
  std::map<uid_t, User> by_uid;
  for (auto& [id, source] : rings_) {
    if (!source.damaged && source.reader.HasMore()) {
      User& user = by_uid[source.peer.uid];
      user.uid = source.peer.uid;
      user.rings.push_back(&source);
    }
  }
  std::erase_if(last_ring_, [&](const auto& last) { return !by_uid.contains(last.first); });
  std::vector<User> users;
  for (auto& [uid, user] : by_uid) {
    if (auto last = last_ring_.find(uid); last != last_ring_.end()) {
      auto after = std::find_if(user.rings.begin(), user.rings.end(), [&](const RingSource* ring) {
        return ring->reader.id() > last->second;
      });
      std::rotate(user.rings.begin(), after, user.rings.end());
    }
    users.push_back(std::move(user));
  }
  auto after = std::find_if(users.begin(), users.end(),
                            [this](const User& user) { return user.uid > first_user_; });
  std::rotate(users.begin(), after, users.end());
  return users;
}

size_t RingSources::DrainUser(User& user, Share share, Batch& batch) {
  size_t read = 0;
  size_t quiet = 0;  // Rings in a row that had nothing.
  while (quiet < user.rings.size() && share.records > 0 && share.bytes > 0 &&
         !batch.log.BatchIsFull()) {
    RingSource& source = *user.rings[user.next];
    user.next = (user.next + 1) % user.rings.size();
    size_t got = source.damaged ? 0 : DrainOne(source, share, batch);
    quiet = got == 0 ? quiet + 1 : 0;
    if (got > 0) {
      last_ring_[user.uid] = source.reader.id();
      read += got;
    }
  }
  return read;
}

// What the rejected records of one ring beyond those that were told come to.
void RingSources::SumUp(const RingSource& source, Batch& batch) {
  if (source.batch.rejected > CollectorLimits::kRefusalsTold) {
    AppendRejected(
        source,
        Concat(source.batch.rejected - CollectorLimits::kRefusalsTold, " more records like these"),
        batch);
  }
  if (source.batch.gaps > CollectorLimits::kGapsPerCommitMax) {
    AppendRejected(source,
                   Concat(source.batch.gaps - CollectorLimits::kGapsPerCommitMax,
                          " more gap records in one commit, of ", source.batch.unfiled_missing,
                          " missing records"),
                   batch);
  }
}

void RingSources::Drain(NodeLog& log, int64_t now_ns, uint64_t& rejected) {
  Batch batch = {.log = log, .now_ns = now_ns, .rejected = rejected};
  for (auto& [id, source] : rings_) {
    source.batch = {};
  }
  std::vector<User> users = UsersWithMore();
  if (!users.empty()) {
    first_user_ = users.front().uid;
  }
  // Records that are not filed cost their reading too, so it is reading that is shared out.
  Share left = {NodeLogLimits::kBatchEntriesMax, NodeLogLimits::kBatchBytesMax};
  for (bool progress = !users.empty();
       progress && left.records > 0 && left.bytes > 0 && !log.BatchIsFull();) {
    Share each = {std::max<size_t>(1, left.records / users.size()),
                  std::max<size_t>(1, left.bytes / users.size())};
    progress = false;
    for (User& user : users) {
      size_t read = DrainUser(user, each, batch);
      left.records -= std::min(left.records, read);
      progress = progress || read > 0;
    }
    left.bytes =
        NodeLogLimits::kBatchBytesMax - std::min(NodeLogLimits::kBatchBytesMax, batch.bytes);
  }
  for (const auto& [id, source] : rings_) {
    SumUp(source, batch);
  }
}

void RingSources::Release(const std::function<void(int)>& forget) {
  for (auto ring = rings_.begin(); ring != rings_.end();) {
    RingSource& source = ring->second;
    source.reader.Release();
    bool done = source.damaged || (source.connection == 0 && !source.reader.HasMore());
    if (source.damaged && damaged_.size() < kDamagedKept) {
      damaged_[ring->first] = true;
    }
    if (!done) {
      ++ring;
      continue;
    }
    forget(source.reader.wake_fd());
    ring = rings_.erase(ring);
  }
}

void RingSources::Rewind() {
  for (auto& [id, source] : rings_) {
    source.reader.Rewind();
    source.damaged = false;  // It will be found again.
  }
}

bool RingSources::AnyHasMore() const {
  return std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) {
    return !ring.second.damaged && ring.second.reader.HasMore();
  });
}

void RingSources::SetAttention(RingReader::Attention attention) {
  for (auto& [id, source] : rings_) {
    source.reader.SetAttention(attention);
  }
}

}  // namespace countersign::audit
