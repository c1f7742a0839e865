#include "identity/jwt/jwks_cache.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "tests/identity/jwt/jwt_fixture.h"
#include "tests/support/temp_dir.h"

namespace countersign::identity {
namespace {

using namespace std::chrono_literals;
using Limits = JwksCacheLimits;

// ScriptedFetcher answers what the test says and counts; the real one has a test of its own.
class ScriptedFetcher final : public JwksFetcher {
 public:
  StatusOr<FetchedJwks> Fetch(const std::string& url) override {
    EXPECT_EQ(url, "https://login.example/jwks");
    ++fetches;
    return answer;
  }
  StatusOr<FetchedJwks> answer = Unavailable("nobody listens");
  int fetches = 0;
};

class JwksCacheTest : public testing::Test {
 protected:
  std::unique_ptr<JwksCache> UrlCache(std::chrono::seconds max_age = 3600s) {
    return *JwksCache::Create({.issuer = kLogin,
                               .source = JwksCache::Url{"https://login.example/jwks", &fetcher_},
                               .max_age = max_age},
                              clock_);
  }
  std::unique_ptr<JwksCache> FileCache() {
    return *JwksCache::Create(
        {.issuer = kLogin, .source = JwksCache::File{folder_.File("jwks.json")}, .max_age = 3600s},
        clock_);
  }
  void Write(std::string_view text) {
    ASSERT_TRUE(WriteFileAtomically(folder_.File("jwks.json"), text, 0644).ok());
  }
  // Step moves the clock to where the cache wants to be called, and calls it; gives the wait.
  std::chrono::nanoseconds Step(JwksCache& cache) {
    clock_.Advance(due_ > clock_.Monotonic() ? due_ - clock_.Monotonic() : 0ns);
    due_ = cache.Poll();
    return due_ - clock_.Monotonic();
  }
  std::string Verdict(JwksCache& cache, const TestIssuer& issuer) {
    std::shared_ptr<const JwksSnapshot> snapshot = cache.snapshots().Get();
    if (snapshot == nullptr) {
      return "nothing yet";
    }
    TrustedIssuer trusted = Trusted(snapshot->keys);
    trusted.keys_usable_until = snapshot->usable_until;
    nlohmann::json claims = GoodClaims();
    claims["exp"] = TestSeconds() + 1000000;
    return std::string(ErrorOf(VerifierOf(trusted).Verify(issuer.Sign(claims), clock_.Now())));
  }

