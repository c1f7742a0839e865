#include "authz/bench/decision_bench.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "authz/bench/re2_contender.h"
#include "authz/engine/compiled_policy.h"
#include "authz/kinds/loader.h"

namespace countersign::bench {
namespace {

using authz::CanonicalRequest;
using authz::CompiledPolicy;
using authz::Effect;

constexpr size_t kBatch = 64;
constexpr size_t kRequests = 10'048;  // A whole number of batches.
constexpr int kRounds = 20;
// Decisions of a linear loop, times the rules: a second or two.
constexpr size_t kLinearSteps = 4'000'000;

double ThreadNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double ResidentMegabytes() {
  malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  size_t size = 0;
  size_t resident = 0;
  statm >> size >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

// HotRequests is a batch of requests where a parser would have put them.
class HotRequests {
 public:
  void Take(const std::vector<ShapeRequest>& from, size_t begin) {
    bytes_.clear();
    bytes_.reserve(kBatch * 512);
    headers_.clear();
    headers_.reserve(kBatch * 8);
    for (size_t i = 0; i < kBatch; ++i) {
      CanonicalRequest request = from[begin + i].View();
      size_t first = headers_.size();
      for (const authz::NameValue& header : request.headers) {
        headers_.push_back({Copy(header.name), Copy(header.value)});
      }
      request.headers = std::span(headers_).subspan(first);
      for (std::string_view* text :
           {&request.callee, &request.caller, &request.method, &request.path, &request.host}) {
        *text = Copy(*text);
      }
      requests_[i] = request;
    }
  }
  const CanonicalRequest& operator[](size_t i) const { return requests_[i]; }

 private:
  std::string_view Copy(std::string_view text) {
    size_t at = bytes_.size();
    bytes_.append(text);  // Within what was reserved: nothing moves.
    return std::string_view(bytes_).substr(at);
  }
  std::string bytes_;
  std::vector<authz::NameValue> headers_;
  std::array<CanonicalRequest, kBatch> requests_;
};

// Nanoseconds for one call of decide(request, its number), over `rounds` rounds after a warm one.
template <class Decide>
Percentiles Measure(const std::vector<ShapeRequest>& requests, size_t count, int rounds,
                    Decide decide) {
  std::vector<double> batches;
  HotRequests hot;
  for (int round = 0; round <= rounds; ++round) {
    for (size_t at = 0; at + kBatch <= count; at += kBatch) {
      hot.Take(requests, at);
      double start = ThreadNanoseconds();
      for (size_t i = 0; i < kBatch; ++i) {
        decide(hot[i], at + i);
      }
      if (round > 0) {
        batches.push_back((ThreadNanoseconds() - start) / kBatch);
      }
    }
  }
  std::sort(batches.begin(), batches.end());
  return {batches[batches.size() / 2], batches[batches.size() * 99 / 100]};
}

StatusOr<std::shared_ptr<const CompiledPolicy>> LoadShape(const Shape& shape, BenchResult& result) {
  std::vector<authz::SourceFile> files;
  for (auto& [path, content] : shape.Files()) {
    files.push_back({.path = path, .content = std::move(content)});
  }
  double before = ResidentMegabytes();
  double start = ThreadNanoseconds();
  authz::LoadResult loaded = authz::Load(files);
  if (!loaded.ok()) {
    return Internal("the bench's policy does not load: ",
                    loaded.diagnostics.empty() ? "" : loaded.diagnostics[0].message);
  }
  double middle = ThreadNanoseconds();
  ASSIGN_OR_RETURN(std::shared_ptr<const CompiledPolicy> policy,
                   CompiledPolicy::Compile(std::move(loaded.sets)));
  double end = ThreadNanoseconds();
  result.load_ms = (end - start) / 1e6;
  result.compile_ms = (end - middle) / 1e6;
  loaded = {};
  result.rss_mb = std::max(0.0, ResidentMegabytes() - before);
  return policy;
}

void MeasureOwn(const CompiledPolicy& policy, const std::vector<ShapeRequest>& requests,
                BenchResult& result) {
  authz::DecisionScratch scratch(policy);
  std::vector<authz::ConnectionView> connections;
  for (const ShapeRequest& request : requests) {
    connections.push_back(policy.ViewConnection(request.View(), scratch));
  }
  size_t allowed = 0;  // Read, so that no decision can be left out.
  result.fresh =
      Measure(requests, kRequests, kRounds, [&](const CanonicalRequest& request, size_t) {
        Effect effect = policy.Decide(request, WallTime(), scratch).effect;
        allowed += effect == Effect::kAllow ? 1 : 0;
      });
  result.kept =
      Measure(requests, kRequests, kRounds, [&](const CanonicalRequest& request, size_t i) {
        Effect effect = policy.Decide(connections[i], request, WallTime(), scratch).effect;
        allowed += effect == Effect::kAllow ? 1 : 0;
      });
  CHECK(allowed > 0);
}

Status CheckAgreement(const CompiledPolicy& policy, Re2Contender& contender,
                      const std::vector<ShapeRequest>& requests) {
  authz::DecisionScratch scratch(policy);
  for (size_t i = 0; i < requests.size(); i += 16) {
    CanonicalRequest request = requests[i].View();
    Effect effect = policy.Decide(request, WallTime(), scratch).effect;
    if (effect != contender.Linear(request) || effect != contender.Set(request)) {
      return Internal("the contenders disagree on ", requests[i].caller, " ", requests[i].path);
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<BenchResult> RunBench(const BenchOptions& options) {
  if (options.rules == 0 || options.rules > kBenchRulesMax || options.workloads == 0) {
    return InvalidArgument("rules must be 1 to ", kBenchRulesMax, ", not ", options.rules);
  }
  BenchResult result;
  result.rules = options.rules;
  Shape shape({.rules = options.rules, .workloads = options.workloads});
  ASSIGN_OR_RETURN(std::shared_ptr<const CompiledPolicy> policy, LoadShape(shape, result));
  std::vector<ShapeRequest> requests = shape.Requests(kRequests);
  if (options.contenders) {
    Re2Contender contender(shape);
    RETURN_IF_ERROR(CheckAgreement(*policy, contender, requests));
    size_t linear = std::max(kBatch * 4, kLinearSteps / options.rules / kBatch * kBatch);
    result.re2_set_p50 =
        Measure(requests, kRequests, 3, [&](const CanonicalRequest& request, size_t) {
          contender.Set(request);
        }).p50;
    result.linear_re2_p50 =
        Measure(requests, std::min(kRequests, linear), 1,
                [&](const CanonicalRequest& request, size_t) { contender.Linear(request); })
            .p50;
  }
  MeasureOwn(*policy, requests, result);
  return result;
}

}  // namespace countersign::bench
