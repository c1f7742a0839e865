#include "cli/audit_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/audit/log_fixture.h"

namespace countersign::cli {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;
using audit::SampleDecision;

class AuditCommandsTest : public audit::LogFixture {
 protected:
  void SetUp() override {
    auto log = Open();
    vkey_ = log->verifier().ToString();
    Add(*log, 30);
  }
  struct Result {
    int code = 0;
    std::string out;
    std::string err;
  };
  Result Run(std::vector<std::string> arguments) {
    std::ostringstream out;
    std::ostringstream err;
    std::istringstream in;
    Context context{out, err, in, kGood, "", "", folder_};
    CLI::App app("test");
    AddAuditCommands(app, context);
    arguments.insert(arguments.begin(), "audit");
    std::reverse(arguments.begin(), arguments.end());
    app.parse(arguments);
    return {context.exit_code, out.str(), err.str()};
  }
  std::string vkey_;
};

TEST_F(AuditCommandsTest, SearchPrintsAJsonArrayOrATable) {
  Result found = Run({"search", "--effect", "deny", "--limit", "3", "-o", "json"});
  ASSERT_EQ(found.code, kGood) << found.err;
  Json json = Json::parse(found.out);
  ASSERT_EQ(json.size(), 3U);
  EXPECT_EQ(json[2]["decision_id"], audit::DecisionIdText(IdOf(29)));
  EXPECT_EQ(Json::parse(Run({"search", "--effect", "allow", "-o", "json"}).out).size(), 0U);
  found = Run({"search"});
  EXPECT_THAT(found.out, HasSubstr("CALLER"));
  EXPECT_THAT(found.out, HasSubstr("DELETE /orders/7"));
}

TEST_F(AuditCommandsTest, WrongQuestionsAreRefusedWithTheRightWords) {
  Result result = Run({"search", "--effect", "maybe"});
  EXPECT_EQ(result.code, kError);
  EXPECT_THAT(result.err, HasSubstr("allow or deny"));
  EXPECT_THAT(Run({"search", "--reason", "because"}).err, HasSubstr("no_rule_matched"));
  EXPECT_THAT(Run({"search", "--since", "yesterday"}).err, HasSubstr("15m"));
  EXPECT_THAT(Run({"explain", "12"}).err, HasSubstr("32 lower-case hex digits"));
  result = Run({"explain", std::string(32, '0')});
  EXPECT_EQ(result.code, kError);
  EXPECT_THAT(result.err, HasSubstr("no decision"));
}

// An answer of nothing is a proof, so a value that no record can hold gets none.
TEST_F(AuditCommandsTest, AValueThatNoRecordCanHoldIsRefusedAndNotSearched) {
  const std::array<std::array<const char*, 3>, 14> kRows = {{
      {"--rule", "nobody-purges", "--rule is set/policy/rule"},
      {"--rule", "orders/nobody-purges", "not \"orders/nobody-purges\""},
      {"--rule", "shop//nobody-purges", "set/policy/rule"},
      {"--rule", "/orders/nobody-purges", "set/policy/rule"},
      {"--rule", "shop/orders/", "set/policy/rule"},
      {"--rule", "a/b/c/d", "set/policy/rule"},
      {"--caller", "web", "--caller: SPIFFE ID \"web\" must begin with spiffe://"},
      {"--caller", "spiffe://shop.example/ns/prod/sa/", "or - for none"},
      {"--callee", "orders", "--callee: SPIFFE ID \"orders\" must begin with spiffe://"},
      {"--path", "orders", "--path \"orders\" must begin with /"},
      {"--path", "/orders/*", "'*' in \"/orders/*\" is no pattern: give what stands before it"},
      {"--path", "/orders/{id}", "'{' in"},
      {"--path", "/orders?x=1", "query and fragment are not recorded"},
      {"--path", "*", "must begin with /"},
  }};
  for (const auto& [option, value, said] : kRows) {
    Result result = Run({"search", option, value});
    EXPECT_EQ(result.code, kError) << value;
    EXPECT_EQ(result.out, "") << value;
    EXPECT_THAT(result.err, HasSubstr(said)) << value;
  }
}

TEST_F(AuditCommandsTest, WhatARecordHoldsIsFound) {
  for (const auto& [option, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"--rule", "shop/orders/nobody-purges"},
           {"--caller", "spiffe://shop.example/ns/prod/sa/web"},
           {"--callee", "spiffe://shop.example/ns/prod/sa/orders"},
           {"--path", "/orders/"}}) {
    EXPECT_EQ(Json::parse(Run({"search", option, value, "-o", "json"}).out).size(), 30U) << value;
  }
  Result none = Run({"search", "--caller", "-"});
  EXPECT_EQ(none.code, kGood);
  EXPECT_EQ(none.err, "no decision matches\n");
}

