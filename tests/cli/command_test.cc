#include "cli/command.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <sstream>

namespace countersign::cli {
namespace {

struct Result {
  int exit_code = 0;
  std::string out;
};

// Runs the real command through the shell; both streams together.
Result Countersign(const std::string& words) {
  std::string line = Concat(COUNTERSIGN_BIN_DIR, "/countersign ", words, " 2>&1");
  FILE* pipe = ::popen(line.c_str(), "r");
  CHECK(pipe != nullptr);
  Result result;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    result.out += static_cast<char>(c);
  }
  result.exit_code = WEXITSTATUS(::pclose(pipe));
  return result;
}

TEST(CommandTest, TableAlignsColumnsAndEscapesWhatAPeerSent) {
  Table table({"NAME", "STATE"});
  table.AddRow({"web", "ready"});
  table.AddRow({"evil\x1b[2J", "x"});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(), "NAME         STATE\nweb          ready\nevil\\x1b[2J  x\n");
}

// Terminals take more than the control bytes of ASCII for commands or for a change of direction.
TEST(CommandTest, WhatATerminalCouldObeyIsEscaped) {
  EXPECT_EQ(EscapeForTerminal("a\x7f\r\n"), "a\\x7f\\x0d\\x0a");
  EXPECT_EQ(EscapeForTerminal("\xc2\x9b"
                              "2J"),
            "\\xc2\\x9b2J");
  EXPECT_EQ(EscapeForTerminal("\xe2\x80\xaegpj"), "\\xe2\\x80\\xaegpj");
  std::ostringstream out;
  std::ostringstream err;
  Context context{out, err, std::cin, kGood, "", "", ""};
  context.Fail(InvalidArgument("first\x1b[2J\nsecond\x9b"));
  EXPECT_EQ(err.str(), "error: first\\x1b[2J\nsecond\\x9b\n");
}

TEST(CommandTest, OutputThatDidNotArriveIsAnError) {
  for (const char* words : {"explain accesspolicy", "--help", "completion bash"}) {
    EXPECT_EQ(Countersign(Concat(words, " >/dev/full")).exit_code, 2) << words;
    EXPECT_EQ(Countersign(words).exit_code, 0) << words;
  }
}

TEST(CommandTest, OutputFormatsAreKnownByName) {
  EXPECT_EQ(*ParseOutputFormat("json"), OutputFormat::kJson);
  EXPECT_EQ(*ParseOutputFormat(""), OutputFormat::kTable);
  EXPECT_FALSE(ParseOutputFormat("xml").ok());
}

TEST(CommandTest, HelpIsGoodAndWrongUseIsTwo) {
  EXPECT_EQ(Countersign("--help").exit_code, 0);
  EXPECT_EQ(Countersign("").exit_code, 2);
  EXPECT_EQ(Countersign("no-such-verb").exit_code, 2);
  EXPECT_EQ(Countersign("dev up --no-such-flag").exit_code, 2);
}

TEST(CommandTest, CompletionIsAScriptThatBashReads) {
  EXPECT_EQ(Countersign("completion bash | bash -n").exit_code, 0);
  EXPECT_NE(Countersign("completion bash").out.find("\"dev\") words=\"up "), std::string::npos);
}

TEST(CommandTest, DoctorNamesAMissingSocketAndHowToMendIt) {
  Result result = Countersign("--server-socket /nonexistent/admin.sock doctor -o json");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.out.find("/nonexistent/admin.sock is not there"), std::string::npos);
  EXPECT_NE(result.out.find("start countersign-server"), std::string::npos);
}

}  // namespace
}  // namespace countersign::cli
