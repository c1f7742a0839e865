// R38 and the admin port's formats: /metrics is read by a strict reader of OpenMetrics 1.0, /config
// as JSON.
#include <gmock/gmock.h>

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/proxy_agent/limits_fixture.h"

namespace countersign::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using Labels = std::vector<std::pair<std::string, std::string>>;

struct Sample {
  std::string name;
  Labels labels;
  double value = 0;
};
struct Family {
  std::string type;
  std::string help;
  std::vector<Sample> samples;
};

bool IsNameByte(char c, bool first) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
         (!first && c >= '0' && c <= '9');
}

// OpenMetricsReader reads one exposition by the ABNF of OpenMetrics 1.0 and what its sections on
// metric types demand; the first breach ends it with a sentence.
class OpenMetricsReader {
 public:
  explicit OpenMetricsReader(std::string text) : text_(std::move(text)) {}

  // Read is empty if all is well.
  std::string Read() {
    if (!text_.ends_with("# EOF\n") || text_.find("# EOF\n") != text_.size() - 6) {
      return "the text does not end with one \"# EOF\" line";
    }
    std::istringstream lines(text_.substr(0, text_.size() - 6));
    std::string line;
    while (std::getline(lines, line)) {
      std::string error = line.starts_with("# ") ? ReadDescriptor(line) : ReadSample(line);
      if (!error.empty()) {
        return Concat(error, ": ", line);
      }
    }
    for (const auto& [name, family] : families_) {
      if (family.type == "histogram") {
        if (std::string error = CheckHistogram(name, family); !error.empty()) {
          return Concat(error, ": ", name);
        }
      }
    }
    return "";
  }
  const std::map<std::string, Family>& families() const { return families_; }

 private:
  std::string ReadDescriptor(const std::string& line) {
    std::istringstream words(line);
    std::string hash;
    std::string kind;
    std::string name;
    words >> hash >> kind >> name;
    std::string rest;
    std::getline(words, rest);
    if (rest.empty() || rest.front() != ' ' || rest.size() < 2) {
      return "a descriptor without a value";
    }
    rest.erase(0, 1);
    if (current_ != name) {
      if (families_.contains(name)) {
        return "the lines of a family are not together";
      }
      current_ = name;
      families_[name] = {};
    }
    Family& family = families_[name];
    if (!family.samples.empty()) {
      return "a descriptor behind its samples";
    }
    std::string& field = kind == "TYPE" ? family.type : family.help;
    if ((kind != "TYPE" && kind != "HELP") || !field.empty()) {
      return "an unknown or repeated descriptor";
    }
    field = rest;
    if (kind == "TYPE" && rest != "counter" && rest != "gauge" && rest != "histogram" &&
        rest != "info") {
      return "an unknown type";
    }
    return "";
  }

  std::string ReadSample(const std::string& line) {
    Sample sample;
    size_t at = 0;
    while (at < line.size() && IsNameByte(line[at], at == 0)) {
      ++at;
    }
    sample.name = line.substr(0, at);
    if (at < line.size() && line[at] == '{') {
      if (std::string error = ReadLabels(line, at, sample.labels); !error.empty()) {
        return error;
      }
    }
    if (at >= line.size() || line[at] != ' ') {
      return "no single space before the value";
    }
    const char* begin = line.data() + at + 1;
    const char* end = line.data() + line.size();
    const auto [stop, failure] = std::from_chars(begin, end, sample.value);
    if (failure != std::errc() || stop != end) {
      return "the value is not a number";
    }
    return Place(std::move(sample));
  }

