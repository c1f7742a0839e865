// Each finding of `countersign doctor` on a host that was prepared badly, and none on a good one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <sstream>

#include "base/crypto/base64.h"
#include "base/file.h"
#include "cli/doctor/host_checks.h"
#include "cli/doctor/kernel_checks.h"
#include "identity/certificate_authority.h"
#include "tests/support/temp_dir.h"

namespace countersign::cli::doctor {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using namespace std::chrono_literals;

// "" if the check is good; else "bad: what; mend". CHECKs that the check was made.
std::string Said(const Findings& findings, const std::string& check) {
  std::string good = "not looked at";
  for (const Finding& finding : findings) {
    if (finding.check != check) {
      continue;
    }
    if (finding.health != Health::kGood) {
      EXPECT_THAT(finding.mend, Not(IsEmpty())) << finding.what;
      return Concat(finding.health == Health::kBad ? "bad: " : "warning: ", finding.what, "; ",
                    finding.mend);
    }
    good = "";
  }
  return good;
}

// What CheckKernel finds in a child process that `prepare` has made worse.
Findings KernelAfter(const std::function<void()>& prepare, const std::string& proc) {
  std::array<int, 2> ends = {};
  CHECK(::pipe(ends.data()) == 0);
  pid_t child = ::fork();
  if (child == 0) {
    prepare();
    std::string text;
    for (const Finding& one : CheckKernel(proc)) {
      text += Concat(one.check, "\t", static_cast<int>(one.health), "\t", one.what, "\t", one.mend,
                     "\n");
    }
    ssize_t written = ::write(ends[1], text.data(), text.size());
    ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> block = {};
  for (ssize_t got = 0; (got = ::read(ends[0], block.data(), block.size())) > 0;) {
    text.append(block.data(), static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  Findings out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream cells(line);
    Finding one;
    std::string health;
    std::getline(cells, one.check, '\t');
    std::getline(cells, health, '\t');
    std::getline(cells, one.what, '\t');
    std::getline(cells, one.mend);
    one.health = static_cast<Health>(std::atoi(health.c_str()));
    out.push_back(std::move(one));
  }
  return out;
}

// Has the kernel refuse a system call from here on; with `argument` only if that argument has that
// value.
struct Refused {
  uint32_t call = 0;
  int argument = -1;
  uint32_t value = 0;
};
void Refuse(const Refused& refused) {
  auto offset = static_cast<uint32_t>(offsetof(seccomp_data, args) +
                                      8 * static_cast<size_t>(std::max(refused.argument, 0)));
  bool any = refused.argument < 0;
  std::array<sock_filter, 7> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused.call, 0, 4),
      BPF_STMT(BPF_JMP | BPF_JA, any ? 2u : 0u),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused.value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog whole = {static_cast<uint16_t>(program.size()), program.data()};
  CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) == 0);
}

class DoctorKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      FAIL() << "this test becomes other users and mounts file systems: run it as root";
    }
    SetScope("1\n");
  }
  void SetScope(const std::string& value) {
    ASSERT_TRUE(MakeFolder(proc_.File("sys/kernel/yama"), 0755).ok());
    ASSERT_TRUE(WriteFileAtomically(proc_.File("sys/kernel/yama/ptrace_scope"), value, 0644).ok());
  }
  Findings Without(const Refused& refused) {
    return KernelAfter([&] { Refuse(refused); }, proc_.path());
  }
  TempDir proc_;
};

TEST_F(DoctorKernelTest, AGoodKernelHasNoFinding) {
  Findings findings = KernelAfter([] {}, proc_.path());
  for (const char* check :
       {"user", "kernel.sock_diag", "kernel.memfd", "kernel.ptrace", "limits.files"}) {
    EXPECT_EQ(Said(findings, check), "") << check;
  }
  EXPECT_THAT(Said(findings, "kernel.pidfd"), Not(HasSubstr("bad")));  // Before 6.5 a warning.
  EXPECT_THAT(Said(findings, "kernel.passed_descriptors"), Not(HasSubstr("bad")));  // Before 6.16.
  EXPECT_EQ(findings.size(), 8u);
}

