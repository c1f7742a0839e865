// CurlJwksFetcher against a real HTTPS server.
#include "identity/jwt/curl_jwks_fetcher.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/identity/jwt/jwt_fixture.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace countersign::identity {
namespace {

using namespace std::chrono_literals;

class CurlJwksFetcherTest : public testing::Test {
 protected:
  void SetUp() override {
    TestCertificateSpec spec = ca_.LeafSpec("/issuer");
    spec.dns_sans = {"localhost"};
    TestChain chain = ca_.Sign(spec);
    Write("cert.pem", chain.ChainPem());
    Write("key.pem", chain.key.Pkcs8Pem());
    Write("ca.pem", ca_.root_pem());
    Write("other_ca.pem", TestCa("other.example").root_pem());
    Write("jwks.json", issuer_.JwksText());
    server_ = ChildProcess::Start(
        {"/usr/bin/python3", Concat(COUNTERSIGN_SOURCE_DIR, "/tests/identity/jwt/serve_jwks.py"),
         folder_.path()},
        folder_.File("log"));
    ASSERT_TRUE(server_->WaitForLog(";", 30s)) << server_->Log();
    std::string log = server_->Log();
    size_t begin = log.find("port ") + 5;
    port_ = log.substr(begin, log.find(';') - begin);
  }
  void Write(std::string_view name, std::string_view text) {
    ASSERT_TRUE(WriteFileAtomically(folder_.File(name), text, 0600).ok());
  }
  std::string Url(std::string_view path, std::string_view host = "localhost") const {
    return Concat("https://", host, ":", port_, path);
  }
  StatusOr<FetchedJwks> Fetch(const std::string& url, std::string_view ca = "ca.pem") const {
    return CurlJwksFetcher({.ca_file = folder_.File(ca)}).Fetch(url);
  }
  static bool Says(const Status& status, std::string_view part) {
    return Message(status).find(part) != std::string_view::npos;
  }

  TempDir folder_;
  TestCa ca_;
  TestIssuer issuer_;
  std::unique_ptr<ChildProcess> server_;
  std::string port_;
};

TEST_F(CurlJwksFetcherTest, KeysComeOverHttpsIntoACacheAndARotationIsSeenWhenItsFirstTokenComes) {
  CurlJwksFetcher fetcher({.ca_file = folder_.File("ca.pem")});
  StatusOr<FetchedJwks> fetched = fetcher.Fetch(Url("/jwks"));
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->body, issuer_.JwksText());
  EXPECT_EQ(fetched->max_age, 120s);

  FakeClock clock(TestNow());
  auto cache = JwksCache::Create(
      {.issuer = kLogin, .source = JwksCache::Url{Url("/jwks"), &fetcher}}, clock);
  ASSERT_TRUE(cache.ok());
  auto verify = [&](const std::string& token) {
    std::shared_ptr<const JwksSnapshot> snapshot = (*cache)->snapshots().Get();
    return VerifierOf(Trusted(snapshot->keys)).Verify(token, clock.Now());
  };
  EXPECT_EQ((*cache)->Poll(), clock.Monotonic() + 120s);
  EXPECT_TRUE(verify(issuer_.Sign(GoodClaims())).ok());

  TestIssuer rotated;
  nlohmann::json jwk = rotated.Jwk();
  jwk["kid"] = "key-2";
  Write("jwks.json", nlohmann::json{{"keys", {issuer_.Jwk(), jwk}}}.dump());
  nlohmann::json header = rotated.Header();
  header["kid"] = "key-2";
  std::string token = rotated.Sign(header, GoodClaims());
  clock.Advance(60s);
  TokenResult unknown = verify(token);
  ASSERT_EQ(ErrorOf(unknown), "unknown_key_id");
  ASSERT_TRUE((*cache)->NoteUnknownKeyId(unknown.unknown_kid()));
  (*cache)->Poll();
  EXPECT_EQ(ErrorOf(verify(token)), "good");
}

TEST_F(CurlJwksFetcherTest, AServerThatIsNotTheOneInTheUrlIsRefused) {
  EXPECT_TRUE(Says(Fetch(Url("/jwks"), "other_ca.pem").status(), "certificate"));
  EXPECT_FALSE(Fetch(Url("/jwks", "127.0.0.1")).ok());         // Not a name of its certificate.
  EXPECT_FALSE(CurlJwksFetcher({}).Fetch(Url("/jwks")).ok());  // The system's authorities.
  EXPECT_FALSE(Fetch(Url("/jwks"), "missing.pem").ok());
}

TEST_F(CurlJwksFetcherTest, EveryAnswerButAWholeSmall200IsAnError) {
  EXPECT_TRUE(Says(Fetch(Url("/redirect")).status(), "answered 302"));
  EXPECT_TRUE(Says(Fetch(Url("/broken")).status(), "answered 500"));
  EXPECT_TRUE(Says(Fetch(Url("/nothing")).status(), "answered 404"));
  EXPECT_EQ(Fetch(Url("/large")).status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Fetch(Url("/largest")).ok());
  EXPECT_FALSE(Fetch(Url("/cut")).ok());
  server_->Stop();
  EXPECT_EQ(Fetch(Url("/jwks")).status().code(), StatusCode::kUnavailable);
}

TEST(CurlJwksFetcherUrlTest, OnlyHttpsWithoutUserIsAsked) {
  EXPECT_TRUE(CurlJwksFetcher::CheckUrl("https://login.example/jwks").ok());
  EXPECT_TRUE(CurlJwksFetcher::CheckUrl("https://login.example:8443/a?b=c").ok());
  for (const std::string& url :
       {std::string("http://login.example/jwks"), std::string("file:///etc/passwd"),
        std::string("ftp://a"), std::string("login.example/jwks"), std::string(""),
        std::string("https://"), std::string("https://me:secret@login.example"),
        std::string("https://login.example/#a"), std::string("https://a\0b", 11),
        Concat("https://a/", std::string(2048, 'a'))}) {
    EXPECT_FALSE(CurlJwksFetcher::CheckUrl(url).ok()) << Quoted(url);
  }
}

}  // namespace
}  // namespace countersign::identity