TEST_F(AuditCommandsTest, ASearchThatTheLimitCutsSaysOfHowMany) {
  Result cut = Run({"search", "--limit", "7"});
  EXPECT_EQ(std::ranges::count(cut.out, '\n'), 8);
  EXPECT_EQ(cut.err, "7 newest of 30; see --limit, --since\n");
  EXPECT_EQ(Run({"search", "--limit", "29", "-o", "json"}).err,
            "29 newest of 30; see --limit, --since\n");
  EXPECT_EQ(Run({"search", "--limit", "30"}).err, "");
  EXPECT_EQ(Run({"search"}).err, "");
}

TEST_F(AuditCommandsTest, ALimitThatIsNoneIsRefusedAsItWasGiven) {
  for (const char* limit : {"-1", "0", "100001"}) {
    Result result = Run({"search", "--limit", limit});
    EXPECT_EQ(result.code, kError) << limit;
    EXPECT_THAT(result.err, HasSubstr(Concat("--limit is 1 to 100000, not ", limit, ";")));
  }
}

// The way out of the caller's proxy and the verdict of the callee's: one request, two records, in
// the log in whatever order the rings were drained.
TEST_F(AuditCommandsTest, ATableShowsTheListenerAndIsInTheOrderOfTime) {
  std::filesystem::remove_all(folder_);
  auto log = Open();
  SampleDecision verdict(2);
  SampleDecision way_out(1);
  way_out.record.listener = "outbound";
  way_out.record.time_ns -= 5'000'000;
  way_out.record.effect = authz::Effect::kAllow;
  way_out.record.reason = authz::Reason::kLocalCaller;
  way_out.record.rule = {};
  log->Append({kRing, 1}, audit::EncodeToString(verdict.record));
  log->Append({kRing, 2}, audit::EncodeToString(way_out.record));
  ASSERT_TRUE(log->Commit().ok());
  Result found = Run({"search"});
  ASSERT_EQ(found.code, kGood) << found.err;
  std::istringstream lines(found.out);
  std::string head;
  std::string first;
  std::string second;
  std::getline(lines, head);
  std::getline(lines, first);
  std::getline(lines, second);
  EXPECT_THAT(head, HasSubstr("EFFECT  LISTENER  CALLER"));
  EXPECT_THAT(first, testing::AllOf(HasSubstr("allow   outbound"), HasSubstr("local_caller")));
  EXPECT_THAT(second, testing::AllOf(HasSubstr("deny    http"), HasSubstr("nobody-purges")));
  Json json = Json::parse(Run({"search", "-o", "json"}).out);
  EXPECT_LT(json[0]["time"], json[1]["time"]);
}

TEST_F(AuditCommandsTest, ExplainSpeaksOfTheRuleTheVersionAndTheNearestAllow) {
  Result result = Run({"explain", audit::DecisionIdText(IdOf(7))});
  ASSERT_EQ(result.code, kGood) << result.err;
  EXPECT_THAT(result.out, HasSubstr("Denied: no rule matched"));
  EXPECT_THAT(result.out, HasSubstr("shop version 3"));
  Json json = Json::parse(Run({"explain", audit::DecisionIdText(IdOf(7)), "-o", "json"}).out);
  EXPECT_EQ(json["nearest_miss"]["rule"], "shop/orders/storefront-reads");
}

TEST_F(AuditCommandsTest, AProofIsCheckedWithoutTheLog) {
  Result proof = Run({"show", audit::DecisionIdText(IdOf(7)), "--proof"});
  ASSERT_EQ(proof.code, kGood) << proof.err;
  std::string path = dir_.File("7.tlog-proof");
  ASSERT_TRUE(WriteFileAtomically(path, proof.out, 0600).ok());
  std::filesystem::remove_all(folder_);
  Result checked = Run({"verify", "--proof", path, "--vkey", vkey_});
  ASSERT_EQ(checked.code, kGood) << checked.err;
  EXPECT_EQ(Json::parse(checked.out)["connection_id"], 7);
  proof.out[proof.out.find("extra ") + 40] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(path, proof.out, 0600).ok());
  EXPECT_NE(Run({"verify", "--proof", path, "--vkey", vkey_}).code, kGood);
}

