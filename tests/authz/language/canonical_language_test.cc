// The universes: exactly the values that canonicalisation leaves as they are.
#include "authz/language/canonical_language.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>

#include "authz/engine/canonical.h"
#include "authz/language/search.h"
#include "identity/spiffe_id.h"
#include "tests/support/pattern_generator.h"

namespace countersign::authz::language {
namespace {

constexpr int kDraws = 20'000;

bool IsCanonicalPath(std::string_view text, PathRelaxations relaxations) {
  char buffer[CanonicalLimits::kPathBytesMax];
  CanonicalTarget target = CanonicalizePath(text, relaxations, buffer);
  return target.ok() && !target.has_query && target.path == text;
}

bool IsCanonicalHost(std::string_view text) {
  char buffer[kHostBufferBytes];
  CanonicalHost host = CanonicalizeHost(text, buffer);
  return host.ok() && host.port == 0 && host.host == text;
}

void ExpectSame(const Language& language, bool (*holds)(std::string_view), uint64_t seed) {
  Random random(seed);
  BorderTexts border(language);
  std::string text;
  int held = 0;
  for (int i = 0; i < kDraws; ++i) {
    border.Next(random, text);
    if (text.size() <= 255) {
      ASSERT_EQ(language.Matches(text), holds(text)) << Quoted(text);
      held += language.Matches(text) ? 1 : 0;
    }
  }
  EXPECT_GT(held, kDraws / 10);
  EXPECT_LT(held, kDraws * 9 / 10);
}

TEST(CanonicalLanguageTest, PathsAreTheFixedPointsOfCanonicalisation) {
  Random random(5);
  for (unsigned bits = 0; bits < 64; ++bits) {
    PathRelaxations relaxations;
    for (unsigned bit = 0; bit < 6; ++bit) {
      if ((bits >> bit & 1) != 0) {
        relaxations.Allow(static_cast<PathRelaxation>(1U << bit));
      }
    }
    StatusOr<CanonicalValues> paths = CanonicalValuesOf(Field::kPath, relaxations);
    ASSERT_TRUE(paths.ok()) << paths.status();
    BorderTexts border(paths->language);
    std::string text;
    for (int i = 0; i < kDraws / 16; ++i) {
      border.Next(random, text);
      ASSERT_EQ(paths->language.Matches(text), IsCanonicalPath(text, relaxations)) << Quoted(text);
    }
  }
}

TEST(CanonicalLanguageTest, PathsRefuseEverySecondSpelling) {
  Language paths = CanonicalValuesOf(Field::kPath)->language;
  for (std::string_view path :
       {"/", "/a", "/a/", "/a/...", "/.a", "/a.", "/%C3%A9", "/%20", "/{x}"}) {
    EXPECT_TRUE(paths.Matches(path)) << path;
  }
  for (std::string_view path : {"",        "a",     "//",   "/a//b", "/.",   "/..",  "/a/.",
                                "/a/../b", "/./a",  "/%41", "/%c3",  "/%2F", "/%5C", "/%00",
                                "/a;b",    "/a\\b", "/a?b", "/a#b",  "/%",   "/ ",   "/\xC3\xA9"}) {
    EXPECT_FALSE(paths.Matches(path)) << path;
  }
}

TEST(CanonicalLanguageTest, HostsAreTheFixedPointsOfCanonicalisation) {
  CanonicalValues hosts = *CanonicalValuesOf(Field::kHost);
  ExpectSame(hosts.language, &IsCanonicalHost, 6);
}

TEST(CanonicalLanguageTest, EveryAddressHasOneSpellingInBrackets) {
  Language hosts = CanonicalValuesOf(Field::kHost)->language;
  Random random(8);
  for (int i = 0; i < kDraws; ++i) {
    in6_addr address = {};
    for (size_t group = 0; group < 8; ++group) {
      // Zeros, the groups of embedded IPv4 addresses, and anything.
      uint32_t value = random.OneIn(2) ? 0 : random.OneIn(4) ? 0xFFFF : random.Below(65536);
      if (random.OneIn(4)) {
        value &= 0xFF;
      }
      address.s6_addr[group * 2] = static_cast<uint8_t>(value >> 8);
      address.s6_addr[group * 2 + 1] = static_cast<uint8_t>(value);
    }
    char text[INET6_ADDRSTRLEN];
    ASSERT_NE(inet_ntop(AF_INET6, &address, text, sizeof(text)), nullptr);
    EXPECT_TRUE(hosts.Matches(Concat("[", std::string_view(text), "]"))) << text;
  }
  for (std::string_view host : {"[::1]", "[::]", "[::ffff:1.2.3.4]", "[1::8]", "a.b", "1.2.3.4"}) {
    EXPECT_TRUE(hosts.Matches(host)) << host;
  }
  for (std::string_view host :
       {"[0:0:0:0:0:0:0:1]", "[::01]", "[::FFFF]", "[1:0::8]", "[::ffff:102:304]", "[1::2::3]",
        "[]", "a.", "A", ".a", "a..b", "", "[::1]:80"}) {
    EXPECT_FALSE(hosts.Matches(host)) << host;
  }
}

TEST(CanonicalLanguageTest, IdsAreThoseThatParse) {
  auto parses = [](std::string_view text) { return identity::SpiffeId::Parse(text).ok(); };
  ExpectSame(CanonicalValuesOf(Field::kId)->language, parses, 7);
  Language ids = CanonicalValuesOf(Field::kId)->language;
  std::string domain(255, 'd');
  EXPECT_TRUE(ids.Matches("spiffe://" + domain + "/a/b.c"));
  EXPECT_FALSE(ids.Matches("spiffe://" + domain + "d/a"));
  for (std::string_view id : {"spiffe://", "spiffe://a/", "spiffe://a//b", "spiffe://a/./b",
                              "spiffe://a/..", "spiffe://A/b", "spiffe://a/%41", "https://a"}) {
    EXPECT_FALSE(ids.Matches(id)) << id;
  }
  auto domain_parses = [](std::string_view text) {
    return identity::TrustDomain::Parse(text).ok();
  };
  ExpectSame(CanonicalValuesOf(Field::kTrustDomain)->language, domain_parses, 9);
}

TEST(CanonicalLanguageTest, OtherFieldsHoldWhatTheProxyLetsThrough) {
  struct Row {
    Field field;
    std::vector<std::string> in;
    std::vector<std::string> out;
  };
  const Row kRows[] = {
      {Field::kMethod,
       {"GET", "M-SEARCH", std::string(32, 'A')},
       {"", "get", "G T", std::string(33, 'A')}},
      {Field::kHeader, {"", "a", "a b", "\xFF\t\xFF"}, {" a", "a\t", "a\nb", "\x7F"}},
      {Field::kSni, {"a", "a.b"}, {"", "A.b", std::string("a\0b", 3)}},
      {Field::kProtocol, {"http", "tcp"}, {"", "udp"}},
      {Field::kQuery, {"", "\n"}, {}},
      {Field::kClaim, {"", "\n"}, {}},
  };
  for (const Row& row : kRows) {
    Language language = CanonicalValuesOf(row.field)->language;
    for (const std::string& text : row.in) {
      EXPECT_TRUE(language.Matches(text)) << Quoted(text);
    }
    for (const std::string& text : row.out) {
      EXPECT_FALSE(language.Matches(text)) << Quoted(text);
    }
  }
  EXPECT_FALSE(CanonicalValuesOf(Field::kPort).ok());
  EXPECT_FALSE(CanonicalValuesOf(Field::kPeerIp).ok());
}

TEST(CanonicalLanguageTest, TheLengthLimitIsExact) {
  CanonicalValues hosts = *CanonicalValuesOf(Field::kHost);
  auto find = [&](std::string_view pattern) {
    Language language = *Language::FromPattern(pattern);
    Constraint constraints[] = {{.language = &language}, {.language = &hosts.language}};
    return *FindText(constraints, hosts.bytes_max);
  };
  EXPECT_EQ(find("[a-z]{255,}"), std::string(255, 'a'));
  EXPECT_EQ(find("[a-z]{256,}"), std::nullopt);
}

TEST(CanonicalLanguageTest, ShowsThatAPatternCanMatchNoCanonicalValue) {
  CanonicalValues paths = *CanonicalValuesOf(Field::kPath);
  Language dead = *Language::FromPattern("/files/\\.\\./.*");
  Constraint constraints[] = {{.language = &dead}, {.language = &paths.language}};
  EXPECT_EQ(*FindText(constraints, paths.bytes_max), std::nullopt);
  Language alive = *Language::FromPattern("/files/.*|/%2e");
  constraints[0].language = &alive;
  EXPECT_EQ(*FindText(constraints, paths.bytes_max), "/files/");
}

}  // namespace
}  // namespace countersign::authz::language