TEST_F(DoctorKernelTest, WhatTheKernelRefusesIsNamed) {
  EXPECT_THAT(Said(Without({SYS_pidfd_open}), "kernel.pidfd"),
              AllOf(HasSubstr("bad: pidfd_open does not work"), HasSubstr("seccomp")));
  EXPECT_THAT(Said(Without({SYS_socketpair}), "kernel.pidfd"),
              HasSubstr("bad: no Unix socket pair"));
  EXPECT_THAT(Said(Without({SYS_getsockopt, 2, 77}), "kernel.pidfd"),
              HasSubstr("warning: SO_PEERPIDFD is missing"));
  EXPECT_THAT(Said(Without({SYS_setsockopt, 2, 83}), "kernel.passed_descriptors"),
              AllOf(HasSubstr("warning: SO_PASSRIGHTS is missing"), HasSubstr("Linux 6.16")));
  EXPECT_THAT(Said(Without({SYS_socket, 0, AF_NETLINK}), "kernel.sock_diag"),
              AllOf(HasSubstr("bad: sock_diag is missing"), HasSubstr("inet_diag")));
  EXPECT_THAT(Said(Without({SYS_memfd_create}), "kernel.memfd"),
              HasSubstr("bad: memfd_create with seals does not work"));
}

TEST_F(DoctorKernelTest, AClockThatNobodyKeepsIsAWarning) {
  Findings silent = KernelAfter(
      [] {  // Which of both the C library uses is its own affair.
        Refuse({SYS_adjtimex});
        Refuse({SYS_clock_adjtime});
      },
      proc_.path());
  EXPECT_THAT(Said(silent, "clock.synchronised"), HasSubstr("warning: the kernel does not say"));
  EXPECT_THAT(Said({JudgeClock({TIME_ERROR, 0})}, "clock.synchronised"),
              AllOf(HasSubstr("warning: the kernel's clock is not"), HasSubstr("NTP")));
  EXPECT_THAT(Said({JudgeClock({TIME_OK, STA_UNSYNC})}, "clock.synchronised"),
              HasSubstr("warning: the kernel's clock is not"));
  EXPECT_EQ(Said({JudgeClock({TIME_OK, 0})}, "clock.synchronised"), "");
}

TEST_F(DoctorKernelTest, SettingsAndLimitsThatAreTooWideOrTooSmallAreWarnings) {
  SetScope("0\n");
  EXPECT_THAT(Said(KernelAfter([] {}, proc_.path()), "kernel.ptrace"),
              AllOf(HasSubstr("warning: "), HasSubstr("sysctl kernel.yama.ptrace_scope=1")));
  Findings few = KernelAfter(
      [] {
        rlimit limit = {1024, 1024};
        CHECK(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
      },
      proc_.path());
  EXPECT_THAT(Said(few, "limits.files"),
              AllOf(HasSubstr("warning: at most 1024"), HasSubstr("LimitNOFILE=16384")));
  Findings nobody = KernelAfter([] { CHECK(::seteuid(65534) == 0); }, proc_.path());
  EXPECT_THAT(Said(nobody, "user"),
              AllOf(HasSubstr("warning: looked at as uid 65534"), HasSubstr("run as root")));
}

class DoctorFoldersTest : public DoctorKernelTest {
 protected:
  void SetUp() override {
    DoctorKernelTest::SetUp();
    for (const char* name : {"server", "agent", "audit/private", "data/ca", "agent-data/svids"}) {
      ASSERT_TRUE(MakeFolder(File(name), 0700).ok());
    }
    Chmod("agent", 0711);
    Chmod("audit", 0750);
    server_ = Listen("server/admin.sock", 0600);
    agent_ = Listen("agent/agent.sock", 0666);
    Begin(now_);
    Write("data/server.key", 0600);
    Write("audit/private/signing-key.pem", 0600);
  }
  std::string File(const std::string& name) const { return folder_.File(name); }
  void Chmod(const std::string& name, mode_t mode) {
    ASSERT_EQ(::chmod(File(name).c_str(), mode), 0) << name;
  }
  Fd Listen(const std::string& name, mode_t mode) {
    StatusOr<Fd> fd = ListenUnix(File(name), mode);
    EXPECT_TRUE(fd.ok()) << fd.status();
    return fd.ok() ? *std::move(fd) : Fd();
  }
  void Write(const std::string& name, mode_t mode, const std::string& text = "x") {
    ASSERT_TRUE(WriteFileAtomically(File(name), text, mode).ok());
  }
  // An authority of a week that begins then; its certificate serves as the agent's, too.
  void Begin(WallTime then) {
    auto domain = identity::TrustDomain::Parse("a.example");
    auto made = identity::CertificateAuthority::CreateSelfSigned(*domain, 168h, then);
    ASSERT_TRUE(made.ok()) << made.status();
    ASSERT_TRUE(made->Save(File("data/ca")).ok());
    Write("agent-data/agent.svid", 0600,
          Concat(R"({"chain": [")", Base64Encode(made->certificate_der()), R"("]})"));
  }
  Findings Look() const {
    return CheckFolders({File("server/admin.sock"), File("agent/agent.sock"), File("audit"),
                         File("data"), File("agent-data")},
                        now_);
  }
  std::string SaidOf(const std::string& check) const { return Said(Look(), check); }

  TempDir folder_;
  WallTime now_ = Clock::System().Now();
  Fd server_;
  Fd agent_;
};

TEST_F(DoctorFoldersTest, AGoodHostHasNoFinding) {
  Findings findings = Look();
  EXPECT_EQ(findings.size(), 12u);
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.health, Health::kGood) << finding.check << ": " << finding.what;
  }
  EXPECT_THAT(CheckFolders({}, now_), IsEmpty());
}

