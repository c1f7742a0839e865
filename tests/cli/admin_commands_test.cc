// The administration verbs against a real server.
#include "cli/admin_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/crypto/hash.h"
#include "base/file.h"
#include "identity/server/server_main.h"
#include "tests/cli/run_countersign.h"
#include "tests/identity/server/documents.h"
#include "tests/support/temp_dir.h"

namespace countersign::cli {
namespace {

using server::RegistrationYaml;
using server::ServiceYaml;
using server::SetYaml;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Outcome {
  int exit_code = kGood;
  std::string out;
  std::string err;
};

// Keeps what is written and refuses more once it holds a word, as a closed terminal does.
class UntilBuffer final : public std::stringbuf {
 public:
  explicit UntilBuffer(std::string word) : word_(std::move(word)) {}

 private:
  std::streamsize xsputn(const char* data, std::streamsize size) override {
    if (str().find(word_) != std::string::npos) {
      return 0;
    }
    return std::stringbuf::xsputn(data, size);
  }
  std::string word_;
};

class AdminCommandsTest : public testing::Test {
 protected:
  void SetUp() override {
    server::ServerOptions options;
    options.trust_domain = "shop.example";
    options.data_dir = folder_.File("data");
    options.listen = "127.0.0.1:0";
    options.admin_socket = socket_;
    auto started = server::Server::Start(options, Clock::System());
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  void RunWith(std::vector<std::string> words, Context& context) {
    CLI::App app("test", "countersign");
    app.require_subcommand(1);
    app.fallthrough();
    AddAdminCommands(app, context);
    std::reverse(words.begin(), words.end());
    try {
      app.parse(words);
    } catch (const CLI::ParseError& error) {
      context.err << error.what();
      context.exit_code = kError;
    }
  }
  Outcome Run(std::vector<std::string> words) {
    std::ostringstream out;
    std::ostringstream err;
    std::istringstream in;
    Context context{.out = out,
                    .err = err,
                    .in = in,
                    .server_socket = socket_,
                    .agent_socket = {},
                    .audit_dir = {}};
    RunWith(std::move(words), context);
    return {context.exit_code, out.str(), err.str()};
  }
  nlohmann::json RunJson(std::vector<std::string> words) {
    words.insert(words.end(), {"-o", "json"});
    Outcome outcome = Run(std::move(words));
    EXPECT_EQ(outcome.exit_code, kGood) << outcome.err;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }
  std::string File(const std::string& yaml) {
    std::string path = folder_.File("given.yaml");
    EXPECT_TRUE(WriteFileAtomically(path, yaml, 0600).ok());
    return path;
  }
  Outcome Apply(const std::string& yaml) { return Run({"apply", "-f", File(yaml)}); }

  TempDir folder_;
  std::string socket_ = folder_.File("admin.sock");
  std::unique_ptr<server::Server> server_;
};

TEST_F(AdminCommandsTest, ApplySaysWhatBecameOfEachDocument) {
  Outcome first = Apply(RegistrationYaml("web") + SetYaml("shop", "/orders/**"));
  EXPECT_EQ(first.exit_code, kGood) << first.err;
  EXPECT_THAT(first.out, AllOf(HasSubstr("registration/web created\n"),
                               HasSubstr("policyset/shop created (version 1, digest ")));
  EXPECT_THAT(Apply(RegistrationYaml("web")).out, HasSubstr("registration/web unchanged"));
  nlohmann::json json = RunJson({"apply", "-f", File(SetYaml("shop", "/**"))});
  EXPECT_EQ(json["changes"][0]["verb"], "configured");
  EXPECT_EQ(json["changes"][0]["version"], 2);
  EXPECT_EQ(json["changes"][0]["digest"].get<std::string>().size(), 64u);
}

TEST_F(AdminCommandsTest, RefusedApplyPrintsEachFindingAtItsPlace) {
  Outcome refused = Apply(SetYaml("shop", "/other/**"));
  EXPECT_EQ(refused.exit_code, kFindings);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("given.yaml:"), HasSubstr("web reads an order"),
                                 HasSubstr("nothing was applied")));
  Outcome broken = Apply("kind: Nonsense\n");
  EXPECT_EQ(broken.exit_code, kFindings);
  EXPECT_THAT(broken.err, HasSubstr("given.yaml:1:"));
  EXPECT_EQ(RunJson({"get", "policysets"})["items"].size(), 0u);
}

TEST_F(AdminCommandsTest, DiffShowsLinesAndItsExitStatusSaysWhetherThereAreAny) {
  Apply(SetYaml("shop", "/orders/**"));
  Outcome same = Run({"diff", "-f", File(SetYaml("shop", "/orders/**"))});
  EXPECT_EQ(same.exit_code, kGood);
  EXPECT_EQ(same.out, "");
  Outcome differs = Run({"diff", "-f", File(SetYaml("shop", "/**"))});
  EXPECT_EQ(differs.exit_code, kFindings);
  EXPECT_THAT(differs.out, AllOf(StartsWith("--- policyset/shop (running)\n"), HasSubstr("\n-"),
                                 HasSubstr("\n+")));
  EXPECT_THAT(differs.err, HasSubstr("compared as text"));
  EXPECT_EQ(RunJson({"get", "policysets"})["items"][0]["metadata"]["version"], 1);
}

TEST_F(AdminCommandsTest, PolicyDiffComparesWithWhatTheServerRuns) {
  Apply(ServiceYaml("orders", "web") + SetYaml("shop", "/orders/**"));
  const auto diff = [&](const std::string& set) {
    return Countersign(Concat("--server-socket ", socket_, " policy diff --running ", File(set)));
  };
  EXPECT_EQ(diff(SetYaml("shop", "/orders/**")).exit_code, 0);
  Result wider = diff(SetYaml("shop", "/**"));
  EXPECT_EQ(wider.exit_code, 1);
  EXPECT_THAT(wider.out, AllOf(StartsWith("newly allowed:\n"), HasSubstr("except under /orders")));
  EXPECT_THAT(diff(SetYaml("shop", "/orders/7")).out,
              AllOf(StartsWith("newly denied:\n"), HasSubstr("(running/shop/")));
  // An apply leaves sets alone that are not among its files.
  EXPECT_EQ(diff(RegistrationYaml("web")).exit_code, 0);
  server_.reset();
  Result nobody = diff(SetYaml("shop", "/**"));
  EXPECT_EQ(nobody.exit_code, 2);
  EXPECT_THAT(nobody.out, HasSubstr(socket_));
}

TEST_F(AdminCommandsTest, DocumentsThatDoNotLoadAreAnErrorOfDiffAndNoneIsAnErrorOfBoth) {
  Outcome broken = Run({"diff", "-f", File("kind: Nonsense\n")});
  EXPECT_EQ(broken.exit_code, kError);
  EXPECT_THAT(broken.err, HasSubstr("given.yaml:1:"));
  for (const char* verb : {"apply", "diff"}) {
    Outcome empty = Run({verb, "-f", File(" \n")});
    EXPECT_EQ(empty.exit_code, kError);
    EXPECT_THAT(empty.err, HasSubstr("no document"));
  }
}

TEST_F(AdminCommandsTest, WhatIsNotThereIsAnError) {
  Outcome proxy = Run({"get", "proxies", "nobody"});
  EXPECT_EQ(proxy.exit_code, kError);
  EXPECT_THAT(proxy.err, HasSubstr("no proxy \"nobody\""));
  EXPECT_EQ(Run({"get", "registration", "nobody"}).exit_code, kError);
}

TEST_F(AdminCommandsTest, WhatCannotBeAskedOfAKindIsSaid) {
  for (const char* kind : {"proxy", "proxies", "bundle"}) {
    Outcome outcome = Run({"delete", kind, "web"});
    EXPECT_EQ(outcome.exit_code, kError);
    EXPECT_THAT(outcome.err, HasSubstr("cannot be deleted; registrations, services"));
  }
  Outcome watched = Run({"get", "agents", "-w"});
  EXPECT_EQ(watched.exit_code, kError);
  EXPECT_THAT(watched.err, HasSubstr("agents cannot be watched"));
  Outcome absent = Run({"get", "agents", "spiffe://shop.example/agent/none"});
  EXPECT_EQ(absent.exit_code, kError);
  EXPECT_THAT(absent.err, HasSubstr("no agent \"spiffe://shop.example/agent/none\" has attested"));
}

TEST_F(AdminCommandsTest, WhatGetPrintsCanBeAppliedAgain) {
  std::string all = RegistrationYaml("orders") + RegistrationYaml("web") +
                    ServiceYaml("orders", "web") + SetYaml("shop", "/orders/**") +
                    SetYaml("other", "/orders/**");
  ASSERT_EQ(Apply(all).exit_code, kGood);
  for (const char* kind : {"registrations", "services", "policysets"}) {
    std::string one = kind == std::string("policysets") ? "shop" : "orders";
    for (const std::string& name : {std::string(), one}) {
      for (const char* format : {"yaml", "json"}) {
        Outcome shown = name.empty() ? Run({"get", kind, "-o", format})
                                     : Run({"get", kind, name, "-o", format});
        ASSERT_EQ(shown.exit_code, kGood) << shown.err;
        std::string path = File(shown.out);
        Outcome again = Run({"diff", "-f", path});
        EXPECT_EQ(again.exit_code, kGood) << shown.out << again.out << again.err;
        Outcome applied = Run({"apply", "-f", path});
        EXPECT_EQ(applied.exit_code, kGood) << applied.err;
        EXPECT_THAT(applied.out, Not(AnyOf(HasSubstr("configured"), HasSubstr("created"))));
        std::istringstream names(Run({"get", kind, "-o", "name"}).out);
        for (std::string known; std::getline(names, known);) {
          bool shown_too = name.empty() || known.ends_with("/" + name);
          EXPECT_EQ(applied.out.find(known + " unchanged") != std::string::npos, shown_too)
              << known;
        }
      }
    }
  }
}

TEST_F(AdminCommandsTest, ListsWithoutDocumentsAreNoDocuments) {
  Outcome proxies = Run({"diff", "-f", File(Run({"get", "proxies", "-o", "json"}).out)});
  EXPECT_EQ(proxies.exit_code, kGood) << proxies.err;  // None is connected: nothing is in the list.
  Outcome agents = Run({"diff", "-f", File(R"([{"id": "spiffe://shop.example/agent/n"}])")});
  EXPECT_EQ(agents.exit_code, kError);
  EXPECT_THAT(agents.err, HasSubstr("required key \"kind\" is missing"));
}

TEST_F(AdminCommandsTest, GetKnowsSingularPluralAndNames) {
  Apply(RegistrationYaml("web") + RegistrationYaml("orders"));
  EXPECT_EQ(Run({"get", "registrations", "-o", "name"}).out,
            "registration/orders\nregistration/web\n");
  EXPECT_THAT(Run({"get", "Registration", "web"}).out,
              AllOf(HasSubstr("NAME"), HasSubstr("spiffe://shop.example/ns/prod/sa/web"),
                    HasSubstr("spiffe://shop.example/agent/node-1")));
  EXPECT_EQ(RunJson({"get", "registration", "web"})["metadata"]["name"], "web");
  EXPECT_EQ(Run({"get", "registration", "none"}).exit_code, kError);
  EXPECT_THAT(Run({"get", "nonsense"}).err, HasSubstr("unknown kind"));
  EXPECT_THAT(Run({"get", "proxies"}).out, HasSubstr("INSTANCE"));
  EXPECT_EQ(RunJson({"agents"})["items"].size(), 0u);
}

TEST_F(AdminCommandsTest, RollbackAndHistory) {
  Apply(SetYaml("shop", "/orders/**"));
  EXPECT_EQ(Run({"rollback", "shop"}).exit_code, kError);
  Apply(SetYaml("shop", "/**"));
  EXPECT_THAT(Run({"rollback", "shop"}).out, HasSubstr("configured (version 3"));
  nlohmann::json history = RunJson({"history", "shop"});
  ASSERT_EQ(history["items"].size(), 3u);
  EXPECT_EQ(history["items"][0]["rollback_of"], 1);
  EXPECT_EQ(history["items"][0]["digest"], history["items"][2]["digest"]);
  EXPECT_THAT(Run({"history", "shop"}).out, HasSubstr("rollback of version 1"));
  EXPECT_THAT(Run({"history", "shop", "-o", "yaml"}).out, HasSubstr("rollback_of: 1"));
}

TEST_F(AdminCommandsTest, DeleteByNameAndByFile) {
  std::string yaml = RegistrationYaml("web") + SetYaml("shop", "/orders/**");
  Apply(yaml);
  EXPECT_EQ(Run({"delete", "registration", "web"}).out, "registration/web deleted\n");
  EXPECT_EQ(Run({"delete", "-f", File(yaml)}).exit_code, kError);  // web is gone: all or nothing.
  EXPECT_EQ(RunJson({"get", "policysets"})["items"].size(), 1u);
  EXPECT_EQ(Run({"delete", "-f", File(SetYaml("shop", "/orders/**"))}).exit_code, kGood);
  EXPECT_EQ(Run({"delete", "registration"}).exit_code, kError);
}

TEST_F(AdminCommandsTest, TokenComesWithTheBundlesPin) {
  nlohmann::json token = RunJson({"token", "generate", "--node", "node-1", "--ttl", "1m"});
  std::string bundle = Run({"bundle", "show", "-o", "json"}).out;
  EXPECT_EQ(token["bundle_sha256"], HexLower(Sha256(bundle)));
  EXPECT_EQ(token["agent_id"], "spiffe://shop.example/agent/node-1");
  EXPECT_THAT(Run({"token", "generate", "--node", "node-1"}).out, HasSubstr("--bundle-sha256"));
  EXPECT_EQ(Run({"token", "generate", "--node", "a/b"}).exit_code, kError);
  EXPECT_EQ(Run({"token", "generate", "--node", "n", "--ttl", "30d"}).exit_code, kError);
}

TEST_F(AdminCommandsTest, WatchShowsChangesUntilItsReaderLeaves) {
  Apply(RegistrationYaml("first"));
  UntilBuffer buffer("second");
  std::ostream out(&buffer);
  std::ostringstream err;
  std::istringstream in;
  Context context{.out = out,
                  .err = err,
                  .in = in,
                  .server_socket = socket_,
                  .agent_socket = {},
                  .audit_dir = {}};
  std::thread administrator([this] {
    Apply(RegistrationYaml("second"));
    Apply(RegistrationYaml("third"));
  });
  RunWith({"get", "registrations", "-w", "-o", "name"}, context);
  administrator.join();
  EXPECT_THAT(buffer.str(), StartsWith("registration/first\nregistration/second"));
}

// What a shell does to ask a script for its choices: bash calls the function, and zsh's
// bashcompinit does so in an emulation of sh.
std::pair<std::string, std::string> Completing(const std::string& shell) {
  if (shell == "bash") {
    return {"", "_countersign"};
  }
  return {"autoload -Uz compinit && compinit -D -u\n",
          "ask() { emulate -L sh; setopt kshglob noshglob braceexpand; _countersign; }\nask"};
}

// By the real script in a real shell, which asks this server.
TEST_F(AdminCommandsTest, CompletionOffersTheNamesThatTheServerHas) {
  Apply(RegistrationYaml("web") + RegistrationYaml("orders") + SetYaml("shop", "/orders/**"));
  for (const auto& [words, offered] :
       std::vector<std::pair<std::string, std::string>>{{"get registration ", "orders\nweb\n"},
                                                        {"get registrations w", "web\n"},
                                                        {"delete registration o", "orders\n"},
                                                        {"history ", "shop\n"},
                                                        {"get nonsense ", "\n"}}) {
    for (const std::string shell : {"bash", "zsh"}) {
      auto [before, ask] = Completing(shell);
      std::string command = COUNTERSIGN_BIN_DIR "/countersign";
      std::string script = folder_.File("complete.sh");
      ASSERT_TRUE(WriteFileAtomically(script,
                                      Concat(before, "source <(", command, " completion ", shell,
                                             ")\nCOMP_LINE='", command, " --server-socket ",
                                             socket_, " ", words, "'\nCOMP_POINT=${#COMP_LINE}\n",
                                             ask, "\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"),
                                      0600)
                      .ok());
      FILE* pipe =
          ::popen(Concat(shell == "bash" ? "bash -eu " : "zsh -f ", script, " 2>&1").c_str(), "r");
      ASSERT_NE(pipe, nullptr);
      std::string out;
      for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
        out += static_cast<char>(c);
      }
      EXPECT_EQ(::pclose(pipe), 0) << shell;
      EXPECT_EQ(out, offered) << shell << ": " << words;
    }
  }
}

TEST_F(AdminCommandsTest, MissingServerIsASentence) {
  server_.reset();
  Outcome outcome = Run({"agents"});
  EXPECT_EQ(outcome.exit_code, kError);
  EXPECT_THAT(outcome.err, HasSubstr("is countersign-server running"));
  socket_.clear();
  EXPECT_THAT(Run({"agents"}).err, HasSubstr("COUNTERSIGN_SERVER_SOCKET"));
}

}  // namespace
}  // namespace countersign::cli
