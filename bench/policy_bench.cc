// policy_bench measures decisions: how long one takes at 10, 1,000 and 10,000 rules, for a new
// caller each time and on a kept connection, beside two ways to do it with RE2 alone.
//
// Times are the thread's own CPU time of batches of 64 decisions, divided by 64, so that what else
// the machine does counts only through the caches. All three must agree on the requests before
// anything is measured.
#include <malloc.h>
#include <re2/re2.h>
#include <re2/set.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/kinds/loader.h"
#include "bench/policy_shape.h"

namespace countersign::bench {
namespace {

using authz::CompiledPolicy;
using authz::Effect;

constexpr size_t kBatch = 64;
constexpr size_t kRequests = 10'048;  // A whole number of batches.

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

struct Percentiles {
  double p50 = 0;
  double p99 = 0;
};

// Nanoseconds for one call of `decide(i)`, i below `count`, over `rounds` rounds after a warm one.
Percentiles Measure(size_t count, int rounds, const std::function<void(size_t)>& decide) {
  std::vector<double> batches;
  for (int round = 0; round <= rounds; ++round) {
    for (size_t at = 0; at + kBatch <= count; at += kBatch) {
      double start = ThreadNanoseconds();
      for (size_t i = at; i < at + kBatch; ++i) {
        decide(i);
      }
      if (round > 0) {
        batches.push_back((ThreadNanoseconds() - start) / kBatch);
      }
    }
  }
  std::sort(batches.begin(), batches.end());
  return {batches[batches.size() / 2], batches[batches.size() * 99 / 100]};
}

RE2::Options Options(int64_t memory) {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_log_errors(false);
  options.set_max_mem(memory);
  return options;
}

// Contender judges with RE2 alone: all rules in order, or an RE2::Set over their paths and then
// each candidate.
class Contender {
 public:
  explicit Contender(const Shape& shape)
      : tenant_("[a-z0-9-]{1,32}", Options(8 << 20)), set_(Options(512 << 20), RE2::ANCHOR_BOTH) {
    for (const ShapeRule& rule : shape.rules()) {
      rules_.push_back({&rule, std::make_unique<RE2>(AsPattern(rule.caller), Options(1 << 20)),
                        std::make_unique<RE2>(AsPattern(rule.path), Options(1 << 20))});
      set_.Add(AsPattern(rule.path), nullptr);
    }
    set_.Compile();
  }

  Effect Linear(const authz::CanonicalRequest& request) {
    bool allowed = false;
    for (const Compiled& rule : rules_) {
      if (Matches(rule, request) && RE2::FullMatch(Piece(request.path), *rule.path)) {
        if (rule.shape->deny) {
          return Effect::kDeny;
        }
        allowed = true;
      }
    }
    return allowed ? Effect::kAllow : Effect::kDeny;
  }

  Effect Set(const authz::CanonicalRequest& request) {
    bool allowed = false;
    set_.Match(Piece(request.path), &candidates_);
    for (int candidate : candidates_) {
      const Compiled& rule = rules_[static_cast<size_t>(candidate)];
      if (Matches(rule, request)) {
        if (rule.shape->deny) {
          return Effect::kDeny;
        }
        allowed = true;
      }
    }
    return allowed ? Effect::kAllow : Effect::kDeny;
  }

 private:
  struct Compiled {
    const ShapeRule* shape;
    std::unique_ptr<RE2> caller;
    std::unique_ptr<RE2> path;
  };
  static re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

  bool Matches(const Compiled& rule, const authz::CanonicalRequest& request) const {
    return rule.shape->workload == request.callee && rule.shape->method == request.method &&
           RE2::FullMatch(Piece(request.caller), *rule.caller) &&
           (!rule.shape->header || HasTenant(request));
  }
  bool HasTenant(const authz::CanonicalRequest& request) const {
    return std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& header) {
      return header.name == "x-tenant" && RE2::FullMatch(Piece(header.value), tenant_);
    });
  }

