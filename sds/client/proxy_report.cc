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

bool ProxyReport::Await(Writer& writer, Facts& facts) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return writer.ended || (facts_.config_version != 0 && writer.seen != changes_);
  });
  if (writer.ended) {
    return false;
  }
  writer.seen = changes_;
  facts = facts_;
  return true;
}

void ProxyReport::End(Writer& writer) {
  {
    std::lock_guard lock(mutex_);
    writer.ended = true;
  }
  changed_.notify_all();
}

}  // namespace countersign::sds
