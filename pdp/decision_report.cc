// What the decision point says of itself: health and OpenMetrics.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "pdp/decision_point.h"

namespace countersign::pdp {
namespace {

// Writer appends families and samples. Label values are names of ours.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void Family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = Concat("countersign_pdp_", name);
    out_ += Concat("# TYPE ", name_, " ", type, "\n# HELP ", name_, " ", help, "\n");
  }
  void Sample(std::string_view suffix, std::string_view labels, const auto& value) {
    out_ += Concat(name_, suffix, labels, " ", value, "\n");
  }
  void Seconds(std::string_view suffix, uint64_t micros) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.6f", static_cast<double>(micros) / 1e6);
    Sample(suffix, "", std::string_view(text));
  }
  void Histogram(const LatencyHistogram& histogram) {
    uint64_t count = 0;
    for (size_t i = 0; i <= LatencyHistogram::kBoundsMicros.size(); ++i) {
      count += histogram.bucket(i);
      char bound[32] = "+Inf";
      if (i < LatencyHistogram::kBoundsMicros.size()) {
        std::snprintf(bound, sizeof(bound), "%g",
                      static_cast<double>(LatencyHistogram::kBoundsMicros[i]) / 1e6);
      }
      Sample("_bucket", Concat("{le=\"", std::string_view(bound), "\"}"), count);
    }
    Sample("_count", "", count);
    Seconds("_sum", histogram.sum_micros());
  }

 private:
  std::string& out_;
  std::string name_;
};

}  // namespace

std::string DecisionPoint::Health() const {
  const PolicyState state = source_.State();
  nlohmann::ordered_json health = {{"ready", state.ready}};
  if (state.ready) {
    health["policyDigest"] = state.digest;
    health["rules"] = state.rules;
    health["loadedAt"] = FormatTime(*state.loaded_at);
  }
  if (!state.refused.empty()) {
    health["folderRefused"] = state.refused;
  }
  // Paths and YAML may hold any bytes.
  return health.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string DecisionPoint::Metrics() const {
  const PolicyState state = source_.State();
  std::string out;
  Writer writer(out);
  writer.Family("ready", "gauge", "1 once a policy is in force.");
  writer.Sample("", "", state.ready ? 1 : 0);
  writer.Family("policy_folder_good", "gauge", "1 if the folder as it is now is in force.");
  writer.Sample("", "", state.ready && state.refused.empty() ? 1 : 0);
  writer.Family("policy_rules", "gauge", "Rules of the policy in force.");
  writer.Sample("", "", state.rules);
  writer.Family("policy_loaded_seconds", "gauge",
                "When the policy in force was loaded, since the epoch.");
  writer.Seconds("", state.loaded_at
                         ? static_cast<uint64_t>(
                               std::chrono::floor<std::chrono::microseconds>(*state.loaded_at)
                                   .time_since_epoch()
                                   .count())
                         : 0);
  if (state.ready) {
    writer.Family("policy", "info", "The digest of the policy in force.");
    writer.Sample("_info", Concat("{digest=\"", state.digest, "\"}"), 1);
  }
  writer.Family("policy_loads", "counter", "Contents of the folder that were taken and refused.");
  writer.Sample("_total", "{result=\"good\"}", state.loads_good);
  writer.Sample("_total", "{result=\"refused\"}", state.loads_refused);
  writer.Family("log_lines_left_out", "counter", "Decisions that the log's budget left out.");
  writer.Sample("_total", "", log_.left_out());
  WriteCounters(out);
  return out + "# EOF\n";
}

void DecisionPoint::WriteCounters(std::string& out) const {
  Writer writer(out);
  std::lock_guard lock(mutex_);
  writer.Family("decisions", "counter", "Answers by front door, effect and reason.");
  for (const auto& [key, count] : decisions_) {
    const auto& [door, kind, reason] = key;
    writer.Sample("_total",
                  Concat("{door=\"", DoorName(door), "\",effect=\"", KindName(kind), "\",reason=\"",
                         reason, "\"}"),
                  count);
  }
  writer.Family("would_differ", "counter", "Decisions that dryRun policies would have changed.");
  writer.Sample("_total", "", would_differ_);
  writer.Family("decision_seconds", "histogram", "From a request taken apart to its answer.");
  writer.Histogram(latency_);
}

}  // namespace countersign::pdp
