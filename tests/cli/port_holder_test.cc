// Who listens, with real listeners; and what `countersign doctor -f` makes of it.
#include "cli/host/port_holder.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/fd.h"
#include "base/file.h"
#include "cli/doctor/host_checks.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace countersign::cli {
namespace {

using doctor::Finding;
using doctor::Findings;
using doctor::Health;
using host::HolderOf;
using host::PortHolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

// A listener on a port that the kernel chooses.
struct Listener {
  Fd fd;
  uint16_t port = 0;
};
Listener ListenOn(const std::string& ip) {
  bool six = ip.find(':') != std::string::npos;
  sockaddr_storage storage = {};
  auto* four = reinterpret_cast<sockaddr_in*>(&storage);
  auto* long_one = reinterpret_cast<sockaddr_in6*>(&storage);
  storage.ss_family = six ? AF_INET6 : AF_INET;
  void* to = six ? static_cast<void*>(&long_one->sin6_addr) : static_cast<void*>(&four->sin_addr);
  CHECK(::inet_pton(storage.ss_family, ip.c_str(), to) == 1);
  socklen_t size = six ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  Listener out{Fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)), 0};
  CHECK(::bind(out.fd.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0);
  CHECK(::listen(out.fd.get(), 1) == 0);
  CHECK(::getsockname(out.fd.get(), reinterpret_cast<sockaddr*>(&storage), &size) == 0);
  out.port = ntohs(six ? long_one->sin6_port : four->sin_port);
  return out;
}
std::string At(const std::string& ip, uint16_t port) { return Concat(ip, ":", port); }

TEST(PortHolderTest, AListenerIsFoundByItsAddressAndNoOther) {
  Listener mine = ListenOn("127.0.0.1");
  std::optional<PortHolder> holder = HolderOf(At("127.0.0.1", mine.port));
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->pid, ::getpid());
  EXPECT_EQ(holder->uid, ::geteuid());
  EXPECT_EQ(holder->dev_up, 0);
  EXPECT_FALSE(holder->every_address);
  EXPECT_EQ(host::Describe(*holder),
            Concat("cli_host_test (pid ", ::getpid(), ", uid ", ::geteuid(), ")"));
  EXPECT_TRUE(HolderOf(At("0.0.0.0", mine.port)).has_value());
  EXPECT_FALSE(HolderOf(At("127.0.0.2", mine.port)).has_value());
  EXPECT_FALSE(HolderOf(At("[::1]", mine.port)).has_value());
  uint16_t port = mine.port;
  mine.fd.Reset();
  EXPECT_FALSE(HolderOf(At("127.0.0.1", port)).has_value());
}

TEST(PortHolderTest, AWildcardHoldsEveryAddressOfItsPort) {
  Listener four = ListenOn("0.0.0.0");
  Listener six = ListenOn("::1");
  std::optional<PortHolder> holder = HolderOf(At("127.0.0.1", four.port));
  ASSERT_TRUE(holder.has_value());
  EXPECT_TRUE(holder->every_address);
  EXPECT_TRUE(HolderOf(At("[::1]", six.port)).has_value());
  EXPECT_TRUE(HolderOf(At("[::]", six.port)).has_value());
  EXPECT_FALSE(HolderOf(At("[::2]", six.port)).has_value());
}

TEST(PortHolderTest, WhatIsNoAddressIsHeldByNobody) {
  for (const char* text : {"", ":", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
                           "127.0.0.1:80x", "127.0.0.1:99999", "unix:/run/x"}) {
    EXPECT_FALSE(HolderOf(text).has_value()) << text;
    EXPECT_FALSE(host::IsLoopback(text)) << text;
  }
  PortHolder unseen;
  unseen.uid = 7;
  EXPECT_EQ(host::Describe(unseen), "a process of uid 7");
}

