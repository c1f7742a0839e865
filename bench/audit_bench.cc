// Measures the whole way of an audit record: encoded into a worker's ring, drained, hashed into the
// tree, written, synced and signed for. CPU time of both sides together, because wall time is the
// disk's; the decision and its completion are two records.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "audit/log/collector.h"
#include "audit/record/recorder.h"
#include "audit/record/ring_handover.h"
#include "base/clock.h"

namespace countersign::audit {
namespace {

constexpr uint64_t kRequests = 500'000;
constexpr double kMark = 200'000;

double CpuSeconds() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

DecisionRecord TypicalDecision(std::span<const std::string_view> matched,
                               std::span<const PolicyVersion> policies) {
  DecisionRecord r;
  r.node = "spiffe://bench.example/agent/node-1";
  r.service = "orders";
  r.listener = "http";
  r.kind = authz::RequestKind::kHttp;
  r.subject = SubjectKind::kVerifiedPeer;
  r.caller = "spiffe://shop.example/ns/prod/sa/web";
  r.caller_serial = "5f3a90c1b2d4e6f7";
  r.callee = "spiffe://shop.example/ns/prod/sa/orders";
  r.peer_ip.emplace();
  r.port = 8443;
  r.sni = "orders";
  r.method = "GET";
  r.host = "orders";
  r.path = "/orders/7";
  r.effect = authz::Effect::kAllow;
  r.reason = authz::Reason::kAllowRule;
  r.would_be = authz::Effect::kAllow;
  r.rule = "shop/orders/storefront-reads";
  r.matched = matched;
  r.matched_total = 1;
  r.policies = policies;
  return r;
}

struct Result {
  double cpu_seconds = 0;
  double wall_seconds = 0;
  uint64_t records = 0;
  uint64_t commits = 0;
};

StatusOr<Result> Measure(const std::string& folder) {
  const Clock& clock = Clock::System();
  ASSIGN_OR_RETURN(std::unique_ptr<AuditCollector> collector,
                   AuditCollector::Start({.socket_path = folder + "/audit.sock",
                                          .log_dir = folder + "/audit",
                                          .origin = "bench.example/agent/node-1",
                                          .node = "spiffe://bench.example/agent/node-1",
                                          .workloads_of =
                                              [](const HandoverPeer&) {
                                                return std::vector<std::string>{
                                                    "spiffe://shop.example/ns/prod/sa/orders"};
                                              }},
                                         clock));
  ASSIGN_OR_RETURN(std::unique_ptr<Recorder> recorder, Recorder::Create({}, clock));
  RingHandover::Options options;
  options.socket_path = folder + "/audit.sock";
  ASSIGN_OR_RETURN(std::unique_ptr<RingHandover> handover,
                   RingHandover::Start(options, {{&recorder->ring(), "bench"}}));
  std::array<std::string_view, 1> matched = {"shop/orders/storefront-reads"};
  std::array<PolicyVersion, 2> policies = {{{"shop", 3, {}}, {"baseline", 1, {}}}};
  DecisionRecord decision = TypicalDecision(matched, policies);
  CompletionRecord done;
  done.status = 200;
  done.upstream = "unix:/run/shop/orders.sock";

  double cpu = CpuSeconds();
  auto wall = std::chrono::steady_clock::now();
  uint64_t before = collector->stats().records;
  for (uint64_t i = 0; i < kRequests;) {
    decision.id = done.id = recorder->NewId();
    decision.connection_id = i;
    decision.time_ns = done.time_ns = clock.Now().time_since_epoch().count();
    CompletionSlot slot = recorder->RecordDecision(decision, Durability::kStrict);
    if (!slot) {  // The ring is full: the disk is the limit now, which costs no CPU.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    recorder->RecordCompletion(std::move(slot), done);
    ++i;
  }
  while (collector->stats().records - before < 2 * kRequests) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  Result result;
  result.cpu_seconds = CpuSeconds() - cpu;
  result.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
  result.records = collector->stats().records - before;
  result.commits = collector->stats().commits;
  return result;
}

void Print(const Result& result, bool as_json) {
  double records = static_cast<double>(result.records);
  double per_cpu = records / result.cpu_seconds;
  double per_second = records / result.wall_seconds;
  if (as_json) {
    std::printf(
        "[{\"name\": \"audit.records_per_cpu_second\", \"value\": %.0f, \"unit\": "
        "\"records/CPU-s\", "
        "\"mark\": \"at least %.0f\", \"held\": %s, \"command\": \"audit_bench -o json\"},\n"
        " {\"name\": \"audit.records_per_second\", \"value\": %.0f, \"unit\": \"records/s\", "
        "\"mark\": \"\", \"held\": null, \"command\": \"audit_bench -o json\"}]\n",
        per_cpu, kMark, per_cpu >= kMark ? "true" : "false", per_second);
    return;
  }
  std::printf("%.0f records per CPU-second (mark: at least %.0f), %.0f per second, %llu commits\n",
              per_cpu, kMark, per_second, static_cast<unsigned long long>(result.commits));
}

int Main(int argc, char** argv) {
  bool as_json =
      argc == 3 && std::string_view(argv[1]) == "-o" && std::string_view(argv[2]) == "json";
  if (argc != 1 && !as_json) {
    std::fprintf(stderr, "usage: audit_bench [-o json]\n");
    return 2;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "audit-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) {
    std::perror("mkdtemp");
    return 2;
  }
  StatusOr<Result> result = Measure(folder);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (!result.ok()) {
    std::fprintf(stderr, "audit_bench: %s\n", std::string(Message(result.status())).c_str());
    return 2;
  }
  Print(*result, as_json);
  return 0;
}

}  // namespace
}  // namespace countersign::audit

int main(int argc, char** argv) { return countersign::audit::Main(argc, argv); }