TEST_F(AuditCommandsTest, VerifyPassesAndAfterOneFlippedByteNamesTheRecord) {
  Result good = Run({"verify", "--vkey", vkey_});
  EXPECT_EQ(good.code, kGood) << good.out;
  EXPECT_THAT(good.out, HasSubstr("30 decisions"));
  std::string name = BundleName(audit::kEntriesLevel, 0);
  std::string bundle = Read(name);
  bundle[bundle.size() / 2] = static_cast<char>(bundle[bundle.size() / 2] ^ 1);
  Write(name, bundle);
  Result bad = Run({"verify"});
  EXPECT_EQ(bad.code, kFindings);
  EXPECT_THAT(bad.out, HasSubstr("FAILED: record 1"));
  EXPECT_THAT(bad.out, HasSubstr("decision d001"));
  EXPECT_EQ(Json::parse(Run({"verify", "-o", "json"}).out)["good"], false);
}

// Exit status 1 says that a log was altered: where none is, there is nothing to say it of.
TEST_F(AuditCommandsTest, VerifyOfAFolderWithoutALogIsWrongUse) {
  std::filesystem::remove_all(folder_);
  for (const char* state : {"absent", "empty"}) {
    Result result = Run({"verify"});
    EXPECT_EQ(result.code, kError) << state;
    EXPECT_EQ(result.out, "") << state;
    EXPECT_THAT(result.err, HasSubstr(Concat("no audit log can be seen in ", folder_))) << state;
    std::filesystem::create_directory(folder_);
  }
}

TEST_F(AuditCommandsTest, VerifyOfALogThatLostAPartIsAFinding) {
  for (const char* lost : {"log.vkey", "checkpoint"}) {
    std::filesystem::remove(Path(lost));
    Result result = Run({"verify"});
    EXPECT_EQ(result.code, kFindings) << lost << result.err;
    EXPECT_THAT(result.out, HasSubstr("FAILED")) << lost;
  }
}

TEST_F(AuditCommandsTest, VerifyNamesTheRingsWhoseRecordsAreMissing) {
  {
    auto log = Open();
    std::string opened =
        Concat("ring w0 of pid 7 uid 70012", audit::kRingIdIn, "07070700000000000000000000000000");
    log->AppendOwn(audit::EncodeToString(
        audit::EventRecord{audit::EventKind::kRingOpened, 1, "", "", opened, {}}));
    log->Append({kRing, 31}, audit::EncodeToString(audit::GapRecord{42, 1, 2}));
    ASSERT_TRUE(log->Commit().ok());
  }
  Result good = Run({"verify"});
  EXPECT_EQ(good.code, kGood) << good.out;
  EXPECT_THAT(good.out, HasSubstr("42 known missing"));
  EXPECT_THAT(good.out, HasSubstr("missing: 42 by 1 gap records of ring w0 of pid 7 uid 70012, id "
                                  "07070700000000000000000000000000\n"));
  Json ring = Json::parse(Run({"verify", "-o", "json"}).out)["missing_by_ring"][0];
  EXPECT_EQ(ring["missing"], 42);
  EXPECT_EQ(ring["owner"], "ring w0 of pid 7 uid 70012");
}

TEST_F(AuditCommandsTest, NothingThatACallerSentReachesTheTerminalAsItIs) {
  // C1 controls (a CSI of one character), an override of the writing direction, DEL, ESC, and bytes
  // that are no UTF-8.
  const std::string hostile =
      "/\xc2\x9b"
      "31m\xe2\x80\xae\x7f\x1b[2J\xff";
  audit::DecisionId id = IdOf(1000);
  {
    auto log = Open();
    audit::SampleDecision sample;
    sample.record.id = id;
    sample.record.path = sample.record.caller = sample.record.host = hostile;
    log->Append({kRing, 1001}, audit::EncodeToString(sample.record));
    ASSERT_TRUE(log->Commit().ok());
  }
  const std::string name = audit::DecisionIdText(id);
  for (const std::vector<std::string>& verb : {std::vector<std::string>{"show", name},
                                               {"show", name, "-o", "json"},
                                               {"explain", name},
                                               {"explain", name, "-o", "json"},
                                               {"search"},
                                               {"search", "-o", "wide"},
                                               {"search", "-o", "json"},
                                               {"export"}}) {
    Result result = Run(verb);
    ASSERT_EQ(result.code, kGood) << result.err;
    EXPECT_THAT(result.out, HasSubstr("31m")) << verb[0];
    EXPECT_TRUE(std::all_of(result.out.begin(), result.out.end(),
                            [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7f); }))
        << verb[0] << (verb.size() > 1 ? verb.back() : "") << ": " << Quoted(result.out, 4000);
  }
}

TEST_F(AuditCommandsTest, ExportPrintsEveryRecordOnALine) {
  std::istringstream lines(Run({"export"}).out);
  std::string line;
  size_t count = 0;
  while (std::getline(lines, line)) {
    EXPECT_EQ(Json::parse(line)["index"], count++);
  }
  EXPECT_EQ(count, 30U);
}

}  // namespace
}  // namespace countersign::cli