  FakeClock clock_{TestNow()};
  ScriptedFetcher fetcher_;
  TempDir folder_;
  TestIssuer old_;
  TestIssuer new_;
  MonotonicTime due_{};
};

TEST_F(JwksCacheTest, AUrlIsAskedAtOnceAndThenAtItsPace) {
  auto cache = UrlCache();
  EXPECT_EQ(Verdict(*cache, old_), "nothing yet");
  fetcher_.answer = FetchedJwks{.body = old_.JwksText()};
  EXPECT_EQ(Step(*cache), Limits::kRefreshDefault);
  EXPECT_EQ(Verdict(*cache, old_), "good");
  clock_.Advance(1s);
  cache->Poll();
  EXPECT_EQ(fetcher_.fetches, 1);
  struct Row {
    std::chrono::seconds asked;
    std::chrono::seconds waits;
  };
  for (const Row& row : {Row{120s, 120s},
                         {1s, Limits::kRefreshMin},
                         {30 * 24h, Limits::kRefreshMax},
                         {0s, Limits::kRefreshDefault}}) {
    fetcher_.answer->max_age = row.asked;
    EXPECT_EQ(Step(*cache), row.waits);
  }
}

TEST_F(JwksCacheTest, ARefreshHintOfTheKeysGoesBeforeThatOfTheAnswer) {
  auto cache = UrlCache();
  fetcher_.answer =
      FetchedJwks{.body = R"({"keys":[],"spiffe_refresh_hint":60})", .max_age = 1000s};
  EXPECT_EQ(Step(*cache), 60s);
}

TEST_F(JwksCacheTest, AFailingUrlIsAskedLessAndLessOftenAndTheLastGoodKeysCountUntilTooOld) {
  auto cache = UrlCache(1800s);
  fetcher_.answer = FetchedJwks{.body = old_.JwksText()};
  Step(*cache);
  WallTime usable_until = cache->snapshots().Get()->usable_until;
  EXPECT_EQ(usable_until, clock_.Now() + 1800s);
  fetcher_.answer = Unavailable("nobody listens");
  for (std::chrono::seconds wait : {5s, 10s, 20s, 40s, 80s, 160s, 300s, 300s}) {
    EXPECT_EQ(Step(*cache), wait);
    EXPECT_EQ(Verdict(*cache, old_), "good");
    EXPECT_EQ(cache->last_error().code(), StatusCode::kUnavailable);
  }
  while (clock_.Now() < usable_until) {
    Step(*cache);
  }
  EXPECT_EQ(Verdict(*cache, old_), "no_keys");
  // And back: nothing sticks.
  fetcher_.answer = FetchedJwks{.body = old_.JwksText()};
  EXPECT_EQ(Step(*cache), Limits::kRefreshDefault);
  EXPECT_EQ(Verdict(*cache, old_), "good");
  EXPECT_TRUE(cache->last_error().ok());
}

TEST_F(JwksCacheTest, ABadAnswerIsAFailureAndChangesNothing) {
  auto cache = UrlCache();
  fetcher_.answer = FetchedJwks{.body = old_.JwksText()};
  Step(*cache);
  nlohmann::json published = new_.Jwk();
  published["d"] = "AAAA";
  for (const std::string& body :
       {std::string("<html>"), std::string("{}"), std::string(1024 * 1024 + 1, ' '),
        nlohmann::json{{"keys", nlohmann::json::array({published})}}.dump()}) {
    fetcher_.answer = FetchedJwks{.body = body};
    Step(*cache);
    EXPECT_FALSE(cache->last_error().ok());
    EXPECT_EQ(Verdict(*cache, old_), "good");
    EXPECT_EQ(Verdict(*cache, new_), "bad_signature");
  }
}

TEST_F(JwksCacheTest, AKeyThatIsGoneFromTheSourceIsGoneFromTheCache) {
  auto cache = UrlCache();
  fetcher_.answer = FetchedJwks{.body = old_.JwksText()};
  Step(*cache);
  fetcher_.answer = FetchedJwks{.body = new_.JwksText()};
  Step(*cache);
  EXPECT_EQ(Verdict(*cache, old_), "bad_signature");
  EXPECT_EQ(Verdict(*cache, new_), "good");
  fetcher_.answer = FetchedJwks{.body = R"({"keys":[]})"};
  Step(*cache);
  EXPECT_EQ(Verdict(*cache, new_), "no_keys");
}

TEST_F(JwksCacheTest, KeysThatStayedAreToldAgainOnlyWhenTheyMayBeBelievedForMuchLonger) {
  auto cache = UrlCache(7200s);
  fetcher_.answer = FetchedJwks{.body = old_.JwksText()};
  Step(*cache);
  uint64_t version = cache->snapshots().version();
  const Jwks* keys = cache->snapshots().Get()->keys.get();
  Step(*cache);
  Step(*cache);
  EXPECT_EQ(cache->snapshots().version(), version);
  Step(*cache);  // 900 s later, an eighth of max_age.
  EXPECT_EQ(cache->snapshots().version(), version + 1);
  EXPECT_EQ(cache->snapshots().Get()->keys.get(), keys);
  EXPECT_EQ(cache->snapshots().Get()->usable_until, clock_.Now() + 7200s);
  clock_.JumpWall(-1h);
  Step(*cache);
  EXPECT_EQ(cache->snapshots().Get()->usable_until, clock_.Now() + 7200s);
}

TEST_F(JwksCacheTest, AnUnknownKidBringsTheNextFetchForwardOnce) {
  auto cache = UrlCache();
  fetcher_.answer = FetchedJwks{.body = old_.JwksText()};
  Step(*cache);
  clock_.Advance(60s);
  EXPECT_TRUE(cache->NoteUnknownKeyId("new"));
  EXPECT_FALSE(cache->NoteUnknownKeyId("new"));
  EXPECT_FALSE(cache->NoteUnknownKeyId("newer"));  // The same fetch serves both.
  cache->Poll();
  EXPECT_EQ(fetcher_.fetches, 2);
  // It was not there, so it asks for nothing more until it is forgotten.
  clock_.Advance(60s);
  EXPECT_FALSE(cache->NoteUnknownKeyId("new"));
  EXPECT_FALSE(cache->NoteUnknownKeyId("newer"));
  cache->Poll();
  EXPECT_EQ(fetcher_.fetches, 2);
}

TEST_F(JwksCacheTest, AFloodOfUnknownKidsCostsTheIssuerOneFetchAGap) {
  auto cache = UrlCache();
  fetcher_.answer = FetchedJwks{.body = old_.JwksText(), .max_age = 3600s};
  Step(*cache);
  for (int second = 0; second < 300; ++second) {
    for (int i = 0; i < 20; ++i) {
      (void)cache->NoteUnknownKeyId(Concat("kid-", second, "-", i));
    }
    cache->Poll();
    clock_.Advance(1s);
  }
  EXPECT_EQ(fetcher_.fetches, 1 + 9);  // At 30 s, 60 s, ... 270 s.
}

TEST_F(JwksCacheTest, AnUnknownKidDoesNotShortenTheBackOff) {
  auto cache = UrlCache();
  fetcher_.answer = FetchedJwks{.body = old_.JwksText()};
  Step(*cache);
  fetcher_.answer = Unavailable("nobody listens");
  for (int i = 0; i < 8; ++i) {
    Step(*cache);
  }
  EXPECT_FALSE(cache->NoteUnknownKeyId("new"));
  int fetches = fetcher_.fetches;
  clock_.Advance(60s);
  cache->Poll();
  EXPECT_EQ(fetcher_.fetches, fetches);
}

TEST_F(JwksCacheTest, AFileIsReadAgainWhenItChanges) {
  auto cache = FileCache();
  Write(old_.JwksText());
  EXPECT_EQ(Step(*cache), Limits::kFilePoll);
  EXPECT_EQ(Verdict(*cache, old_), "good");
  EXPECT_FALSE(cache->NoteUnknownKeyId("new"));
  Write(new_.JwksText());
  Step(*cache);
  EXPECT_EQ(Verdict(*cache, new_), "good");
  EXPECT_EQ(Verdict(*cache, old_), "bad_signature");
}

TEST_F(JwksCacheTest, ABadOrMissingFileLeavesTheLastGoodKeysUntilTheyAreTooOld) {
  auto cache = FileCache();
  Step(*cache);
  EXPECT_EQ(cache->last_error().code(), StatusCode::kNotFound);
  EXPECT_EQ(Verdict(*cache, old_), "nothing yet");
  Write(old_.JwksText());
  Step(*cache);
  // A file that stands is confirmed by standing there.
  for (int i = 0; i < 3000; ++i) {
    Step(*cache);
  }
  EXPECT_EQ(Verdict(*cache, old_), "good");
  Write("{");
  Step(*cache);
  Step(*cache);
  EXPECT_EQ(cache->last_error().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Verdict(*cache, old_), "good");
  ASSERT_TRUE(std::filesystem::remove(folder_.File("jwks.json")));
  Step(*cache);
  EXPECT_EQ(cache->last_error().code(), StatusCode::kNotFound);
  clock_.Advance(3600s);
  Step(*cache);
  EXPECT_EQ(Verdict(*cache, old_), "no_keys");
  Write(old_.JwksText());
  Step(*cache);
  EXPECT_EQ(Verdict(*cache, old_), "good");
}

TEST_F(JwksCacheTest, ACacheWithoutSourceOrWithAnEndlessLifeIsRefused) {
  auto make = [&](auto source, std::chrono::seconds max_age) {
    return JwksCache::Create({.issuer = kLogin, .source = source, .max_age = max_age}, clock_).ok();
  };
  EXPECT_TRUE(make(JwksCache::File{"f"}, Limits::kMaxAgeMax));
  EXPECT_FALSE(make(JwksCache::File{"f"}, Limits::kMaxAgeMax + 1s));
  EXPECT_FALSE(make(JwksCache::File{"f"}, Limits::kMaxAgeMin - 1s));
  EXPECT_FALSE(make(JwksCache::File{""}, 3600s));
  EXPECT_FALSE(make(JwksCache::Url{"https://a", nullptr}, 3600s));
  EXPECT_FALSE(make(JwksCache::Url{"", &fetcher_}, 3600s));
}

}  // namespace
}  // namespace countersign::identity