TEST_F(DoctorFoldersTest, ASocketThatIsAbsentDeadOrOpenIsNamed) {
  Chmod("server/admin.sock", 0660);
  EXPECT_THAT(SaidOf("server.socket"), HasSubstr("bad: " + File("server/admin.sock") +
                                                 " may be opened by other users; chmod 0600"));
  Chmod("agent/agent.sock", 0660);
  EXPECT_THAT(SaidOf("agent.socket"), HasSubstr("chmod 0666"));
  server_.Reset();
  Chmod("server/admin.sock", 0600);
  EXPECT_THAT(SaidOf("server.socket"), HasSubstr("see whether countersign-server runs"));
  std::filesystem::remove(File("server/admin.sock"));
  EXPECT_THAT(SaidOf("server.socket"), HasSubstr("is not there; start countersign-server"));
  Write("server/admin.sock", 0600);
  EXPECT_THAT(SaidOf("server.socket"), HasSubstr("is not a socket; give the right path"));
  std::filesystem::remove_all(File("agent"));
  EXPECT_THAT(SaidOf("agent.socket"), HasSubstr("start countersign-agent"));
  EXPECT_THAT(SaidOf("agent.folder"), HasSubstr("bad: " + File("agent") + " is not there"));
}

TEST_F(DoctorFoldersTest, AFolderWhereOthersMayPutASocketIsBad) {
  for (mode_t mode : {0777u, 0731u, 0713u, 01777u}) {
    Chmod("agent", mode);
    EXPECT_THAT(SaidOf("agent.folder"), AllOf(HasSubstr("bad: "), HasSubstr("chmod go-w"))) << mode;
  }
  Chmod("agent", 0710);
  EXPECT_THAT(
      SaidOf("agent.folder"),
      AllOf(HasSubstr("bad: "), HasSubstr("lets no other user through"), HasSubstr("chmod 0711")));
  Chmod("server", 0702);
  EXPECT_THAT(SaidOf("server.folder"), HasSubstr("bad: "));
}

