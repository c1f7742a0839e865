// Files made to hurt, given to the real program: each ends in an error within a second of processor
// time and 256 MiB, the program itself included.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace countersign::cli {
namespace {

using testing::HasSubstr;

#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr double kSecondsMax = 1.0;
constexpr int64_t kMebibytesMax = 256;
#else  // Without optimisation, or with a sanitizer's shadow memory, only that it ends soon is told.
constexpr double kSecondsMax = 15.0;
constexpr int64_t kMebibytesMax = 4096;
#endif

constexpr size_t kFileBytes = 1 << 20;  // The loader's limit.

constexpr std::string_view kHead =
    "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: shop }\n"
    "spec: { owner: { id: spiffe://td/ana }, scope: { under: spiffe://td } }\n---\n"
    "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
    "spec:\n  appliesTo: all\n  rules:\n";

std::string Repeat(std::string_view part, size_t bytes = kFileBytes) {
  std::string out;
  while (out.size() + part.size() <= bytes) {
    out += part;
  }
  return out;
}

std::string Many(const std::function<std::string(int)>& make, size_t bytes) {
  std::string out;
  for (int i = 0; out.size() < bytes; ++i) {
    out += make(i);
  }
  return out;
}

std::string Rule(std::string_view parts) {
  return Concat(kHead, "    - { name: r, effect: allow, ", parts, " }\n");
}
std::string WithPattern(std::string_view pattern) {
  return Rule(Concat("from: anyone, to: [{ path: { re2: '", pattern, "' } }]"));
}
std::string WithPatterns(const std::function<std::string(int)>& make) {
  std::string paths =
      Many([&](int i) { return Concat("{ re2: '", make(i), "' },\n"); }, kFileBytes - 2000);
  return Rule(Concat("from: anyone, to: [{ path: [", paths, "] }]"));
}

struct Run {
  int exit_code = 0;
  double seconds = 0;
  int64_t mebibytes = 0;
  std::string out;
};

// Runs `countersign policy check PATH` in a process of its own and asks the kernel what it took.
Run Check(const std::string& path, const std::string& output) {
  pid_t child = ::fork();
  if (child == 0) {
    int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execl(COUNTERSIGN_BIN_DIR "/countersign", "countersign", "policy", "check", path.c_str(),
            nullptr);
    ::_exit(127);
  }
  int status = 0;
  rusage usage = {};
  CHECK(child > 0 && ::wait4(child, &status, 0, &usage) == child);
  Run run;
  run.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  run.seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  run.mebibytes = usage.ru_maxrss / 1024;
  run.out = *ReadFile(output, 10 << 20);
  return run;
}

struct Hostile {
  const char* name;
  std::string text;
  const char* finding;
  int exit_code = 1;
};

void ExpectRefusedSoon(const std::vector<Hostile>& table) {
  TempDir dir;
  for (const Hostile& row : table) {
    std::string path = dir.File("set.yaml");
    ASSERT_TRUE(WriteFileAtomically(path, row.text, 0600).ok());
    Run run = Check(path, dir.File("output"));
    EXPECT_EQ(run.exit_code, row.exit_code) << row.name << run.out.substr(0, 2000);
    EXPECT_THAT(run.out, HasSubstr(row.finding)) << row.name;
    EXPECT_LT(run.seconds, kSecondsMax) << row.name;
    EXPECT_LT(run.mebibytes, kMebibytesMax) << row.name;
  }
}

TEST(PolicyHostileTest, TextsThatNest) {
  ExpectRefusedSoon({
      {"open lists", Repeat("["), "of the characters [ ] { } , : in one file"},
      {"open maps", Repeat("{"), "of the characters [ ] { } , : in one file"},
      {"as many open lists as are read", Repeat("[", 399'000), "a key must be a single word"},
      {"as many open maps as are read", Repeat("{", 399'000), "a key must be a single word"},
      {"maps of maps", Repeat("{a: ", 199'000 * 4), "a key must be a single word"},
      {"dashes", Repeat("- "), "nested deeper than 32 levels"},
      {"questions", Repeat("? "), "a key must be a single word"},
      {"indentation",
       [] {
         std::string out;
         for (size_t depth = 0; depth < 1400; ++depth) {
           out += std::string(depth, ' ') + "a:\n";
         }
         return out;
       }(),
       "nested deeper than 32 levels"},
  });
}

TEST(PolicyHostileTest, TextsThatMultiply) {
  std::string bomb = "a: &a [x,x]\n";
  for (char c = 'b'; c <= 'z'; ++c) {
    char before = static_cast<char>(c - 1);
    bomb += Concat(c, ": &", c, " [*", before, ",*", before, "]\n");
  }
  ExpectRefusedSoon({
      {"alias bomb", bomb, "anchors (&name) are not allowed"},
      {"anchors", Repeat("&a "), "not YAML"},
      {"aliases", Repeat("*a "), "not YAML"},
      {"tag directives", Repeat("%TAG !a! b\n"), "not YAML"},
      {"values", "[" + Repeat("a,", kFileBytes - 2) + "]",
       "of the characters [ ] { } , : in one file"},
      {"as many values as are read", "[" + Repeat("a,", 790'000) + "]", "more than 150000 values"},
      {"items", Repeat("- a\n"), "more than 150000 values"},
      {"keys", "{" + Many([](int i) { return Concat("k", i, ": 1,"); }, kFileBytes - 20) + "}",
       "more than 150000 values"},
      {"documents", Repeat("--- a\n"), "more than 1000 documents in one file"},
      {"documents of no kind", Many([](int i) { return Concat("---\nkind: x", i, "\n"); }, 12'000),
       "unknown kind \"x0\""},
      {"sets of one name",
       Repeat(std::string(kHead.substr(0, kHead.find("---"))) + "---\n", 130'000),
       "a set.yaml holds one PolicySet only"},
  });
}

TEST(PolicyHostileTest, TextsThatAreTooLarge) {
  ExpectRefusedSoon({
      {"a hundred mebibytes", std::string(100 << 20, 'a'), "larger than the limit of 1048576", 2},
      {"one value", Repeat("a "), "at most 16384 are allowed"},
      {"one value over many lines", Repeat("a\n "), "at most 16384 are allowed"},
      {"one value of two-byte letters", Repeat("\xc3\xa9"), "at most 16384 are allowed"},
      {"an open quote", "\"" + Repeat("\\n"), "larger than the limit", 2},
      {"an open quote within the limit", "\"" + Repeat("\\n", kFileBytes - 2), "not YAML"},
      {"NUL", std::string("a: \0b", 5), "set.yaml:1:4: control character \"\\x00\""},
      {"only NULs", std::string(kFileBytes, '\0'), "set.yaml:1:1: control character"},
      {"a mebibyte of pattern", WithPattern(std::string(kFileBytes - 2000, 'a')),
       "at most 16384 are allowed"},
  });
}

TEST(PolicyHostileTest, PatternsThatGrow) {
  ExpectRefusedSoon({
      {"repeated repetition", WithPattern("(a{1000}){1000}"), "bad pattern \"(a{1000}){1000}\""},
      {"deep repetition", WithPattern("((((a{30}){30}){30}){30}){30}"), "bad pattern"},
      {"wide repetition", WithPattern(Repeat("[^a]{999}", 900)), "bad pattern"},
      {"many that compile", WithPatterns([](int i) { return Concat("[^a]{999}[^b]{999}", i); }),
       "the patterns of this file together need more than"},
      {"many optional tails", WithPatterns([](int i) { return Concat("[a-z]{1,900}", i); }),
       "the patterns of this file together need more than"},
      {"many of one letter", WithPatterns([](int i) { return Concat("a{1,1000}", i); }),
       "the patterns of this file together need more than"},
      {"many of Unicode classes",
       WithPatterns([](int i) { return Concat("(?i)(\\pL|\\pN|", i, "){1,40}"); }),
       "the patterns of this file together need more than"},
      {"many that fail", WithPatterns([](int i) { return Concat("([^a]{999}", i, "){900}"); }),
       "bad pattern"},
      {"many that do not parse",
       WithPatterns([](int i) { return Concat("(", i, std::string(40, 'a')); }), "bad pattern"},
  });
}

TEST(PolicyHostileTest, RulesThatMultiply) {
  auto entry = [](int i) {
    return Concat("{ id: spiffe://td/a", i, ", peerIp: 10.", i / 65536, ".", i / 256 % 256, ".",
                  i % 256, " },\n");
  };
  std::string entries = Many(entry, 900'000);
  ExpectRefusedSoon({
      {"entries", Rule(Concat("from: [", entries, "]")), "boxes: at most 64"},
      {"exceptions",
       Rule(Concat("from: [{ id: { under: spiffe://td }, except: [", entries, "] }]")),
       "boxes: at most 64"},
      {"errors",
       Concat(kHead, Many([](int i) { return Concat("    - { nam", i, ": r, form: anyone }\n"); },
                          900'000)),
       "unknown key \"nam0\""},
      {"rules of one name",
       Concat(kHead, Repeat("    - { name: r, effect: deny, from: anyone }\n", 900'000)),
       "two of rules have the name \"r\""},
  });
}

}  // namespace
}  // namespace countersign::cli