  RE2 tenant_;
  RE2::Set set_;
  std::vector<Compiled> rules_;
  std::vector<int> candidates_;
};

class Figures {
 public:
  void Add(const std::string& name, double value, const char* unit) {
    rows_.push_back({{"name", "policy." + name},
                     {"value", Rounded(value)},
                     {"unit", unit},
                     {"mark", ""},
                     {"held", nullptr}});
  }
  void AtMost(const std::string& name, double value, const char* unit, double limit) {
    char mark[64];
    std::snprintf(mark, sizeof(mark), "at most %g %s", limit, unit);
    Add(name, value, unit);
    rows_.back()["mark"] = mark;
    rows_.back()["held"] = value <= limit;
  }
  void Print(bool json) const {
    if (json) {
      std::puts(rows_.dump(2).c_str());
      return;
    }
    for (const auto& row : rows_) {
      std::printf("%-40s %12.1f %-4s %-22s %s\n", row["name"].get<std::string>().c_str(),
                  row["value"].get<double>(), row["unit"].get<std::string>().c_str(),
                  row["mark"].get<std::string>().c_str(),
                  row["held"].is_null() ? "" : (row["held"].get<bool>() ? "held" : "MISSED"));
    }
  }

 private:
  static double Rounded(double value) {
    return static_cast<double>(static_cast<int64_t>(value * 10)) / 10;
  }
  nlohmann::json rows_ = nlohmann::json::array();
};

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "policy_bench: %s\n", what.c_str());
  std::exit(2);
}

std::shared_ptr<const CompiledPolicy> Compile(authz::PolicySets sets) {
  auto compiled = CompiledPolicy::Compile(std::move(sets));
  if (!compiled.ok()) {
    Fail(compiled.status().ToString());
  }
  return *std::move(compiled);
}

void CheckAgreement(const CompiledPolicy& policy, Contender& contender,
                    const std::vector<ShapeRequest>& requests) {
  authz::DecisionScratch scratch(policy);
  size_t allowed = 0;
  for (size_t i = 0; i < requests.size(); i += 16) {
    authz::CanonicalRequest request = requests[i].View();
    Effect effect = policy.Decide(request, WallTime(), scratch).effect;
    if (effect != contender.Linear(request) || effect != contender.Set(request)) {
      Fail("the contenders disagree on " + requests[i].caller + " " + requests[i].path);
    }
    allowed += effect == Effect::kAllow;
  }
  if (allowed * 16 < requests.size() / 2) {
    Fail("the shape allows too little to mean anything");
  }
}

struct OwnTimes {
  Percentiles fresh;
  Percentiles kept;
};

OwnTimes MeasureOwn(const CompiledPolicy& policy, const std::vector<ShapeRequest>& requests) {
  authz::DecisionScratch scratch(policy);
  std::vector<authz::CanonicalRequest> views;
  std::vector<authz::ConnectionView> connections;
  for (const ShapeRequest& request : requests) {
    views.push_back(request.View());
    connections.push_back(policy.ViewConnection(views.back(), scratch));
  }
  OwnTimes times;
  times.fresh =
      Measure(requests.size(), 20, [&](size_t i) { policy.Decide(views[i], WallTime(), scratch); });
  times.kept = Measure(requests.size(), 20, [&](size_t i) {
    policy.Decide(connections[i], views[i], WallTime(), scratch);
  });
  return times;
}

