#include "proxy_agent/metrics.h"

#include <cstdio>
#include <functional>

namespace countersign::proxy {
namespace {

constexpr std::array<std::string_view, 2> kDirectionNames = {"inbound", "outbound"};
constexpr std::array<std::string_view, 6> kClassNames = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

// Writer sums over all workers and writes one sample a line. Label values are names of ours or
// escaped.
class Writer {
 public:
  explicit Writer(const std::vector<const WorkerMetrics*>& workers) : workers_(workers) {}

  void Family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = Concat("countersign_proxy_", name);
    out_ += Concat("# TYPE ", name_, " ", type, "\n# HELP ", name_, " ", help, "\n");
  }
  void Sample(std::string_view suffix, std::string_view labels, uint64_t value) {
    Line(suffix, labels, Concat(value));
  }
  void Number(std::string_view suffix, std::string_view labels, double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.6f", value);
    Line(suffix, labels, text);
  }
  uint64_t Sum(const std::function<uint64_t(const WorkerMetrics&)>& of) const {
    uint64_t sum = 0;
    for (const WorkerMetrics* worker : workers_) {
      sum += of(*worker);
    }
    return sum;
  }
  void Counter(std::string_view labels, const std::function<uint64_t(const WorkerMetrics&)>& of) {
    Sample("_total", labels, Sum(of));
  }
  // CounterIfAny leaves out what never happened, where there are many names.
  void CounterIfAny(std::string_view labels,
                    const std::function<uint64_t(const WorkerMetrics&)>& of) {
    if (const uint64_t sum = Sum(of); sum > 0) {
      Sample("_total", labels, sum);
    }
  }
  void Gauge(std::string_view labels, const std::function<int64_t(const WorkerMetrics&)>& of) {
    int64_t sum = 0;
    for (const WorkerMetrics* worker : workers_) {
      sum += of(*worker);
    }
    Line("", labels, Concat(sum));
  }
  void Histogram(std::string_view labels,
                 const std::function<const LatencyHistogram&(const WorkerMetrics&)>& of) {
    uint64_t count = 0;
    for (size_t i = 0; i <= LatencyHistogram::kBoundsMicros.size(); ++i) {
      count += Sum([&](const WorkerMetrics& w) { return of(w).bucket(i); });
      char bound[32] = "+Inf";
      if (i < LatencyHistogram::kBoundsMicros.size()) {
        std::snprintf(bound, sizeof(bound), "%g",
                      static_cast<double>(LatencyHistogram::kBoundsMicros[i]) / 1e6);
      }
      Sample("_bucket",
             Concat(labels, labels.empty() ? "" : ",", "le=\"", std::string_view(bound), "\""),
             count);
    }
    Sample("_count", labels, count);
    Number(
        "_sum", labels,
        static_cast<double>(Sum([&](const WorkerMetrics& w) { return of(w).sum_micros(); })) / 1e6);
  }
  std::string Finish() { return std::move(out_) + "# EOF\n"; }

 private:
  void Line(std::string_view suffix, std::string_view labels, std::string_view value) {
    out_ += name_;
    out_ += suffix;
    if (!labels.empty()) {
      out_ += Concat("{", labels, "}");
    }
    out_ += Concat(" ", value, "\n");
  }

  const std::vector<const WorkerMetrics*>& workers_;
  std::string name_;
  std::string out_;
};

std::string Label(std::string_view name, std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      escaped.push_back('\\');
    }
    escaped.push_back(static_cast<unsigned char>(c) < 0x20 ? '?' : c);
  }
  return Concat(name, "=\"", escaped, "\"");
}

void RenderRequests(Writer& out) {
  out.Family("requests", "counter", "HTTP requests by direction, reason and class of the answer.");
  for (size_t d = 0; d < WorkerMetrics::kDirections; ++d) {
    for (size_t r = 0; r < WorkerMetrics::kReasons; ++r) {
      for (size_t c = 0; c < WorkerMetrics::kClasses; ++c) {
        out.CounterIfAny(Concat(Label("direction", kDirectionNames[d]), ",",
                                Label("reason", authz::ReasonName(static_cast<authz::Reason>(r))),
                                ",", Label("class", kClassNames[c])),
                         [&](const WorkerMetrics& w) { return w.requests[d][r][c].value(); });
      }
    }
  }
  out.Family("request_duration_seconds", "histogram", "From the request's head to its end.");
  for (size_t d = 0; d < WorkerMetrics::kDirections; ++d) {
    out.Histogram(
        Label("direction", kDirectionNames[d]),
        [&](const WorkerMetrics& w) -> const LatencyHistogram& { return w.request_latency[d]; });
  }
  out.Family("trial_differs", "counter", "Decisions that policies on trial would have changed.");
  for (size_t d = 0; d < WorkerMetrics::kDirections; ++d) {
    for (size_t e = 0; e < 2; ++e) {
      out.CounterIfAny(Concat(Label("direction", kDirectionNames[d]), ",",
                              Label("would_be", e == 0 ? "deny" : "allow")),
                       [&](const WorkerMetrics& w) { return w.would_differ[d][e].value(); });
    }
  }
}

