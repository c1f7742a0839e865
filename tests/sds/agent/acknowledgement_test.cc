// What an agent acknowledges to the server, and when it does not: received, applied (on disk) and
// taken (by every subscriber whom it concerns).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "tests/sds/agent/config_stream.h"

namespace countersign::agent {
namespace {

constexpr std::string_view kWebId = "spiffe://shop.example/ns/prod/sa/web";
constexpr std::string_view kAsProxy = R"("proxy":{"applicationUid":70011})";

TEST(AcknowledgementTest, EachRevisionIsAcknowledgedAtEachLevel) {
  FakeServer server;
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  for (const char* name : {"one", "two"}) {
    server.Put("Registration", name, RegistrationDocument(name, kWebId));
    EXPECT_TRUE(server.WaitForAck(v1::Ack::RECEIVED, server.revision()));
    EXPECT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
    EXPECT_TRUE(server.WaitForAck(v1::Ack::TAKEN, server.revision()));
  }
}

TEST(AcknowledgementTest, AProxyThatDoesNotAnswerHoldsBackTaken) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId, kAsProxy));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  ConfigStream silent(agent);
  ConfigStream quick(agent);
  silent.Hello("web-1");
  quick.Hello("web-2");
  ASSERT_TRUE(silent.Next());
  ASSERT_TRUE(quick.Next());
  silent.Take(true);
  quick.Take(true);
  ASSERT_TRUE(server.WaitForReport("web-1", true));
  ASSERT_TRUE(server.WaitForReport("web-2", true));

  server.Put("Service", "web", ServiceDocument("web", kWebId, "spiffe://shop.example/x"));
  ASSERT_TRUE(silent.Next());
  ASSERT_TRUE(quick.Next());
  quick.Take(false);
  EXPECT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  ASSERT_TRUE(server.WaitForReport("web-2", false));
  quick.Take(true);
  // This report comes after all that the answer before it could settle.
  ASSERT_TRUE(server.WaitForReport("web-2", true));
  EXPECT_FALSE(server.HasAck(v1::Ack::TAKEN, server.revision()));
  silent.Take(true);
  EXPECT_TRUE(server.WaitForAck(v1::Ack::TAKEN, server.revision()));
}

// SmallDisk is a file system of 256 KiB for an agent's data.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    mounted_ = MakeFolder(path_, 0700).ok() &&
               ::mount("none", path_.c_str(), "tmpfs", 0, "size=256k,mode=0700") == 0;
  }
  ~SmallDisk() { ::umount2(path_.c_str(), MNT_DETACH); }
  bool mounted() const { return mounted_; }
  // Fill leaves no free byte; Empty gives back what Fill took.
  void Fill() const {
    const Fd ballast(::open(Ballast().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string piece(512, 'x');
    while (::write(ballast.get(), piece.data(), piece.size()) > 0) {
    }
    EXPECT_EQ(errno, ENOSPC);
  }
  void Empty() const { EXPECT_EQ(::unlink(Ballast().c_str()), 0); }

 private:
  std::string Ballast() const { return path_ + "/ballast"; }
  const std::string path_;
  bool mounted_ = false;
};

TEST(AcknowledgementTest, WhatAFullDiskDoesNotKeepIsInForceAndAppliedOnlyWhenThereIsRoom) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root: mounts a small file system";
  TempDir folder;
  FakeServer server;
  const SmallDisk disk(folder.File("data"));
  ASSERT_TRUE(disk.mounted());
  RunningAgent agent(server);
  agent.options().data_dir = folder.File("data");
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::TAKEN, server.revision()));

  disk.Fill();
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  EXPECT_TRUE(server.WaitForAck(v1::Ack::RECEIVED, server.revision()));
  SvidStream workload(agent);
  ASSERT_TRUE(workload.Next()) << "workloads are served from memory";
  EXPECT_EQ(workload.response.svids(0).spiffe_id(), kWebId);
  // The request to sign came after the update was put in force, on the same stream as its answers.
  ASSERT_TRUE(server.WaitForSigned("web", 1));
  EXPECT_FALSE(server.HasAck(v1::Ack::APPLIED, server.revision()));
  EXPECT_FALSE(server.HasAck(v1::Ack::TAKEN, server.revision()));

  disk.Empty();
  EXPECT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  EXPECT_TRUE(server.WaitForAck(v1::Ack::TAKEN, server.revision()));
  // And what was applied is there after a restart without the server.
  agent.Stop();
  const Revision last = server.revision();
  ASSERT_TRUE(server.WaitForStreams(0));
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForStreams(1));
  EXPECT_EQ(server.last_hello_had(), last);
}

}  // namespace
}  // namespace countersign::agent