void MeasureSize(size_t rules, Figures& figures) {
  Shape shape({.rules = rules});
  std::vector<ShapeRequest> requests = shape.Requests(kRequests);
  std::shared_ptr<const CompiledPolicy> policy = Compile(shape.Sets());
  Contender contender(shape);
  CheckAgreement(*policy, contender, requests);
  OwnTimes times = MeasureOwn(*policy, requests);
  std::string suffix = Concat("_", rules);
  bool largest = rules == 10'000;
  if (largest) {
    figures.AtMost("decision_p50" + suffix, times.fresh.p50, "ns", 400);
    figures.AtMost("decision_p99" + suffix, times.fresh.p99, "ns", 2000);
    figures.AtMost("kept_connection_p50" + suffix, times.kept.p50, "ns", 150);
  } else {
    figures.Add("decision_p50" + suffix, times.fresh.p50, "ns");
    figures.Add("decision_p99" + suffix, times.fresh.p99, "ns");
    figures.Add("kept_connection_p50" + suffix, times.kept.p50, "ns");
  }
  figures.Add("kept_connection_p99" + suffix, times.kept.p99, "ns");
  size_t slow = std::min(kRequests, std::max(kBatch * 4, 4'000'000 / rules / kBatch * kBatch));
  std::vector<authz::CanonicalRequest> views;
  for (const ShapeRequest& request : requests) {
    views.push_back(request.View());
  }
  figures.Add("re2_set_p50" + suffix,
              Measure(kRequests, 3, [&](size_t i) { contender.Set(views[i]); }).p50, "ns");
  figures.Add("linear_re2_p50" + suffix,
              Measure(slow, 1, [&](size_t i) { contender.Linear(views[i]); }).p50, "ns");
}

// All rules guard one workload: what one proxy may hold at worst.
void MeasureOneWorkload(Figures& figures) {
  Shape shape({.rules = 10'000, .workloads = 1});
  std::vector<ShapeRequest> requests = shape.Requests(kRequests);
  OwnTimes times = MeasureOwn(*Compile(shape.Sets()), requests);
  figures.Add("one_workload_decision_p50_10000", times.fresh.p50, "ns");
  figures.Add("one_workload_decision_p99_10000", times.fresh.p99, "ns");
  figures.Add("one_workload_kept_connection_p50_10000", times.kept.p50, "ns");
}

void MeasureLoad(Figures& figures) {
  std::vector<authz::SourceFile> files;
  for (auto& [path, content] : Shape({.rules = 10'000}).Files()) {
    files.push_back({.path = path, .content = std::move(content)});
  }
  double before = ResidentMegabytes();
  double start = ThreadNanoseconds();
  authz::LoadResult loaded = authz::Load(files);
  if (!loaded.ok()) {
    Fail(loaded.diagnostics.empty() ? "the policy does not load" : loaded.diagnostics[0].message);
  }
  double load = (ThreadNanoseconds() - start) / 1e6;
  std::shared_ptr<const CompiledPolicy> policy = Compile(loaded.sets);
  figures.AtMost("load_and_compile_10000", (ThreadNanoseconds() - start) / 1e6, "ms", 1500);
  figures.Add("compile_10000", (ThreadNanoseconds() - start) / 1e6 - load, "ms");
  authz::DecisionScratch scratch(*policy);
  figures.AtMost("memory_10000", ResidentMegabytes() - before, "MB", 150);
}

int Run(std::span<char*> arguments) {
  bool json = false;
  size_t only = 0;
  for (size_t i = 1; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "-o" && i + 1 < arguments.size() &&
        std::string_view(arguments[i + 1]) == "json") {
      json = true;
      ++i;
    } else if (argument == "--rules" && i + 1 < arguments.size()) {
      only = std::strtoull(arguments[++i], nullptr, 10);
    } else {
      std::fprintf(stderr, "usage: policy_bench [-o json] [--rules N]\n");
      return 2;
    }
  }
  Figures figures;
  if (only != 0) {
    MeasureSize(only, figures);
  } else {
    MeasureLoad(figures);
    for (size_t rules : {10, 1000, 10'000}) {
      MeasureSize(rules, figures);
    }
    MeasureOneWorkload(figures);
  }
  figures.Print(json);
  return 0;
}

}  // namespace
}  // namespace countersign::bench

int main(int argc, char** argv) {
  return countersign::bench::Run({argv, static_cast<size_t>(argc)});
}
