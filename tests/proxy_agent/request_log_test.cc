#include "proxy_agent/request_log.h"

#include <gmock/gmock.h>

#include "proxy_agent/metrics.h"

namespace countersign::proxy {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

class RequestLogTest : public ::testing::Test {
 protected:
  size_t Granted(std::string_view peer, size_t asked, MonotonicTime now) {
    size_t granted = 0;
    for (size_t i = 0; i < asked; ++i) {
      granted += log_.May(peer, now) ? 1 : 0;
    }
    return granted;
  }
  uint64_t Skipped() const {
    return metrics_.limits_reached[static_cast<size_t>(Limit::kLogLines)].value();
  }

  const ProxyLimits limits_{.log_lines_per_peer_max = 3, .log_lines_max = 5};
  WorkerMetrics metrics_;
  RequestLog log_{limits_, metrics_};
  const MonotonicTime now_{seconds(1000)};
};

TEST_F(RequestLogTest, OneCallerSpendsItsOwnLinesAndNobodyElses) {
  EXPECT_EQ(Granted("web", 3, now_), 3u);
  EXPECT_EQ(Skipped(), 0u);
  EXPECT_EQ(Granted("web", 10, now_), 0u);
  EXPECT_EQ(Skipped(), 10u);
  EXPECT_EQ(Granted("billing", 1, now_), 1u);
}

TEST_F(RequestLogTest, AllCallersTogetherHaveABudgetToo) {
  size_t granted = 0;
  for (int i = 0; i < 100; ++i) {
    granted += Granted(Concat("caller ", i), 1, now_);
  }
  EXPECT_EQ(granted, 5u);
  EXPECT_EQ(Skipped(), 95u);
}

TEST_F(RequestLogTest, TheNextMinuteBringsNewLines) {
  EXPECT_EQ(Granted("web", 5, now_), 3u);
  EXPECT_EQ(Granted("web", 5, now_ + seconds(59)), 0u);
  EXPECT_EQ(Granted("web", 5, now_ + seconds(60)), 3u);
}

TEST_F(RequestLogTest, TheLastLineSaysSo) {
  const auto line = [&] {
    EXPECT_TRUE(log_.May("web", now_));
    testing::internal::CaptureStderr();
    log_.Write("request refused", {{"caller", "web"}});
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_THAT(line(), Not(HasSubstr("budget")));
  EXPECT_THAT(line(), Not(HasSubstr("budget")));
  EXPECT_THAT(line(), HasSubstr("the log's budget for this minute is spent"));
}

TEST_F(RequestLogTest, AnExcerptHasABoundAndNoQuery) {
  EXPECT_EQ(RequestLog::Excerpt("/orders/7?token=s3cr3t"), "/orders/7");
  EXPECT_LE(RequestLog::Excerpt(std::string(8000, 'a')).size(), 200u);
}

}  // namespace
}  // namespace countersign::proxy
