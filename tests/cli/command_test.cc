#include "cli/command.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <regex>
#include <sstream>

#include "tests/cli/run_countersign.h"

namespace countersign::cli {
namespace {

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

TEST(CommandTest, WrongUseIsASentenceWithTheNearestWord) {
  const std::pair<const char*, const char*> kRows[] = {
      {"", "error: a verb is missing: one of get, apply, diff, "},
      {"gett proxies",
       "error: unknown verb \"gett\" (did you mean \"get\"?); see countersign --help\n"},
      {"audit",
       "error: a verb is missing: one of search, show, explain, verify, export; "
       "see countersign audit --help\n"},
      {"audit serch",
       "error: unknown verb \"serch\" (did you mean \"search\"?); "
       "see countersign audit --help\n"},
      {"token no-such-verb",
       "error: unknown verb \"no-such-verb\"; see countersign token --help\n"},
      {"get", "error: kind is required; see countersign get --help\n"},
      {"get proxies --wach",
       "error: unknown option \"--wach\" (did you mean \"--watch\"?); "
       "see countersign get --help\n"},
      {"get proxies a b", "error: unexpected word \"b\"; see countersign get --help\n"},
      {"apply -f", "error: --file: 1 required TEXT missing; see countersign apply --help\n"},
      {"completion fish",
       "error: shell: fish not in {bash,zsh}; see countersign completion --help\n"},
      {"get a b \"$(printf '\\033[2J')\"", "error: unexpected word \"\\x1b[2J\""},
  };
  for (const auto& [words, said] : kRows) {
    Result result = Countersign(words);
    EXPECT_EQ(result.exit_code, 2) << words;
    EXPECT_EQ(result.out.substr(0, std::strlen(said)), said) << words;
  }
}

// The help itself names the verbs: every one of them, down to those that do something.
std::vector<std::string> VerbsBelow(const std::string& verb) {
  std::vector<std::string> out;
  std::istringstream lines(Countersign(verb + " --help").out);
  bool verbs = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "Subcommands:") {
      verbs = true;
    } else if (verbs && line.starts_with("  ")) {
      std::string name = verb + " " + line.substr(2, line.find(' ', 2) - 2);
      std::vector<std::string> below = VerbsBelow(name);
      out.insert(out.end(), below.begin(), below.end());
    } else {
      verbs = false;
    }
  }
  return out.empty() ? std::vector<std::string>{verb} : out;
}

TEST(CommandTest, EveryVerbHasAnExampleInItsHelp) {
  std::vector<std::string> verbs = VerbsBelow("");
  EXPECT_GE(verbs.size(), 24u);
  for (const std::string& verb : verbs) {
    Result help = Countersign(verb + " --help");
    EXPECT_EQ(help.exit_code, 0) << verb;
    EXPECT_NE(help.out.find("Example"), std::string::npos) << verb;
    EXPECT_NE(help.out.find("countersign" + verb), std::string::npos) << verb;
  }
}

// What a shell would offer at the end of a line, one word a line. zsh's bashcompinit calls the
// function in an emulation of sh.
std::string Offered(const std::string& shell, const std::string& line) {
  bool zsh = shell == "zsh";
  std::string script = Concat(
      zsh ? "autoload -Uz compinit && compinit -D -u; " : "", "source <(", COUNTERSIGN_BIN_DIR,
      "/countersign completion ", shell, "); ask() { ",
      zsh ? "emulate -L sh; setopt kshglob noshglob braceexpand; " : "COMP_WORDBREAKS=' :'; ",
      "_countersign; }; COMP_LINE='", line,
      "'; COMP_POINT=${#COMP_LINE}; ask; printf '%s\\n' \"${COMPREPLY[@]}\"");
  FILE* pipe = ::popen(Concat(zsh ? "zsh -fc '" : "bash -euc '",
                              std::regex_replace(script, std::regex("'"), "'\\''"), "' 2>&1")
                           .c_str(),
                       "r");
  CHECK(pipe != nullptr);
  std::string out;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    out += static_cast<char>(c);
  }
  EXPECT_EQ(::pclose(pipe), 0) << line;
  return out;
}

TEST(CommandTest, CompletionOffersVerbsOptionsAndKinds) {
  EXPECT_EQ(Countersign("completion bash | bash -n").exit_code, 0);
  EXPECT_EQ(Countersign("completion zsh | zsh -n").exit_code, 0);
  const std::pair<const char*, const char*> kRows[] = {
      {"countersign ge", "get\n"},
      {"countersign de", "delete\ndev\n"},
      {"countersign dev ", "up\n"},
      {"countersign policy import ", "istio\n"},
      {"countersign policy import istio --trust", "--trust-domain\n--trust-domain-alias\n"},
      {"countersign audit ex", "explain\nexport\n"},
      {"countersign explain PolicyT", "PolicyTest\n"},
      {"countersign get p", "policysets\nproxies\n"},
      {"countersign --server-socket /x get p", "policysets\nproxies\n"},
      {"countersign get -o json p", "policysets\nproxies\n"},
      {"countersign get -o j", "json\n"},
      {"countersign get --w", "--watch\n"},
      {"countersign delete r", "registration\nroute\n"},
      {"countersign dev up --k", "--keep\n"},
      {"countersign completion ", "bash\nzsh\n"},
      {"countersign audit search --effect ", "allow\ndeny\n"},
      {"countersign svid write --signal U", "USR1\nUSR2\n"},
      {"countersign apply -f ", "\n"},  // The shell's own: files.
      {"countersign --server-socket /nonexistent get registrations ", "\n"},
  };
  for (const auto& [line, offered] : kRows) {
    EXPECT_EQ(Offered("bash", line), offered) << line;
    EXPECT_EQ(Offered("zsh", line), offered) << line;
  }
}

TEST(CommandTest, DoctorNamesAMissingSocketAndHowToMendIt) {
  Result result = Countersign("--server-socket /nonexistent/admin.sock doctor -o json");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.out.find("/nonexistent/admin.sock is not there"), std::string::npos);
  EXPECT_NE(result.out.find("start countersign-server"), std::string::npos);
}

}  // namespace
}  // namespace countersign::cli