  static std::string ReadLabels(const std::string& line, size_t& at, Labels& labels) {
    std::set<std::string> names;
    do {
      const size_t begin = ++at;
      while (at < line.size() && IsNameByte(line[at], at == begin) && line[at] != ':') {
        ++at;
      }
      std::string name = line.substr(begin, at - begin);
      if (name.empty() || !names.insert(name).second || line.compare(at, 2, "=\"") != 0) {
        return "a label without a name of its own";
      }
      std::string value;
      for (at += 2; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] == '\\' && ++at < line.size() && line[at] != 'n' && line[at] != '"' &&
            line[at] != '\\') {
          return "an unknown escape";
        }
        value.push_back(line[at]);
      }
      if (at >= line.size()) {
        return "a label value without an end";
      }
      labels.emplace_back(std::move(name), std::move(value));
      ++at;
    } while (at < line.size() && line[at] == ',');
    if (at >= line.size() || line[at] != '}') {
      return "labels without an end";
    }
    ++at;
    return "";
  }

  std::string Place(Sample sample) {
    Family& family = families_[current_];
    if (family.type.empty() || family.help.empty() || !sample.name.starts_with(current_)) {
      return "a sample outside its family";
    }
    const std::string suffix = sample.name.substr(current_.size());
    static const std::map<std::string, std::set<std::string>> kSuffixes = {
        {"counter", {"_total"}},
        {"gauge", {""}},
        {"info", {"_info"}},
        {"histogram", {"_bucket", "_count", "_sum"}}};
    if (!kSuffixes.at(family.type).contains(suffix)) {
      return "a suffix that the type does not have";
    }
    if (family.type != "gauge" && sample.value < 0) {
      return "a negative count";
    }
    if (family.type == "info" && sample.value != 1) {
      return "an info that is not 1";
    }
    if (!seen_.insert(Concat(sample.name, Key(sample.labels))).second) {
      return "a sample that occurs twice";
    }
    family.samples.push_back(std::move(sample));
    return "";
  }

  static std::string Key(const Labels& labels) {
    std::string key;
    for (const auto& [name, value] : labels) {
      key += Concat("|", name, "=", value);
    }
    return key;
  }

  static std::string CheckHistogram(const std::string& name, const Family& family) {
    struct Series {
      std::vector<std::pair<double, double>> buckets;
      double count = -1;
      double sum = -1;
    };
    std::map<std::string, Series> all;
    for (const Sample& sample : family.samples) {
      Labels others;
      double bound = 0;
      for (const auto& [label, value] : sample.labels) {
        if (label == "le") {
          bound = value == "+Inf" ? INFINITY : std::stod(value);
        } else {
          others.emplace_back(label, value);
        }
      }
      Series& series = all[Key(others)];
      if (sample.name == name + "_bucket") {
        series.buckets.emplace_back(bound, sample.value);
      } else {
        (sample.name == name + "_count" ? series.count : series.sum) = sample.value;
      }
    }
    for (const auto& [labels, series] : all) {
      if (series.buckets.empty() || !std::is_sorted(series.buckets.begin(), series.buckets.end()) ||
          !std::is_sorted(series.buckets.begin(), series.buckets.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; }) ||
          series.buckets.back().first != INFINITY || series.buckets.back().second != series.count ||
          series.sum < 0) {
        return "buckets out of order, without +Inf, or not the count";
      }
    }
    return all.empty() ? "no series" : "";
  }

  const std::string text_;
  std::string current_;
  std::map<std::string, Family> families_;
  std::set<std::string> seen_;
};

const Sample* Find(const Family& family, const std::string& label, const std::string& value) {
  for (const Sample& sample : family.samples) {
    for (const auto& [name, text] : sample.labels) {
      if (name == label && text == value) {
        return &sample;
      }
    }
  }
  return nullptr;
}

