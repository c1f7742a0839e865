// WorkerIo: what every connection of one worker shares: loop, blocks and scratch memory.
#pragma once

#include <memory>
#include <span>

#include "proxy_agent/block_chain.h"
#include "proxy_agent/event_loop.h"
#include "proxy_agent/limits.h"

namespace countersign::proxy {

struct WorkerMetrics;

// WorkerIo belongs to one worker and outlives its connections. Scratch belongs to whoever runs:
// nothing in it survives a call into another object.
struct WorkerIo {
  static constexpr size_t kScratchBytes = 64 * 1024;  // Four full TLS records a system call.

  WorkerIo(EventLoop& the_loop, const Clock& the_clock, const ProxyLimits& the_limits,
           WorkerMetrics& the_metrics)
      : loop(the_loop),
        clock(the_clock),
        limits(the_limits),
        metrics(the_metrics),
        sealed(new char[kScratchBytes]),
        plain(new char[kScratchBytes]) {}

  std::span<char> sealed_scratch() { return {sealed.get(), kScratchBytes}; }
  std::span<char> plain_scratch() { return {plain.get(), kScratchBytes}; }

  EventLoop& loop;
  const Clock& clock;
  const ProxyLimits& limits;
  WorkerMetrics& metrics;
  BlockPool blocks;
  std::unique_ptr<char[]> sealed;  // Filled by Transport from sockets.
  std::unique_ptr<char[]> plain;   // Filled by Transport for its owner.
};

}  // namespace countersign::proxy
