#include "identity/server/node_sessions.h"

#include <gtest/gtest.h>

namespace countersign::server {
namespace {

constexpr const char* kNode1 = "spiffe://shop.example/agent/node-1";

TEST(NodeSessionsTest, EndThatComesLateDoesNotEndTheNextSession) {
  NodeSessions sessions;
  uint64_t first = sessions.Connected(kNode1, {"aa", {}});
  uint64_t second = sessions.Connected(kNode1, {"aa", {}});
  sessions.Disconnected(kNode1, first);
  EXPECT_TRUE(sessions.Find(kNode1).connected);
  sessions.Disconnected(kNode1, second);
  EXPECT_FALSE(sessions.Find(kNode1).connected);
}

TEST(NodeSessionsTest, ReportOverALimitIsRefusedWhole) {
  NodeSessions sessions;
  ASSERT_TRUE(sessions.Report(kNode1, std::vector<RunningProxy>(3)).ok());
  EXPECT_EQ(
      sessions.Report(kNode1, std::vector<RunningProxy>(NodeSessionLimits::kProxiesMax + 1)).code(),
      StatusCode::kResourceExhausted);
  RunningProxy wordy;
  wordy.refused = std::string(NodeSessionLimits::kTextBytesMax + 1, 'x');
  EXPECT_EQ(sessions.Report(kNode1, {wordy}).code(), StatusCode::kResourceExhausted);
  RunningProxy busy;
  busy.acknowledged.resize(NodeSessionLimits::kSetsMax + 1);
  EXPECT_EQ(sessions.Report(kNode1, {busy}).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(sessions.Proxies().size(), 3u);
  busy.acknowledged.pop_back();
  EXPECT_TRUE(sessions.Report(kNode1, {busy}).ok());
}

}  // namespace
}  // namespace countersign::server