TEST_F(LimitsTest, MetricsAreValidOpenMetricsWhateverHasHappened) {
  StartOrders();
  OpenMetricsReader fresh(orders_->Admin("/metrics").body);
  EXPECT_EQ(fresh.Read(), "");

  EXPECT_TRUE(Served());
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  Ask(*web, "GET /orders%2f7 HTTP/1.1\r\nhost: orders\r\n\r\n");
  Ask(*web, "BAD\r\n\r\n");
  Plain()->Write("no TLS\r\n\r\n");
  const TestCa stranger;
  TestStream::ConnectTls(facts_.listen,
                         {.identity = {.chain_pem = stranger.Svid("/ns/prod/sa/web")->ChainPem(),
                                       .key_pem = stranger.Svid("/ns/prod/sa/web")->KeyPem()},
                          .alpn = {},
                          .server_name = ""})
      .IgnoreError();
  EXPECT_FALSE(orders_->OnConfiguration(sds::ProxyConfigSnapshot()).ok());

  const AdminAnswer answer = orders_->Admin("/metrics");
  EXPECT_EQ(answer.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
  OpenMetricsReader reader(answer.body);
  ASSERT_EQ(reader.Read(), "");
  const auto& families = reader.families();
  EXPECT_EQ(families.at("countersign_proxy_ready").samples.at(0).value, 1);
  EXPECT_EQ(families.at("countersign_proxy_config_refused").samples.at(0).value, 1);
  EXPECT_EQ(families.at("countersign_proxy_requests").type, "counter");
  const Family& durations = families.at("countersign_proxy_request_duration_seconds");
  EXPECT_EQ(durations.type, "histogram");
  const Family& limits = families.at("countersign_proxy_limit_reached");
  EXPECT_EQ(limits.samples.size(), kLimitCount);
  for (size_t i = 0; i < kLimitCount; ++i) {
    EXPECT_NE(Find(limits, "limit", std::string(LimitName(static_cast<Limit>(i)))), nullptr) << i;
  }
  EXPECT_NE(Find(families.at("countersign_proxy_malformed"), "error", "bad_request_line"), nullptr);
}

TEST(OpenMetricsTest, LabelValuesAreEscaped) {
  const WorkerMetrics metrics;
  MetricsFacts facts;
  facts.svid_serial = "a\"b\\c\nd";
  OpenMetricsReader reader(RenderMetrics({&metrics}, facts));
  ASSERT_EQ(reader.Read(), "");
  const Family& svid = reader.families().at("countersign_proxy_svid");
  EXPECT_EQ(svid.samples.at(0).labels.at(0).second, "a\"b\\c?d");
}

TEST(OpenMetricsTest, WorkersAreAddedUp) {
  WorkerMetrics first;
  WorkerMetrics second;
  first.Reached(Limit::kWaiting);
  second.Reached(Limit::kWaiting);
  first.request_latency[0].Observe(70);
  second.request_latency[0].Observe(700);
  OpenMetricsReader reader(RenderMetrics({&first, &second}, {}));
  ASSERT_EQ(reader.Read(), "");
  EXPECT_EQ(
      Find(reader.families().at("countersign_proxy_limit_reached"), "limit", "waiting")->value, 2);
  for (const Sample& sample :
       reader.families().at("countersign_proxy_request_duration_seconds").samples) {
    if (sample.name.ends_with("_count") && sample.labels.at(0).second == "inbound") {
      EXPECT_EQ(sample.value, 2);
    }
  }
}

TEST(OpenMetricsTest, TheReaderRefusesWhatTheFormatDoes) {
  const std::string head = "# TYPE a counter\n# HELP a b\n";
  for (const char* bad :
       {"a_total 1\n", "a 1\n# EOF\n", "a_total{x=\"1\",x=\"2\"} 1\n# EOF\n",
        "a_total{x=\"\\q\"} 1\n# EOF\n", "a_total  1\n# EOF\n", "a_total one\n# EOF\n",
        "a_total 1\na_total 1\n# EOF\n", "a_total -1\n# EOF\n", "a_total 1\n# HELP a c\n# EOF\n",
        "a_total 1\n# EOF\n# EOF\n", "b_total 1\n# EOF\n", "a_total{x=\"1} 1\n# EOF\n"}) {
    EXPECT_NE(OpenMetricsReader(head + bad).Read(), "") << bad;
  }
  EXPECT_EQ(OpenMetricsReader(head + "a_total{x=\"1\"} 1\n# EOF\n").Read(), "");
  const std::string buckets =
      "# TYPE h histogram\n# HELP h b\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} ";
  EXPECT_NE(OpenMetricsReader(buckets + "1\nh_count 1\nh_sum 1\n# EOF\n").Read(), "");
  EXPECT_NE(OpenMetricsReader(buckets + "3\nh_count 4\nh_sum 1\n# EOF\n").Read(), "");
  EXPECT_EQ(OpenMetricsReader(buckets + "3\nh_count 3\nh_sum 1\n# EOF\n").Read(), "");
}

TEST_F(LimitsTest, TheConfigurationIsJsonWithoutKeysOrPolicyText) {
  StartOrders(&AnswerOk, ", probes: [{ path: /healthz, from: [127.0.0.0/8] }]");
  const AdminAnswer answer = orders_->Admin("/config");
  EXPECT_EQ(answer.content_type, "application/json");
  const nlohmann::json config = nlohmann::json::parse(answer.body, nullptr, false);
  ASSERT_FALSE(config.is_discarded()) << answer.body;
  std::set<std::string> keys;
  for (const auto& [key, value] : config.items()) {
    keys.insert(key);
  }
  // All that is shown; whoever adds to it thinks of secrets first.
  EXPECT_EQ(keys, (std::set<std::string>{"instance", "workers", "ready", "identity", "bundles",
                                         "version", "workload", "policySets", "doors"}));
  EXPECT_EQ(config["identity"]["id"], std::string(kOrders));
  EXPECT_EQ(config["doors"].size(), 1u);
  EXPECT_EQ(config["doors"][0]["listen"], facts_.listen);
  const std::shared_ptr<const identity::X509Svid> svid = ca_.Svid("/ns/prod/sa/orders");
  EXPECT_THAT(answer.body, Not(HasSubstr("PRIVATE KEY")));
  EXPECT_THAT(answer.body, Not(HasSubstr("BEGIN")));
  const std::string key = orders_->snapshot()->identity->svid().KeyPem();
  EXPECT_THAT(answer.body, Not(HasSubstr(key.substr(40, 30))));
}

TEST_F(LimitsTest, TheAdminPortBoundsItsRequests) {
  StartOrders();
  const StatusOr<std::unique_ptr<AdminServer>> admin = AdminServer::Start(
      *Address::Parse("127.0.0.1:0"), [&](std::string_view path) { return orders_->Admin(path); });
  ASSERT_TRUE(admin.ok()) << admin.status();
  const auto ask = [&](size_t filling) {
    const std::unique_ptr<TestStream> stream = *TestStream::Connect((*admin)->address().text());
    stream->Write(
        Concat("GET /ready HTTP/1.1\r\nhost: x\r\nx: ", std::string(filling, 'a'), "\r\n\r\n"));
    return stream->ReadUntil("\r\n\r\n");
  };
  EXPECT_THAT(ask(AdminLimits::kRequestBytesMax - 100), ::testing::StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(AdminLimits::kRequestBytesMax), ::testing::StartsWith("HTTP/1.1 431"));
}

TEST_F(LimitsTest, WhoHoldsTheAdminPortOpenKeepsNobodyOut) {
  StartOrders();
  const StatusOr<std::unique_ptr<AdminServer>> admin = AdminServer::Start(
      *Address::Parse("127.0.0.1:0"), [&](std::string_view path) { return orders_->Admin(path); });
  ASSERT_TRUE(admin.ok()) << admin.status();
  std::vector<std::unique_ptr<TestStream>> idle;
  const auto began = std::chrono::steady_clock::now();
  for (size_t i = 0; i < AdminLimits::kConnectionsMax + 5; ++i) {
    idle.push_back(*TestStream::Connect((*admin)->address().text()));
    idle.back()->Write(i % 2 == 0 ? "" : "GET /ready HTTP/1.1\r\n");
  }
  const std::unique_ptr<TestStream> probe = *TestStream::Connect((*admin)->address().text());
  probe->Write("GET /ready HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_THAT(probe->ReadAll(), ::testing::StartsWith("HTTP/1.1 200"));
  EXPECT_LT(std::chrono::steady_clock::now() - began, AdminLimits::kWait) << "no deadline helped";
  EXPECT_TRUE(idle.front()->WaitForEnd()) << "the oldest made room";
  EXPECT_TRUE(idle.back()->WaitForEnd()) << "and the others have a deadline";
}

TEST_F(LimitsTest, ReadinessFollowsTheIdentity) {
  StartOrders();
  EXPECT_EQ(orders_->Admin("/ready").status, 200);
  ASSERT_TRUE(
      orders_
          ->OnIdentity(FreshSvid(ca_, "/ns/prod/sa/orders", std::chrono::seconds(1)), ca_.Bundles())
          .ok());
  EXPECT_TRUE(Eventually([&] { return orders_->Admin("/ready").status == 503; }))
      << "its SVID has ended and no other has come";
  ASSERT_TRUE(orders_->OnIdentity(ca_.Svid("/ns/prod/sa/orders"), ca_.Bundles()).ok());
  EXPECT_EQ(orders_->Admin("/ready").status, 200);
}

}  // namespace
}  // namespace countersign::proxy