void RenderConnections(Writer& out) {
  out.Family("connections_opened", "counter", "Connections of callers.");
  for (size_t d = 0; d < WorkerMetrics::kDirections; ++d) {
    out.Counter(Label("direction", kDirectionNames[d]),
                [&](const WorkerMetrics& w) { return w.connections_opened[d].value(); });
  }
  out.Family("connections", "gauge", "Connections of callers that are open.");
  for (size_t d = 0; d < WorkerMetrics::kDirections; ++d) {
    out.Gauge(Label("direction", kDirectionNames[d]),
              [&](const WorkerMetrics& w) { return w.connections[d].value(); });
  }
  out.Family("half_open", "gauge", "Connections whose handshake is not over.");
  out.Gauge("", [](const WorkerMetrics& w) { return w.half_open.value(); });
  out.Family("tunnels", "counter", "TCP connections that ended, by direction and reason.");
  for (size_t d = 0; d < WorkerMetrics::kDirections; ++d) {
    for (size_t r = 0; r < WorkerMetrics::kReasons; ++r) {
      out.CounterIfAny(Concat(Label("direction", kDirectionNames[d]), ",",
                              Label("reason", authz::ReasonName(static_cast<authz::Reason>(r)))),
                       [&](const WorkerMetrics& w) { return w.tunnels[d][r].value(); });
    }
  }
  out.Family("tunnel_bytes", "counter", "Bytes of TCP connections that ended.");
  for (size_t d = 0; d < WorkerMetrics::kDirections; ++d) {
    const std::string direction = Label("direction", kDirectionNames[d]);
    out.Counter(Concat(direction, ",", Label("from", "caller")),
                [&](const WorkerMetrics& w) { return w.tunnel_bytes_in[d].value(); });
    out.Counter(Concat(direction, ",", Label("from", "upstream")),
                [&](const WorkerMetrics& w) { return w.tunnel_bytes_out[d].value(); });
  }
  out.Family("cut", "counter", "What the proxy ended while it was alive, by reason.");
  for (size_t i = 1; i < kCutReasonCount; ++i) {
    out.Counter(Label("reason", CutReasonName(static_cast<CutReason>(i))),
                [&](const WorkerMetrics& w) { return w.cut[i].value(); });
  }
  out.Family("closed_at_accept", "counter", "Connections refused before a request.");
  out.Counter(Label("reason", "not_ready"),
              [](const WorkerMetrics& w) { return w.closed_not_ready.value(); });
  out.Counter(Label("reason", "over_limit"),
              [](const WorkerMetrics& w) { return w.closed_over_limit.value(); });
  out.Family("limit_reached", "counter", "How often each bound of the data path was reached.");
  for (size_t i = 0; i < kLimitCount; ++i) {
    out.Counter(Label("limit", LimitName(static_cast<Limit>(i))),
                [&](const WorkerMetrics& w) { return w.limits_reached[i].value(); });
  }
}

void RenderTls(Writer& out) {
  out.Family("handshakes", "counter", "TLS handshakes that succeeded.");
  out.Counter("", [](const WorkerMetrics& w) { return w.handshakes.value(); });
  out.Family("handshake_failures", "counter", "TLS handshakes that failed, by reason.");
  for (size_t i = 1; i < WorkerMetrics::kTlsFailures; ++i) {
    out.Counter(Label("reason", TlsFailureName(static_cast<TlsFailure>(i))),
                [&](const WorkerMetrics& w) { return w.handshake_failures[i].value(); });
  }
  out.Family("peer_refused", "counter", "Peers' certificates that were refused, by the rule.");
  for (size_t i = 0; i <= static_cast<size_t>(identity::VerifyError::kInternal); ++i) {
    out.CounterIfAny(
        Label("error", identity::VerifyErrorName(static_cast<identity::VerifyError>(i))),
        [&](const WorkerMetrics& w) { return w.verify_failures[i].value(); });
  }
  out.Family("handshake_duration_seconds", "histogram", "From accept to the end of the handshake.");
  out.Histogram(
      "", [](const WorkerMetrics& w) -> const LatencyHistogram& { return w.handshake_latency; });
  out.Family("plaintext_connections", "counter",
             "Let in without TLS by a permissive port or probe.");
  out.Counter("", [](const WorkerMetrics& w) { return w.permissive_plaintext.value(); });
}

