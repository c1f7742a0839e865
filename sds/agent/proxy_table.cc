#include "sds/agent/proxy_table.h"

namespace countersign::agent {

void ProxyTable::Set(const void* stream, const v1::ProxyStatus& status) {
  {
    std::lock_guard lock(mutex_);
    entries_[stream] = status;
  }
  on_change_();
}

void ProxyTable::Remove(const void* stream) {
  {
    std::lock_guard lock(mutex_);
    if (entries_.erase(stream) == 0) {
      return;
    }
  }
  on_change_();
}

v1::ProxyReport ProxyTable::Report() const {
  std::lock_guard lock(mutex_);
  v1::ProxyReport report;
  size_t bytes = 0;
  for (const auto& [stream, status] : entries_) {
    bytes += status.ByteSizeLong();
    if (report.proxies_size() == ProxyReportLimits::kProxiesMax ||
        bytes > ProxyReportLimits::kBytesMax) {
      break;
    }
    *report.add_proxies() = status;
  }
  return report;
}

}  // namespace countersign::agent
