#include "audit/log/ring_sources.h"

#include <algorithm>
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
  auto of_peer = std::count_if(rings_.begin(), rings_.end(), [&](const auto& ring) {
    return ring.second.connection == offer.connection;
  });
  if (rings_.size() >= CollectorLimits::kRingsMax ||
      static_cast<size_t>(of_peer) >= CollectorLimits::kRingsPerPeerMax) {
    return ResourceExhausted("too many rings: at most ", CollectorLimits::kRingsPerPeerMax,
                             " a proxy and ", CollectorLimits::kRingsMax, " a node");
  }
  auto added =
      rings_.emplace(id, RingSource{.reader = std::move(reader),
                                    .peer = offer.peer,
                                    .name = std::move(offer.name),
                                    .connection = offer.connection,
                                    .workloads = {offer.workloads.begin(), offer.workloads.end()}});
  return AddResult{Added::kNew, &added.first->second};
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
  if (!std::exchange(source.asked_again, true)) {
    if (StatusOr<std::vector<std::string>> now = workloads_of_(source.peer); now.ok()) {
      Allow(source, *now);
    }
  }
  return source.workloads.contains(workload);
}

// What a proxy may not write: the node's own word, another node's, and another workload's.
Status RingSources::CheckProducersRecord(RingSource& source, std::string_view record) {
  ASSIGN_OR_RETURN(RecordClaims claims, ReadClaims(record));
  if (claims.event.has_value() &&
      (*claims.event > EventKind::kPolicyLoaded || claims.program == kAgentProgram)) {
    return PermissionDenied("a ", EventKindName(*claims.event), " record of ",
                            Quoted(claims.program), " is not a proxy's to write");
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
  if (++source.rejected <= CollectorLimits::kRefusalsTold) {
    AppendRejected(source, Message(why), batch);
  }
}

void RingSources::DrainOne(RingSource& source, Batch& batch) {
  static thread_local std::string record;
  EntrySource from = {source.reader.id(), 0};
  for (size_t i = 0; i < kTurnRecords && !batch.log.BatchIsFull(); ++i) {
    StatusOr<RingReader::Next> next = source.reader.Read(record, from.sequence);
    if (!next.ok()) {
      source.damaged = true;
      Reject(source, next.status(), batch);
      return;
    }
    if (*next == RingReader::Next::kEmpty) {
      return;
    }
    if (Status valid = CheckProducersRecord(source, record); !valid.ok()) {
      Reject(source, valid, batch);
      continue;
    }
    batch.log.Append(from, record);
  }
}

void RingSources::Drain(NodeLog& log, int64_t now_ns, uint64_t& rejected) {
  Batch batch = {log, now_ns, rejected};
  for (auto& [id, source] : rings_) {
    source.rejected = 0;
    source.asked_again = false;
  }
  for (bool progress = true; progress && !log.BatchIsFull();) {
    uint64_t before = log.pending() + rejected;
    for (auto& [id, source] : rings_) {
      if (!source.damaged && !log.BatchIsFull()) {
        DrainOne(source, batch);
      }
    }
    progress = log.pending() + rejected > before;
  }
  for (auto& [id, source] : rings_) {
    if (source.rejected > CollectorLimits::kRefusalsTold) {
      AppendRejected(
          source,
          Concat(source.rejected - CollectorLimits::kRefusalsTold, " more records like these"),
          batch);
    }
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