void RenderUpstream(Writer& out) {
  out.Family("upstream_connections_opened", "counter", "Connections dialled.");
  out.Counter("", [](const WorkerMetrics& w) { return w.upstream_opened.value(); });
  out.Family("upstream_connections_reused", "counter", "Requests on a pooled connection.");
  out.Counter("", [](const WorkerMetrics& w) { return w.upstream_reused.value(); });
  out.Family("upstream_connections", "gauge", "Open connections to upstreams.");
  out.Gauge("", [](const WorkerMetrics& w) { return w.upstream_connections.value(); });
  out.Family("upstream_idle", "gauge", "Of them, idle in a pool.");
  out.Gauge("", [](const WorkerMetrics& w) { return w.upstream_idle.value(); });
  out.Family("upstream_failures", "counter", "Tries without a whole response, by reason.");
  for (size_t i = 1; i < kUpstreamFailureCount; ++i) {
    out.Counter(Label("reason", UpstreamFailureName(static_cast<UpstreamFailure>(i))),
                [&](const WorkerMetrics& w) { return w.upstream_failures[i].value(); });
  }
  out.Family("retries", "counter", "Requests sent again.");
  out.Counter("", [](const WorkerMetrics& w) { return w.retries.value(); });
  out.Family("retries_over_budget", "counter", "Retries that the budget did not allow.");
  out.Counter("", [](const WorkerMetrics& w) { return w.retries_over_budget.value(); });
}

void RenderRefusals(Writer& out) {
  out.Family("malformed", "counter", "Messages that break HTTP, by the rule.");
  for (size_t i = 1; i <= static_cast<size_t>(http::HttpError::kTooManyInterim); ++i) {
    out.CounterIfAny(Label("error", http::HttpErrorName(static_cast<http::HttpError>(i))),
                     [&](const WorkerMetrics& w) { return w.http_errors[i].value(); });
  }
  out.Family("ambiguous_targets", "counter", "Requests whose path, host or query has no one form.");
  out.Counter("", [](const WorkerMetrics& w) { return w.canonical_errors.value(); });
  out.Family("probes", "counter", "Exempt health probes.");
  out.Counter("", [](const WorkerMetrics& w) { return w.probes.value(); });
  out.Family("rejudged", "counter", "Verdicts made again after a change or for another try.");
  out.Counter("", [](const WorkerMetrics& w) { return w.rejudged.value(); });
  out.Family("audit_records", "gauge", "Records written to, dropped by and refused by the rings.");
  out.Gauge(Label("state", "recorded"),
            [](const WorkerMetrics& w) { return w.audit_recorded.value(); });
  out.Gauge(Label("state", "dropped"),
            [](const WorkerMetrics& w) { return w.audit_dropped.value(); });
  out.Gauge(Label("state", "refused"),
            [](const WorkerMetrics& w) { return w.audit_refused.value(); });
}

}  // namespace

std::string_view CutReasonName(CutReason reason) {
  static constexpr std::array<std::string_view, kCutReasonCount> kNames = {
      "",         "policy_changed", "bundle_changed", "identity_changed", "svid_expired",
      "deadline", "idle",           "caller_gone",    "upstream_gone",    "shutdown"};
  return kNames[static_cast<size_t>(reason)];
}

std::string_view UpstreamFailureName(UpstreamFailure failure) {
  static constexpr std::array<std::string_view, kUpstreamFailureCount> kNames = {
      "none",      "no_endpoint", "connect", "handshake", "reset",
      "truncated", "protocol",    "timeout", "overload"};
  return kNames[static_cast<size_t>(failure)];
}

std::string RenderMetrics(const std::vector<const WorkerMetrics*>& workers,
                          const MetricsFacts& facts) {
  Writer out(workers);
  out.Family("ready", "gauge", "1 while identity, bundle and policy are held and valid.");
  out.Sample("", "", facts.ready ? 1 : 0);
  out.Family("cert_not_after_seconds", "gauge", "End of the own SVID, Unix time.");
  out.Number("", "", facts.svid_not_after);
  out.Family("svid", "info", "The own SVID.");
  out.Sample("_info", Label("serial", facts.svid_serial), 1);
  out.Family("policy", "info", "The policy in force.");
  out.Sample("_info", Label("digest", facts.policy_digest), 1);
  out.Family("config_version", "gauge", "Version of the configuration in force.");
  out.Sample("", "", facts.config_version);
  out.Family("config_refused", "counter", "Configurations that could not be applied.");
  out.Sample("_total", "", facts.config_refused);
  out.Family("identity_updates", "counter", "SVIDs and bundles taken.");
  out.Sample("_total", "", facts.identity_updates);
  out.Family("audit_connected", "gauge", "1 while the node's agent reads the audit rings.");
  out.Sample("", "", facts.audit_connected ? 1 : 0);
  RenderRequests(out);
  RenderConnections(out);
  RenderTls(out);
  RenderUpstream(out);
  RenderRefusals(out);
  return out.Finish();
}

}  // namespace countersign::proxy
