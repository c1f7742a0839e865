#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace countersign {
namespace {

using ::testing::HasSubstr;

// What an attacker would like to see in a log: a line of its own, a terminal's commands, a broken
// JSON string, bytes that are no UTF-8.
// The last ones are a CSI of one character and an override of the writing direction.
const std::string kHostile(
    "a\0b\x1b[31m\r\n{\"level\":\"error\"}\\\"\x7f\xff\xc3(\xc2\x9b\xe2\x80\xae", 38);

class LogTest : public ::testing::TestWithParam<LogFormat> {
 protected:
  LogTest() { ConfigureLog("log-test", GetParam(), LogLevel::kInfo); }
  ~LogTest() override { ConfigureLog("countersign", LogFormat::kConsole, LogLevel::kInfo); }
  static std::string Said(std::string_view message, std::initializer_list<LogField> fields) {
    ::testing::internal::CaptureStderr();
    LogWarning(message, fields);
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_P(LogTest, AnEventIsOneLineOfPrintableAsciiWhateverItsValuesHold) {
  const std::string line = Said("refused", {{"peer", kHostile}, {"count", 7}});
  ASSERT_FALSE(line.empty());
  EXPECT_EQ(line.back(), '\n');
  EXPECT_TRUE(std::all_of(line.begin(), line.end() - 1, [](char c) {
    return c >= 0x20 && c < 0x7f;
  })) << line;
}

TEST_P(LogTest, WhatIsBelowTheLevelIsNotWritten) {
  ::testing::internal::CaptureStderr();
  LogDebug("detail");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

INSTANTIATE_TEST_SUITE_P(Formats, LogTest, ::testing::Values(LogFormat::kConsole, LogFormat::kJson),
                         [](const auto& row) {
                           return row.param == LogFormat::kJson ? "Json" : "Console";
                         });

class JsonLogTest : public LogTest {};
INSTANTIATE_TEST_SUITE_P(Json, JsonLogTest, ::testing::Values(LogFormat::kJson));

TEST_P(JsonLogTest, ALineIsOneObjectThatGivesEachValueBack) {
  const nlohmann::json line = nlohmann::json::parse(
      Said("refused", {{"peer", std::string_view("a\0\x1b\r\n\"\\", 7)}, {"count", 7}}), nullptr,
      false);
  ASSERT_TRUE(line.is_object());
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["program"], "log-test");
  EXPECT_EQ(line["message"], "refused");
  EXPECT_EQ(line["peer"], std::string("a\0\x1b\r\n\"\\", 7));
  EXPECT_EQ(line["count"], "7");
  EXPECT_TRUE(line.contains("time"));
}

TEST_P(JsonLogTest, BytesThatAreNoUtf8BecomeReplacementCharacters) {
  const nlohmann::json line =
      nlohmann::json::parse(Said("refused", {{"peer", "x\xff\xc3(y"}}), nullptr, false);
  ASSERT_TRUE(line.is_object());
  EXPECT_EQ(line["peer"], "x\uFFFD\uFFFD(y");
}

TEST_P(JsonLogTest, ALongValueIsCutAlsoInTheMiddleOfACharacter) {
  std::string text = "x";
  for (int i = 0; i < 10'000; ++i) {
    text += "\u00e9";
  }
  const std::string said = Said("refused", {{"peer", text}});
  EXPECT_TRUE(nlohmann::json::parse(said, nullptr, false).is_object());
  // Of 4,096 bytes; two of them become the six of an escape.
  EXPECT_LT(said.size(), 3u * 4096u + 200u);
}

TEST(LogOptionsTest, AnUnknownFormatOrLevelIsRefusedWithTheKnownOnes) {
  EXPECT_EQ(*ParseLogFormat("json"), LogFormat::kJson);
  EXPECT_EQ(*ParseLogFormat("console"), LogFormat::kConsole);
  EXPECT_THAT(std::string(Message(ParseLogFormat("xml").status())),
              HasSubstr("\"xml\" (use console or json)"));
  EXPECT_EQ(*ParseLogLevel("error"), LogLevel::kError);
  EXPECT_THAT(std::string(Message(ParseLogLevel("loud").status())),
              HasSubstr("\"loud\" (use debug, info, warning or error)"));
}

}  // namespace
}  // namespace countersign
