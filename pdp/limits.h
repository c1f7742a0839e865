// The limits of the stand-alone policy decision point, each with its reason.
#pragma once

#include <chrono>
#include <cstddef>

namespace countersign::pdp {

// PdpLimits bounds what callers can make the decision point hold, do and write. What is over a
// limit is answered with a denial wherever an answer can still be given.
struct PdpLimits {
  // One check or one AuthZEN request. Envoy's default is 60 KiB of header; the rest is room for
  // evaluations in one request.
  size_t message_bytes_max = 1 << 20;
  // gRPC refuses larger messages by itself, without a denial: far over message_bytes_max, so that
  // what a proxy sends by mistake is still denied in words.
  size_t grpc_message_bytes_max = 16 << 20;
  // All gRPC buffers together; over it gRPC reads no more until there is room.
  size_t grpc_memory_bytes_max = 256 << 20;
  // An Envoy has one connection a worker thread.
  size_t grpc_connections_max = 256;
  // Calls open on one connection; more wait at the caller.
  int grpc_calls_per_connection_max = 1000;
  // Header lines of one request: five times what servers commonly take.
  size_t headers_max = 512;
  // Bytes of a name that rules or people read: header names, X-Request-ID.
  size_t name_bytes_max = 256;

  // HTTP connections in work, each with its thread; decisions take microseconds, so this is for
  // slow senders. More connections wait in the kernel's queue of 128.
  size_t http_threads = 8;
  // From the first byte of a request to the last of its answer; who is slower is cut off.
  std::chrono::seconds http_wait{5};
  // A kept connection holds a thread, so it is not kept for long.
  std::chrono::seconds http_keep_alive{2};
  size_t http_requests_per_connection_max = 10'000;
  // Evaluations of one request: some milliseconds of work.
  size_t evaluations_max = 1000;
  // Nesting of an AuthZEN request; what is mapped has five levels.
  size_t json_depth_max = 16;

  // How often the policy folder is read. With the second look below, a change is in force within a
  // second.
  std::chrono::milliseconds poll{400};
  // A changed folder is read again after this long and taken when both readings are the same, so
  // that a file in the middle of being written is not.
  std::chrono::milliseconds settle{150};

  // Lines a second in the decision log, for denials and for the rest apart: an attacker must not
  // fill the disk, nor may allowed traffic hide denials.
  size_t log_lines_per_second_max = 200;

  // How long open calls may take to end when the program is told to stop.
  std::chrono::seconds drain{5};
};

}  // namespace countersign::pdp