TEST(PortHolderTest, LoopbackIsTheWholeNetworkAndOneAddressOfIpv6) {
  EXPECT_TRUE(host::IsLoopback("127.0.0.1:1"));
  EXPECT_TRUE(host::IsLoopback("127.255.0.9:1"));
  EXPECT_TRUE(host::IsLoopback("[::1]:1"));
  EXPECT_FALSE(host::IsLoopback("128.0.0.1:1"));
  EXPECT_FALSE(host::IsLoopback("[::2]:1"));
  EXPECT_FALSE(host::IsLoopback("0.0.0.0:1"));
}

class DoctorDocumentsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeFolder(folder_.File("sys/net/ipv4"), 0755).ok());
    ASSERT_TRUE(MakeFolder(folder_.File("app"), 0710).ok());
    StatusOr<Fd> fd = ListenUnix(folder_.File("app/app.sock"), 0660);
    ASSERT_TRUE(fd.ok()) << fd.status();
    application_socket_ = *std::move(fd);
    SetFirstPort("1024\n");
    listen_ = At("127.0.0.1", FreePort());
    reach_ = At("127.0.0.1", FreePort());
    application_ = "unix:" + folder_.File("app/app.sock");
  }
  static uint16_t FreePort() { return ListenOn("127.0.0.1").port; }
  void SetFirstPort(const std::string& text) {
    ASSERT_TRUE(
        WriteFileAtomically(folder_.File("sys/net/ipv4/ip_unprivileged_port_start"), text, 0644)
            .ok());
  }
  Findings Look() const {
    std::string text = Concat(
        "apiVersion: countersign.dev/v1alpha1\nkind: Registration\nmetadata: { name: web }\nspec:\n"
        "  id: spiffe://a.example/web\n  nodes: [{ id: spiffe://a.example/agent/n }]\n"
        "  selectors: { unix: { ",
        selector_, " } }\n  proxy: { applicationUid: ", application_uid_, " }\n---\n",
        "apiVersion: countersign.dev/v1alpha1\nkind: Service\nmetadata: { name: web }\nspec:\n"
        "  workload: { id: spiffe://a.example/web }\n"
        "  ports: [{ name: http, protocol: http, listen: '",
        listen_, "', application: '", application_,
        "' }]\n  endpoints: ['10.0.0.1:8443']\n"
        "  reach: [{ from: [{ id: spiffe://a.example/b }], listen: '",
        reach_, "', port: http }]\n");
    std::vector<authz::SourceFile> files = {{"f.yaml", text}};
    authz::LoadResult loaded = authz::Load(files);
    EXPECT_TRUE(loaded.ok()) << text;
    return doctor::CheckDocuments(loaded, folder_.path());
  }
  std::string Said(const std::string& check) const {
    std::string said;
    for (const Finding& finding : Look()) {
      if (finding.check == check && finding.health != Health::kGood) {
        EXPECT_NE(finding.mend, "");
        said += Concat(finding.health == Health::kBad ? "bad: " : "warning: ", finding.what, "; ",
                       finding.mend);
      }
    }
    return said;
  }

  TempDir folder_;
  Fd application_socket_;
  std::string listen_, reach_, application_;
  std::string selector_ = "uid: 70020";
  std::string application_uid_ = "70010";
};

TEST_F(DoctorDocumentsTest, AGoodHostHasNoFinding) {
  Findings findings = Look();
  EXPECT_EQ(findings.size(), 5u);
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.health, Health::kGood) << finding.check << ": " << finding.what;
  }
}

TEST_F(DoctorDocumentsTest, APortThatAnotherProgramHoldsIsNamedWithIt) {
  Listener taken = ListenOn("127.0.0.1");
  listen_ = At("127.0.0.1", taken.port);
  EXPECT_THAT(Said("port.listen"),
              AllOf(StartsWith(Concat("bad: service/web port http: ", listen_,
                                      " is in use by cli_host_test (pid ", ::getpid())),
                    HasSubstr("stop it, or change the Service")));
  std::swap(listen_, reach_);
  EXPECT_THAT(Said("port.listen"), StartsWith("bad: service/web reach: "));
}

