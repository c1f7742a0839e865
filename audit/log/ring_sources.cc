#include "audit/log/ring_sources.h"

#include <algorithm>

#include "audit/record/decision_record.h"
#include "audit/record/record_codec.h"
#include "base/log.h"

namespace countersign::audit {
namespace {

constexpr size_t kTurnRecords = 1024;  // Of one ring, before the next one has its turn.
constexpr size_t kDamagedKept = 4096;  // Ids; 64 KiB.

// A proxy may not write what is the node's own word.
Status CheckProducersRecord(std::string_view record) {
  RETURN_IF_ERROR(CheckRecord(record));
  bool is_event = static_cast<RecordType>(record[1]) == RecordType::kEvent;
  if (is_event && static_cast<EventKind>(record[2]) > EventKind::kPolicyLoaded) {
    return InvalidArgument("a ", EventKindName(static_cast<EventKind>(record[2])),
                           " record is not a proxy's to write");
  }
  return absl::OkStatus();
}

void AppendRejected(const RingSource& source, const Status& why, NodeLog& log, int64_t now_ns) {
  std::string text = Concat("ring ", source.name, " of pid ", source.peer.pid, " uid ",
                            source.peer.uid, ": ", Message(why));
  LogError("audit record rejected", {{"what", text}});
  log.AppendOwn(
      EncodeToString(EventRecord{EventKind::kRejected, now_ns, "countersign-agent", "", text, {}}));
}

}  // namespace

StatusOr<RingSources::AddResult> RingSources::Add(Offer offer) {
  ASSIGN_OR_RETURN(RingReader reader,
                   RingReader::Attach(std::move(offer.memory), std::move(offer.wake)));
  RingId id = reader.id();
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
  auto added = rings_.emplace(
      id, RingSource{std::move(reader), offer.peer, std::move(offer.name), offer.connection});
  return AddResult{Added::kNew, &added.first->second};
}

void RingSources::ConnectionGone(uint64_t connection) {
  for (auto& [id, source] : rings_) {
    if (source.connection == connection) {
      source.connection = 0;
    }
  }
}

void RingSources::DrainOne(RingSource& source, NodeLog& log, int64_t now_ns, uint64_t& rejected) {
  static thread_local std::string record;
  EntrySource from = {source.reader.id(), 0};
  for (size_t i = 0; i < kTurnRecords && !log.BatchIsFull(); ++i) {
    StatusOr<RingReader::Next> next = source.reader.Read(record, from.sequence);
    if (!next.ok()) {
      source.damaged = true;
      ++rejected;
      AppendRejected(source, next.status(), log, now_ns);
      return;
    }
    if (*next == RingReader::Next::kEmpty) {
      return;
    }
    if (Status valid = CheckProducersRecord(record); !valid.ok()) {
      ++rejected;
      AppendRejected(source, valid, log, now_ns);
      continue;
    }
    log.Append(from, record);
  }
}

void RingSources::Drain(NodeLog& log, int64_t now_ns, uint64_t& rejected) {
  for (bool progress = true; progress && !log.BatchIsFull();) {
    size_t before = log.pending();
    for (auto& [id, source] : rings_) {
      if (!source.damaged && !log.BatchIsFull()) {
        DrainOne(source, log, now_ns, rejected);
      }
    }
    progress = log.pending() > before;
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
