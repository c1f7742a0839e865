// What `get proxies` and `get agents` print of a row, short and wide.
#include "cli/admin_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace countersign::cli {
namespace {

constexpr const char* kDigest = "8b299d07bbbeb24651bcb6fb452616e43b06d2499419690047b8844b8caf0534";

v1::ProxyStatus OrdersProxy() {
  v1::ProxyStatus proxy;
  proxy.set_instance("orders-1");
  proxy.set_workload_id("spiffe://shop.example/ns/prod/sa/orders");
  proxy.set_agent_id("spiffe://shop.example/agent/node-1");
  proxy.set_pid(4711);
  proxy.set_ready(true);
  proxy.set_svid_serial("9163e08e02415b8bf6306f11993638d1");
  proxy.set_svid_expires_unix_ms(1'700'000'000'000);
  proxy.set_seen_unix_ms(1'600'000'000'000);
  v1::SetDigest* digest = proxy.add_acknowledged();
  digest->set_set("shop");
  digest->set_version(3);
  digest->set_digest(kDigest);
  return proxy;
}

// The lines of a table, each with its runs of spaces as one.
std::vector<std::string> Lines(const std::string& table) {
  std::vector<std::string> lines;
  std::istringstream in(table);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string joined;
    for (std::string word; words >> word;) {
      joined += (joined.empty() ? "" : " ") + word;
    }
    lines.push_back(joined);
  }
  return lines;
}

std::vector<std::string> Proxies(const std::vector<v1::ProxyStatus>& proxies, OutputFormat format) {
  std::ostringstream out;
  EXPECT_TRUE(PrintProxies(out, proxies, format).ok());
  return Lines(out.str());
}

TEST(AdminOutputTest, AProxysRowHasTheDigestOfItsPolicyAndTheSerialOfItsSvid) {
  EXPECT_THAT(Proxies({OrdersProxy()}, OutputFormat::kTable),
              testing::ElementsAre("INSTANCE WORKLOAD READY POLICY SVID EXPIRES",
                                   "orders-1 spiffe://shop.example/ns/prod/sa/orders yes "
                                   "shop@3:8b299d07bbbe 9163e08e0241 2023-11-14T22:13:20.000Z"));
}

TEST(AdminOutputTest, JsonIsPrintableAsciiWhateverAProxySaid) {
  v1::ProxyStatus hostile = OrdersProxy();
  // A CSI of one character, an override of the writing direction, DEL and ESC.
  const std::string said =
      "x\xc2\x9b"
      "31m\xe2\x80\xae\x7f\x1b[2J";
  hostile.set_refused(said);
  std::ostringstream out;
  ASSERT_TRUE(PrintProxies(out, {hostile}, OutputFormat::kJson).ok());
  const std::string text = out.str();
  EXPECT_THAT(text, testing::HasSubstr("x\\u009b31m\\u202e\\u007f\\u001b[2J"));
  EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\n' || (c >= 0x20 && c < 0x7f);
  })) << Quoted(text, 4000);
}

TEST(AdminOutputTest, WideShowsThemWholeWithTheAgentAndWhatWasRefused) {
  v1::ProxyStatus refusing = OrdersProxy();
  refusing.set_refused("port 1 is held");
  EXPECT_THAT(Proxies({OrdersProxy(), refusing}, OutputFormat::kWide),
              testing::ElementsAre(
                  "INSTANCE WORKLOAD READY POLICY SVID EXPIRES AGENT PID SEEN REFUSED",
                  Concat("orders-1 spiffe://shop.example/ns/prod/sa/orders yes shop@3:", kDigest,
                         " 9163e08e02415b8bf6306f11993638d1 2023-11-14T22:13:20.000Z ",
                         "spiffe://shop.example/agent/node-1 4711 2020-09-13T12:26:40.000Z -"),
                  testing::EndsWith("2020-09-13T12:26:40.000Z port 1 is held")));
}

TEST(AdminOutputTest, AProxyThatHasNothingYetShowsDashes) {
  v1::ProxyStatus proxy;
  proxy.set_instance("web");
  proxy.set_workload_id("spiffe://shop.example/ns/prod/sa/web");
  EXPECT_THAT(Proxies({proxy}, OutputFormat::kTable),
              testing::ElementsAre(testing::_,
                                   testing::StartsWith("web spiffe://shop.example/ns/prod/sa/web "
                                                       "no -")));
}

TEST(AdminOutputTest, AnAgentsRowHasEachRevisionThatItAcknowledged) {
  v1::AgentStatus agent;
  agent.set_id("spiffe://shop.example/agent/node-1");
  agent.set_connected(true);
  agent.set_svid_expires_unix_ms(1'700'000'000'000);
  uint64_t n = 9;
  for (v1::Revision* revision : {agent.mutable_sent(), agent.mutable_received(),
                                 agent.mutable_applied(), agent.mutable_taken()}) {
    revision->set_term(2);
    revision->set_n(n--);
  }
  v1::AgentStatus silent;
  silent.set_id("spiffe://shop.example/agent/node-2");
  for (OutputFormat format : {OutputFormat::kTable, OutputFormat::kWide}) {
    std::ostringstream out;
    ASSERT_TRUE(PrintAgents(out, {agent, silent}, format).ok());
    EXPECT_THAT(
        Lines(out.str()),
        testing::ElementsAre(
            "AGENT CONNECTED SVID EXPIRES SENT RECEIVED APPLIED TAKEN",
            "spiffe://shop.example/agent/node-1 yes 2023-11-14T22:13:20.000Z 2.9 2.8 2.7 2.6",
            "spiffe://shop.example/agent/node-2 no - - - - -"));
  }
}

}  // namespace
}  // namespace countersign::cli