TEST_F(DoctorDocumentsTest, APortThatAProxyHoldsIsWhatItIsFor) {
  std::string program = folder_.File("countersign-proxy");
  std::filesystem::copy_file(std::filesystem::canonical("/usr/bin/python3"), program);
  auto child =
      ChildProcess::Start({program, "-c",
                           "import socket,sys,time\ns=socket.create_server(('127.0.0.1',0))\n"
                           "print('at', s.getsockname()[1], 'end', flush=True)\ntime.sleep(600)"},
                          folder_.File("log"));
  ASSERT_NE(child, nullptr);
  ASSERT_TRUE(child->WaitForLog("end", 10s)) << child->Log();
  listen_ = Concat("127.0.0.1:", std::stoi(child->Log().substr(3)));
  EXPECT_EQ(HolderOf(listen_)->pid, child->pid());
  EXPECT_EQ(Said("port.listen"), "");
}

TEST_F(DoctorDocumentsTest, AnApplicationThatCanBeReachedPastItsProxyIsNamed) {
  application_ = At("127.0.0.1", FreePort());
  EXPECT_THAT(Said("application.port"),
              AllOf(StartsWith("warning: service/web port http: every process of this host"),
                    HasSubstr("past the policy"), HasSubstr("unix:/run/NAME/app.sock")));
  Listener everywhere = ListenOn("0.0.0.0");
  application_ = At("127.0.0.1", everywhere.port);
  EXPECT_THAT(Said("application.port"),
              AllOf(StartsWith("bad: "), HasSubstr("listens on every address")));
  application_ = "10.0.0.9:8080";
  EXPECT_THAT(Said("application.port"), AllOf(StartsWith("bad: "), HasSubstr("over the network")));
}

TEST_F(DoctorDocumentsTest, AnApplicationsSocketThatEveryUserReachesIsBad) {
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(folder_.File("app").c_str(), 0711), 0);
  EXPECT_THAT(Said("application.socket"),
              AllOf(StartsWith("bad: "), HasSubstr("every user may enter"), HasSubstr("0710")));
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0700), 0);  // A closed folder above is enough.
  EXPECT_EQ(Said("application.socket"), "");
  application_ = "unix:" + folder_.File("app/none.sock");
  EXPECT_THAT(Said("application.socket"),
              AllOf(StartsWith("warning: "), HasSubstr("start the application")));
}

TEST_F(DoctorDocumentsTest, OneUserForApplicationAndProxyIsBad) {
  application_uid_ = "70020";
  EXPECT_THAT(Said("application.user"),
              AllOf(StartsWith("bad: registration/web: application and proxy are both uid 70020"),
                    HasSubstr("a user of its own")));
  application_uid_ = "70010";
  selector_ = Concat("uid: ", ::geteuid());  // Whose the application's socket really is.
  EXPECT_THAT(Said("application.user"),
              AllOf(StartsWith("bad: service/web"), HasSubstr("the user of its proxy")));
  Listener mine = ListenOn("127.0.0.1");
  application_ = At("127.0.0.1", mine.port);
  EXPECT_THAT(Said("application.user"), StartsWith("bad: service/web"));
  selector_ = "path: /usr/bin/countersign-proxy";
  EXPECT_THAT(Said("application.user"),
              AllOf(StartsWith("warning: "), HasSubstr("spec.selectors.unix.uid")));
}

TEST_F(DoctorDocumentsTest, APortOfThePrivilegedIsAWarning) {
  listen_ = "127.0.0.1:443";
  EXPECT_THAT(
      Said("port.privileged"),
      AllOf(StartsWith("warning: "), HasSubstr("CAP_NET_BIND_SERVICE"), HasSubstr("from 1024 on")));
  SetFirstPort("443\n");
  EXPECT_EQ(Said("port.privileged"), "");
}

}  // namespace
}  // namespace countersign::cli
