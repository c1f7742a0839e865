// policy_bench prints the decision figures of bench/run: what `countersign policy bench` measures
// at 10, 1,000 and 10,000 rules, and with all rules on one workload, beside the marks.
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "authz/bench/decision_bench.h"

namespace countersign::bench {
namespace {

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

BenchResult Measured(const BenchOptions& options) {
  StatusOr<BenchResult> result = RunBench(options);
  if (!result.ok()) {
    std::fprintf(stderr, "policy_bench: %s\n", std::string(Message(result.status())).c_str());
    std::exit(2);
  }
  return *result;
}

void AddLargest(const BenchResult& result, double smallest_p50, Figures& figures) {
  figures.AtMost("load_and_compile_10000", result.load_ms, "ms", 1500);
  figures.Add("compile_10000", result.compile_ms, "ms");
  figures.AtMost("memory_10000", result.rss_mb, "MB", 150);
  figures.AtMost("decision_p50_10000", result.fresh.p50, "ns", 400);
  figures.AtMost("decision_p99_10000", result.fresh.p99, "ns", 2000);
  figures.AtMost("kept_connection_p50_10000", result.kept.p50, "ns", 150);
  figures.AtMost("decision_p50_10000_over_10", result.fresh.p50 / smallest_p50, "x", 4);
}

void Add(const BenchResult& result, Figures& figures) {
  std::string suffix = Concat("_", result.rules);
  figures.Add("decision_p50" + suffix, result.fresh.p50, "ns");
  figures.Add("decision_p99" + suffix, result.fresh.p99, "ns");
  figures.Add("kept_connection_p50" + suffix, result.kept.p50, "ns");
}

void AddRest(const BenchResult& result, Figures& figures) {
  std::string suffix = Concat("_", result.rules);
  figures.Add("kept_connection_p99" + suffix, result.kept.p99, "ns");
  figures.Add("re2_set_p50" + suffix, result.re2_set_p50, "ns");
  figures.Add("linear_re2_p50" + suffix, result.linear_re2_p50, "ns");
}

int Run(std::span<char*> arguments) {
  bool json = arguments.size() == 3 && std::string_view(arguments[1]) == "-o" &&
              std::string_view(arguments[2]) == "json";
  if (arguments.size() != 1 && !json) {
    std::fprintf(stderr, "usage: policy_bench [-o json]\n");
    return 2;
  }
  Figures figures;
  double smallest_p50 = 0;
  for (size_t rules : {10, 1000, 10'000}) {
    BenchResult result = Measured({.rules = rules});
    if (rules == 10) {
      smallest_p50 = result.fresh.p50;
    }
    if (rules == 10'000) {
      AddLargest(result, smallest_p50, figures);
    } else {
      Add(result, figures);
    }
    AddRest(result, figures);
  }
  // What one proxy may hold at worst.
  BenchResult one = Measured({.rules = 10'000, .workloads = 1, .contenders = false});
  figures.Add("one_workload_decision_p50_10000", one.fresh.p50, "ns");
  figures.Add("one_workload_decision_p99_10000", one.fresh.p99, "ns");
  figures.Add("one_workload_kept_connection_p50_10000", one.kept.p50, "ns");
  figures.Print(json);
  return 0;
}

}  // namespace
}  // namespace countersign::bench

int main(int argc, char** argv) {
  return countersign::bench::Run({argv, static_cast<size_t>(argc)});
}