TEST_F(DoctorFoldersTest, KeysThatOthersMayReadAreNamedWithTheCommandThatMends) {
  Chmod("data/server.key", 0640);
  EXPECT_THAT(SaidOf("server.keys"), HasSubstr("bad: " + File("data/server.key") +
                                               " is open to other users; chmod 0600 "));
  Chmod("data/server.key", 0600);
  ASSERT_EQ(::chown(File("data/server.key").c_str(), 65534, 65534), 0);
  EXPECT_THAT(SaidOf("server.keys"),
              AllOf(HasSubstr("belongs to uid 65534"), HasSubstr("chown 0")));
  Chmod("data", 0750);
  EXPECT_THAT(SaidOf("server.keys"), HasSubstr("chmod 0700"));
  Write("agent-data/svids/x.svid", 0644);
  EXPECT_THAT(SaidOf("agent.keys"), HasSubstr("x.svid is open to other users"));
  Chmod("audit/private/signing-key.pem", 0604);
  EXPECT_THAT(SaidOf("audit.keys"), HasSubstr("signing-key.pem is open to other users"));
  std::filesystem::remove_all(File("agent-data"));
  EXPECT_THAT(SaidOf("agent.keys"), HasSubstr("is not a folder; give the program's --data-dir"));
}

TEST_F(DoctorFoldersTest, AFolderOfMoreFilesThanAreLookedAtIsAWarning) {
  for (size_t i = 0; i <= DoctorLimits::kFilesMax; ++i) {
    Fd made(::creat(File(Concat("agent-data/svids/", i)).c_str(), 0600));
  }
  EXPECT_THAT(SaidOf("agent.keys"), HasSubstr("warning: more than 10000 files"));
}

TEST_F(DoctorFoldersTest, AnAuditLogThatOthersReadAndAFullOrReadOnlyDiskAreNamed) {
  Chmod("audit", 0755);
  EXPECT_THAT(SaidOf("audit.folder"), AllOf(HasSubstr("bad: "), HasSubstr("chmod 0750")));
  Chmod("audit", 0750);
  ASSERT_EQ(::mount("none", File("audit").c_str(), "tmpfs", 0, "size=1m,mode=0750"), 0);
  EXPECT_THAT(SaidOf("audit.space"), AllOf(HasSubstr("warning: only "), HasSubstr("make room")));
  ASSERT_EQ(::umount(File("audit").c_str()), 0);
  ASSERT_EQ(::mount("none", File("data").c_str(), "tmpfs", MS_RDONLY, "mode=0700"), 0);
  EXPECT_THAT(SaidOf("server.space"), HasSubstr("mounted read-only; mount it writable"));
  ASSERT_EQ(::umount(File("data").c_str()), 0);
  std::filesystem::remove_all(File("audit"));
  EXPECT_THAT(SaidOf("audit.folder"), HasSubstr("is not a folder; give the folder"));
  EXPECT_THAT(SaidOf("audit.space"), HasSubstr("cannot be looked at"));
}

TEST_F(DoctorFoldersTest, AnAuthorityAndAnSvidThatEndSoonOrHaveEndedAreNamed) {
  Begin(now_ - 140h);  // A week has 168 hours; a fifth are 33.
  for (const char* check : {"server.authority", "agent.svid"}) {
    EXPECT_THAT(SaidOf(check), AllOf(HasSubstr("warning: "), HasSubstr("ends soon, at "),
                                     HasSubstr("countersign token generate --node NAME")));
  }
  Begin(now_ - 169h);
  EXPECT_THAT(SaidOf("server.authority"), AllOf(HasSubstr("bad: "), HasSubstr("ended at ")));
  EXPECT_THAT(SaidOf("agent.svid"), AllOf(HasSubstr("bad: "), HasSubstr("ended at ")));
  Begin(now_ + 1h);
  EXPECT_THAT(SaidOf("server.authority"),
              AllOf(HasSubstr("bad: "), HasSubstr("begins at "), HasSubstr("set the clock")));
  Write("data/ca/authority.pem", 0600, "nonsense");
  EXPECT_THAT(SaidOf("server.authority"), HasSubstr("bad: no authority can be read"));
  Write("agent-data/agent.svid", 0600, R"({"chain": []})");
  EXPECT_THAT(SaidOf("agent.svid"), HasSubstr("holds no certificate"));
  std::filesystem::remove(File("agent-data/agent.svid"));
  EXPECT_THAT(SaidOf("agent.svid"), HasSubstr("bad: the agent has no SVID"));
}

}  // namespace
}  // namespace countersign::cli::doctor
