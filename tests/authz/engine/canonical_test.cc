// Canonical values: what each spelling becomes, and what is refused.
#include "authz/engine/canonical.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace countersign::authz {
namespace {

struct PathResult {
  CanonicalError error;
  std::string path;
  std::string query;
};

PathResult Path(std::string_view target, PathRelaxations relaxations = {}) {
  std::vector<char> buffer(target.size());
  CanonicalTarget result = CanonicalizePath(target, relaxations, buffer);
  return {result.error, std::string(result.path), std::string(result.query)};
}

PathRelaxations Allow(PathRelaxation relaxation) {
  PathRelaxations relaxations;
  relaxations.Allow(relaxation);
  return relaxations;
}

struct HostResult {
  CanonicalError error;
  std::string host;
  uint16_t port;
};

HostResult Host(std::string_view value) {
  std::array<char, kHostBufferBytes> buffer;
  CanonicalHost result = CanonicalizeHost(value, buffer);
  return {result.error, std::string(result.host), result.port};
}

struct Row {
  const char* name;
  std::string_view input;
  std::string_view expected;
};

TEST(CanonicalPathTest, R1EverySpellingOfAPathBecomesOne) {
  const Row kRows[] = {
      {"plain", "/a/b", "/a/b"},
      {"root", "/", "/"},
      {"double slash", "/a//b", "/a/b"},
      {"leading double slash", "//a", "/a"},
      {"only slashes", "///", "/"},
      {"trailing slash stays", "/a/b/", "/a/b/"},
      {"trailing slashes become one", "/a//", "/a/"},
      {"single dot", "/a/./b", "/a/b"},
      {"double dot", "/a/x/../b", "/a/b"},
      {"dot at the end", "/a/.", "/a/"},
      {"double dot at the end", "/a/b/..", "/a/"},
      {"above the root", "/../a", "/a"},
      {"far above the root", "/a/../../../b", "/b"},
      {"to the root", "/a/..", "/"},
      {"three dots are a name", "/a/.../b", "/a/.../b"},
      {"dots in a name", "/a/..b/.c", "/a/..b/.c"},
      {"escaped dots", "/a/%2e%2E/b", "/b"},
      {"half escaped dots", "/a/.%2e/b", "/b"},
      {"unreserved decoded", "/%61%41%7e%2D%5f%30", "/aA~-_0"},
      {"others in upper case", "/%c3%a9%2b", "/%C3%A9%2B"},
      {"an escaped percent stays escaped", "/%252e%252e/a", "/%252e%252e/a"},
      {"slashes before dots", "/a//../b", "/b"},
      {"an escaped query mark is a byte of the path", "/a%3fb", "/a%3Fb"},
      {"an escaped fragment mark too", "/a%23b", "/a%23b"},
  };
  for (const Row& row : kRows) {
    PathResult result = Path(row.input);
    EXPECT_EQ(result.error, CanonicalError::kNone) << row.name;
    EXPECT_EQ(result.path, row.expected) << row.name;
    EXPECT_EQ(Path(result.path).path, result.path) << row.name << ": not idempotent";
  }
}

TEST(CanonicalPathTest, R1AmbiguousBytesAreRefused) {
  struct {
    std::string_view target;
    CanonicalError error;
  } const kRows[] = {
      {"", CanonicalError::kEmpty},
      {"a", CanonicalError::kNotAbsolute},
      {"*", CanonicalError::kNotAbsolute},
      {"http://x/a", CanonicalError::kNotAbsolute},
      {"/a%2fb", CanonicalError::kEncodedSlash},
      {"/a%2Fb", CanonicalError::kEncodedSlash},
      {"/a%5cb", CanonicalError::kEncodedBackslash},
      {"/a%00", CanonicalError::kEncodedNul},
      {"/a\\b", CanonicalError::kBackslash},
      {"/a;v=1", CanonicalError::kSemicolon},
      {"/..;/admin", CanonicalError::kSemicolon},
      {"/\xc3\xa9", CanonicalError::kHighByte},
      {"/\xff", CanonicalError::kHighByte},
      {"/a b", CanonicalError::kControlByte},
      {"/a\x7f", CanonicalError::kControlByte},
      {"/a\nb", CanonicalError::kControlByte},
      {std::string_view("/a\0b", 4), CanonicalError::kControlByte},
      {"/a?b c", CanonicalError::kControlByte},
      {"/%", CanonicalError::kBadEscape},
      {"/%4", CanonicalError::kBadEscape},
      {"/%4g", CanonicalError::kBadEscape},
      {"/%zz", CanonicalError::kBadEscape},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(Path(row.target).error, row.error) << row.target;
  }
}

TEST(CanonicalPathTest, R2AFragmentIsRefusedAnywhere) {
  for (std::string_view target : {"/a#b", "/#", "/a?b#c", "/admin#/../public", "#"}) {
    EXPECT_NE(Path(target).error, CanonicalError::kNone) << target;
  }
  EXPECT_EQ(Path("/a#b").error, CanonicalError::kFragment);
  EXPECT_EQ(Path("/a?b#c").error, CanonicalError::kFragment);
}

TEST(CanonicalPathTest, SetsTheQueryApart) {
  PathResult result = Path("/a/../b?c=%2F..;/d?e");
  EXPECT_EQ(result.path, "/b");
  EXPECT_EQ(result.query, "c=%2F..;/d?e");
  std::array<char, 8> buffer;
  EXPECT_TRUE(CanonicalizePath("/a?", {}, buffer).has_query);
  EXPECT_FALSE(CanonicalizePath("/a", {}, buffer).has_query);
}

TEST(CanonicalPathTest, ARelaxationLetsInItsOneThingUndecoded) {
  struct {
    std::string_view name;
    std::string_view target;
    std::string_view expected;
  } const kRows[] = {
      {"encoded-slash", "/a%2fb/../c", "/c"}, {"encoded-backslash", "/a%5cb", "/a%5Cb"},
      {"encoded-nul", "/a%00", "/a%00"},      {"backslash", "/a\\b", "/a\\b"},
      {"semicolon", "/a;v=1", "/a;v=1"},      {"high-byte", "/\xc3\xa9", "/\xc3\xa9"},
  };
  for (const auto& row : kRows) {
    StatusOr<PathRelaxation> relaxation = ParsePathRelaxation(row.name);
    ASSERT_TRUE(relaxation.ok()) << row.name;
    EXPECT_NE(Path(row.target).error, CanonicalError::kNone) << row.name;
    EXPECT_EQ(Path(row.target, Allow(*relaxation)).path, row.expected) << row.name;
    for (const auto& other : kRows) {
      if (other.name != row.name) {
        EXPECT_NE(Path(other.target, Allow(*relaxation)).error, CanonicalError::kNone)
            << row.name << " lets in " << other.name;
      }
    }
  }
  EXPECT_FALSE(ParsePathRelaxation("everything").ok());
}

TEST(CanonicalPathTest, RefusesBeyondItsLimits) {
  std::string longest = "/" + std::string(CanonicalLimits::kPathBytesMax - 1, 'a');
  EXPECT_EQ(Path(longest).error, CanonicalError::kNone);
  EXPECT_EQ(Path(longest + "a").error, CanonicalError::kTooLong);
  std::array<char, 2> small;
  EXPECT_EQ(CanonicalizePath("/abc", {}, small).error, CanonicalError::kBufferTooSmall);
}

TEST(CanonicalHostTest, R3EverySpellingOfAHostBecomesOne) {
  struct {
    std::string_view value;
    std::string_view host;
    uint16_t port;
  } const kRows[] = {
      {"secret.com", "secret.com", 0},
      {"Secret.COM", "secret.com", 0},
      {"secret.com.", "secret.com", 0},
      {"secret.com:443", "secret.com", 443},
      {"SECRET.com.:8443", "secret.com", 8443},
      {"127.0.0.1:80", "127.0.0.1", 80},
      {"[::1]", "[::1]", 0},
      {"[2001:DB8:0:0::1]:443", "[2001:db8::1]", 443},
      {"my_service-1", "my_service-1", 0},
      {"x:65535", "x", 65535},
      {"[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]", 0},
  };
  for (const auto& row : kRows) {
    HostResult result = Host(row.value);
    EXPECT_EQ(result.error, CanonicalError::kNone) << row.value;
    EXPECT_EQ(result.host, row.host) << row.value;
    EXPECT_EQ(result.port, row.port) << row.value;
    EXPECT_EQ(Host(result.host).host, result.host) << row.value << ": not idempotent";
  }
}

TEST(CanonicalHostTest, R3OddHostsAreRefused) {
  for (std::string_view value : {"",
                                 ".",
                                 "..",
                                 "a..",
                                 ".a",
                                 "a..b",
                                 "a b",
                                 "a/b",
                                 "a@b",
                                 "user@host",
                                 "a\\b",
                                 "a%2eb",
                                 "\xc3\xa9.com",
                                 "a,b",
                                 "*",
                                 "a:",
                                 "a:0",
                                 "a:080",
                                 "a:65536",
                                 "a:99999999",
                                 "a:8x",
                                 "a:-1",
                                 "a:1:2",
                                 "[::1",
                                 "::1",
                                 "[]",
                                 "[::1]x",
                                 "[::1]:",
                                 "[fe80::1%eth0]",
                                 "[1.2.3.4]",
                                 "[::g]"}) {
    EXPECT_NE(Host(value).error, CanonicalError::kNone) << value;
  }
  EXPECT_NE(Host(std::string_view("a\0b", 3)).error, CanonicalError::kNone);
  EXPECT_NE(Host(std::string_view("[::1\0]", 6)).error, CanonicalError::kNone);
  EXPECT_EQ(Host(std::string(255, 'a')).error, CanonicalError::kNone);
  EXPECT_EQ(Host(std::string(256, 'a')).error, CanonicalError::kTooLong);
  EXPECT_EQ(Host(std::string(400, 'a')).error, CanonicalError::kTooLong);
}

struct Pair {
  std::string name;
  std::string value;
  bool operator==(const Pair&) const = default;
};

std::vector<Pair> Query(std::string_view query, CanonicalError expected = CanonicalError::kNone) {
  std::vector<char> bytes(query.size());
  std::array<NameValue, CanonicalLimits::kQueryParametersMax> out;
  ParsedQuery result = ParseQuery(query, bytes, out);
  EXPECT_EQ(result.error, expected) << query;
  std::vector<Pair> pairs;
  for (const NameValue& one : result.parameters) {
    pairs.push_back({std::string(one.name), std::string(one.value)});
  }
  return pairs;
}

TEST(CanonicalSniTest, HasOneSpelling) {
  EXPECT_EQ(CanonicalSni("Orders.SHOP."), "orders.shop");
  EXPECT_EQ(CanonicalSni("orders"), "orders");
  EXPECT_EQ(CanonicalSni(""), "");
  EXPECT_EQ(CanonicalSni("a_B:80"), "a_b:80");
}

TEST(CanonicalQueryTest, DecodesParametersInOrder) {
  EXPECT_EQ(Query("a=1&b=2"), (std::vector<Pair>{{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(Query("a=1=2&b"), (std::vector<Pair>{{"a", "1=2"}, {"b", ""}}));
  EXPECT_EQ(Query("a+b=%26%3D+%2f"), (std::vector<Pair>{{"a b", "&= /"}}));
  EXPECT_EQ(Query("&&a=1&"), (std::vector<Pair>{{"a", "1"}}));
  EXPECT_EQ(Query("a=1;b=2"), (std::vector<Pair>{{"a", "1;b=2"}}));
  EXPECT_EQ(Query(""), std::vector<Pair>());
}

TEST(CanonicalQueryTest, TwoSpellingsOfOneKeyAreOneKey) {
  EXPECT_EQ(Query("role=user&%72ole=admin"),
            (std::vector<Pair>{{"role", "user"}, {"role", "admin"}}));
}

TEST(CanonicalQueryTest, RefusesBadEscapesAndTooMany) {
  Query("a=%", CanonicalError::kBadEscape);
  Query("%4=a", CanonicalError::kBadEscape);
  Query("a=%g0", CanonicalError::kBadEscape);
  std::string many;
  for (size_t i = 0; i <= CanonicalLimits::kQueryParametersMax; ++i) {
    many += "a&";
  }
  Query(many, CanonicalError::kTooManyParameters);
}

TEST(CanonicalErrorTest, EachHasAName) {
  for (int i = 0; i <= static_cast<int>(CanonicalError::kBufferTooSmall); ++i) {
    EXPECT_NE(CanonicalErrorName(static_cast<CanonicalError>(i)), "unknown");
  }
}

}  // namespace
}  // namespace countersign::authz
