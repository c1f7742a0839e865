#include "identity/server/policy_set_record.h"

#include <gtest/gtest.h>

namespace countersign::server {
namespace {

TEST(PolicySetRecordTest, LargeSetIsSplitAndJoined) {
  PolicySetVersion version;
  version.set = "large";
  version.version = 7;
  version.digest = "ab";
  version.author = "unix:root";
  version.rollback_of = 3;
  for (int i = 0; i < 3000; ++i) {
    version.documents.push_back(Concat("{\"n\":", i, ",\"pad\":\"", std::string(300, 'x'), "\"}"));
  }
  auto split = SplitPolicySetVersion(version);
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_GT(split->chunks.size(), 3u);
  EXPECT_EQ(*JoinDocuments(split->chunks), version.documents);
  auto record = ParsePolicySetRecord(split->record);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->version.version, 7u);
  EXPECT_EQ(record->version.rollback_of, 3u);
  EXPECT_EQ(record->chunks.size(), split->chunks.size());
  std::swap(split->chunks[0].content, split->chunks[1].content);
  EXPECT_EQ(JoinDocuments(split->chunks).status().code(), StatusCode::kDataLoss);
}

TEST(PolicySetRecordTest, SetOverTheLimitIsRefused) {
  PolicySetVersion version;
  version.set = "huge";
  version.documents = {std::string(PolicySetRecordLimits::kSetBytesMax - 1, 'x')};
  EXPECT_TRUE(SplitPolicySetVersion(version).ok());
  version.documents[0] += 'x';
  EXPECT_EQ(SplitPolicySetVersion(version).status().code(), StatusCode::kResourceExhausted);
}

TEST(PolicySetRecordTest, RecordThatIsNoRecordIsRefused) {
  for (const char* text : {"", "{", "{}", "[]", R"({"set":1})"}) {
    EXPECT_EQ(ParsePolicySetRecord(text).status().code(), StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace countersign::server
