#include "sds/client/proxy_report.h"

namespace countersign::sds {

template <class Change>
void ProxyReport::Apply(Change change) {
  {
    std::lock_guard lock(mutex_);
    change(facts_);
    ++changes_;
  }
  changed_.notify_all();
}

void ProxyReport::SetTaken(uint64_t config_version, std::vector<RunningSet> running) {
  Apply([&](Facts& facts) {
    facts.config_version = config_version;
    facts.refused.clear();
    facts.running = std::move(running);
  });
}

void ProxyReport::SetRefused(uint64_t config_version, std::string reason) {
  Apply([&](Facts& facts) {
    facts.config_version = config_version;
    facts.refused = std::move(reason);
  });
}

void ProxyReport::SetState(const ProxyState& state) {
  Apply([&](Facts& facts) { facts.ready = state.ready; });
}

void ProxyReport::SetSvid(const identity::X509Svid& svid) {
  Apply([&](Facts& facts) {
    facts.svid_serial = svid.serial();
    facts.svid_not_after = svid.not_after();
  });
}

ProxyReport::Awaited ProxyReport::Await(Writer& writer, Facts& facts,
                                        std::chrono::milliseconds time_out) {
  std::unique_lock lock(mutex_);
  bool changed = changed_.wait_for(lock, time_out, [&] {
    return writer.ended || (facts_.config_version != 0 && writer.seen != changes_);
  });
  if (writer.ended) {
    return Awaited::kEnded;
  }
  if (!changed) {
    return Awaited::kTimeOut;
  }
  writer.seen = changes_;
  facts = facts_;
  return Awaited::kChanged;
}

void ProxyReport::End(Writer& writer) {
  {
    std::lock_guard lock(mutex_);
    writer.ended = true;
  }
  changed_.notify_all();
}

}  // namespace countersign::sds
