#include "cli/policy_bench_command.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <iomanip>
#include <memory>
#include <nlohmann/json.hpp>

#include "authz/bench/decision_bench.h"

namespace countersign::cli {
namespace {

struct Options {
  size_t rules = 10'000;
  std::string output = "table";
};

double Rounded(double value) { return std::round(value * 10) / 10; }

void Bench(Context& context, const Options& options) {
  StatusOr<bench::BenchResult> result = bench::RunBench({.rules = options.rules});
  if (!result.ok()) {
    context.Fail(result.status());
    return;
  }
  nlohmann::ordered_json figures = {{"rules", result->rules},
                                    {"load_ms", Rounded(result->load_ms)},
                                    {"rss_mb", Rounded(result->rss_mb)},
                                    {"p50_ns", Rounded(result->fresh.p50)},
                                    {"p99_ns", Rounded(result->fresh.p99)},
                                    {"kept_connection_p50_ns", Rounded(result->kept.p50)},
                                    {"re2_set_p50_ns", Rounded(result->re2_set_p50)},
                                    {"linear_re2_p50_ns", Rounded(result->linear_re2_p50)}};
  context.exit_code = kGood;
  if (options.output == "json") {
    context.out << figures.dump(2) << "\n";
    return;
  }
  for (const auto& [name, value] : figures.items()) {
    context.out << std::left << std::setw(24) << name << value.dump() << "\n";
  }
}

}  // namespace

void AddPolicyBenchCommand(CLI::App& policy, Context& context) {
  CLI::App* verb =
      policy.add_subcommand("bench", "measure decisions on a policy of a stated shape");
  auto options = std::make_shared<Options>();
  verb->add_option("--rules", options->rules, "rules of the policy")
      ->check(CLI::Range(size_t{1}, bench::kBenchRulesMax));
  verb->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  verb->footer(
      "Examples:\n  countersign policy bench --rules 10000 -o json\n"
      "Callers: half exact, a quarter under a border, a quarter patterns; paths: 30% exact, 30%\n"
      "under a border, 40% templates and patterns; a fifth ask for a header; 50 workloads. Times "
      "are\n"
      "CPU time of batches of 64 decisions, with a new caller each time and on kept connections,\n"
      "beside RE2::Set and a linear loop of RE2. Needs some seconds and memory for the largest.");
  verb->callback([&context, options] { Bench(context, *options); });
}

}  // namespace countersign::cli
