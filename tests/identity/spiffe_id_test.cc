#include "identity/spiffe_id.h"

#include <gtest/gtest.h>

#include <unordered_set>

namespace countersign::identity {
namespace {

bool Accepted(std::string_view text) {
  StatusOr<SpiffeId> id = SpiffeId::Parse(text);
  // What is accepted is kept byte for byte.
  EXPECT_TRUE(!id.ok() || id->str() == text) << text;
  return id.ok();
}

// Point 1: the scheme, and nothing after the path.
TEST(SpiffeIdTest, TheSchemeIsSpiffeInLowerCase) {
  EXPECT_TRUE(Accepted("spiffe://shop.example/web"));
  for (const char* text :
       {"", "s", "spiffe", "spiffe:", "spiffe:/", "spiffe://", "spiffe:///web",
        "Spiffe://shop.example/web", "SPIFFE://shop.example/web", "http://shop.example/web",
        "shop.example/web", " spiffe://shop.example", "//shop.example/web"}) {
    EXPECT_FALSE(Accepted(text)) << text;
  }
}

TEST(SpiffeIdTest, NoQueryAndNoFragment) {
  for (const char* text :
       {"spiffe://shop.example?a=b", "spiffe://shop.example/web?", "spiffe://shop.example/web?a=b",
        "spiffe://shop.example#f", "spiffe://shop.example/web#f", "spiffe://shop.example/web#"}) {
    EXPECT_FALSE(Accepted(text)) << text;
  }
}

// Point 2: no user information and no port.
TEST(SpiffeIdTest, NoUserAndNoPort) {
  for (const char* text : {"spiffe://user@shop.example/web", "spiffe://user:pw@shop.example/web",
                           "spiffe://@shop.example/web", "spiffe://shop.example:80/web",
                           "spiffe://shop.example:/web", "spiffe://[::1]/web"}) {
    EXPECT_FALSE(Accepted(text)) << text;
  }
}

// Point 3: the characters of a trust domain.
TEST(SpiffeIdTest, TrustDomainsHaveLowerCaseLettersDigitsAndThreeMarks) {
  for (const char* name : {"a", "0", "shop.example", "under_score", "hy-phen", "..", "-", "_", ".",
                           "10.0.0.1", "xn--mnchen-3ya.example", "localhost", "a..b"}) {
    EXPECT_TRUE(Accepted(Concat("spiffe://", name, "/web"))) << name;
    EXPECT_TRUE(TrustDomain::Parse(name).ok()) << name;
  }
  for (std::string_view name :
       {std::string_view("Shop.example"), std::string_view("sh%6fp.example"),
        std::string_view("shop!example"), std::string_view("shop example"),
        std::string_view("m\xc3\xbcnchen.example"), std::string_view("a\0b", 3),
        std::string_view("a,b"), std::string_view("a*"), std::string_view("a~b")}) {
    EXPECT_FALSE(Accepted(Concat("spiffe://", name, "/web"))) << Quoted(name);
    EXPECT_FALSE(TrustDomain::Parse(name).ok()) << Quoted(name);
  }
  EXPECT_FALSE(TrustDomain::Parse("").ok());
  EXPECT_FALSE(TrustDomain::Parse("spiffe://shop.example").ok());
  EXPECT_FALSE(TrustDomain::Parse("shop.example/").ok());
}

// Point 4: the characters and segments of a path.
TEST(SpiffeIdTest, PathsHaveNoEmptyAndNoDotSegments) {
  for (const char* path :
       {"", "/a", "/a/b", "/A/b.C-d_9", "/...", "/.a", "/..a", "/a..", "/-", "/_", "/a/.../b"}) {
    EXPECT_TRUE(Accepted(Concat("spiffe://shop.example", path))) << path;
  }
  for (std::string_view path :
       {std::string_view("/"),       std::string_view("//"),        std::string_view("/a/"),
        std::string_view("//a"),     std::string_view("/a//b"),     std::string_view("/."),
        std::string_view("/.."),     std::string_view("/./a"),      std::string_view("/a/.."),
        std::string_view("/a/../b"), std::string_view("/a/."),      std::string_view("/%61"),
        std::string_view("/a b"),    std::string_view("/a*"),       std::string_view("/a:b"),
        std::string_view("/a\0", 3), std::string_view("/\xc3\xbc"), std::string_view("/a\\b"),
        std::string_view("/a;b"),    std::string_view("/a+b"),      std::string_view("/~a")}) {
    EXPECT_FALSE(Accepted(Concat("spiffe://shop.example", path))) << Quoted(path);
  }
}

TEST(SpiffeIdTest, PathsAreComparedWithCase) {
  EXPECT_NE(*SpiffeId::Parse("spiffe://a/web"), *SpiffeId::Parse("spiffe://a/Web"));
  EXPECT_EQ(*SpiffeId::Parse("spiffe://a/web"), *SpiffeId::Parse("spiffe://a/web"));
}

// Point 5: 2048 bytes for an ID, 255 for a trust domain.
TEST(SpiffeIdTest, LengthsAreLimitedExactly) {
  std::string base = "spiffe://shop.example/";
  EXPECT_TRUE(Accepted(base + std::string(2048 - base.size(), 'a')));
  EXPECT_FALSE(Accepted(base + std::string(2049 - base.size(), 'a')));
  EXPECT_TRUE(Accepted(Concat("spiffe://", std::string(255, 'd'), "/a")));
  EXPECT_FALSE(Accepted(Concat("spiffe://", std::string(256, 'd'), "/a")));
  EXPECT_TRUE(TrustDomain::Parse(std::string(255, 'd')).ok());
  EXPECT_FALSE(TrustDomain::Parse(std::string(256, 'd')).ok());
}

TEST(SpiffeIdTest, PartsAreThoseOfTheText) {
  SpiffeId id = *SpiffeId::Parse("spiffe://shop.example/ns/prod");
  EXPECT_EQ(id.trust_domain_name(), "shop.example");
  EXPECT_EQ(id.trust_domain().IdString(), "spiffe://shop.example");
  EXPECT_EQ(id.path(), "/ns/prod");
  EXPECT_EQ(SpiffeId::Parse("spiffe://shop.example")->path(), "");
  EXPECT_EQ(*SpiffeId::Make(id.trust_domain(), "/ns/prod"), id);
  EXPECT_FALSE(SpiffeId::Make(id.trust_domain(), "ns").ok());
  EXPECT_FALSE(SpiffeId::Make(id.trust_domain(), "/a/").ok());
  EXPECT_EQ((std::unordered_set<SpiffeId>{id, id}).size(), 1u);
}

}  // namespace
}  // namespace countersign::identity
