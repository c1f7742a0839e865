// Tokens that another implementation (PyJWT) signed.
#include <gtest/gtest.h>

#include <cstdio>

#include "base/file.h"
#include "tests/identity/jwt/jwt_fixture.h"
#include "tests/support/temp_dir.h"

namespace countersign::identity {
namespace {

using Json = nlohmann::json;

Json RunPyJwt() {
  TempDir folder;
  // The claims hold no quote, and the distribution's interpreter is the one with the package.
  std::string command =
      Concat("/usr/bin/python3 ", COUNTERSIGN_SOURCE_DIR, "/tests/identity/jwt/sign_tokens.py '",
             GoodClaims().dump(), "' > ", folder.File("tokens.json"));
  EXPECT_EQ(std::system(command.c_str()), 0) << "needs the packages python3 and python3-jwt";
  StatusOr<std::string> text = ReadFile(folder.File("tokens.json"), 256 * 1024);
  EXPECT_TRUE(text.ok()) << text.status();
  return Json::parse(text.ok() ? *text : "", nullptr, false);
}

TEST(JwtInteropTest, TokensOfPyJwtVerifyAndTheirForgeriesAreRefusedByName) {
  Json made = RunPyJwt();
  ASSERT_FALSE(made.is_discarded());
  StatusOr<Jwks> keys = Jwks::Parse(made["jwks"].dump(), JwkProfile::kSignature);
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->keys().size(), kJwsAlgorithmCount);
  JwtVerifier verifier = VerifierOf(Trusted(std::make_shared<const Jwks>(*keys)));
  ASSERT_EQ(made["tokens"].size(), kJwsAlgorithmCount);
  for (const auto& [algorithm, token] : made["tokens"].items()) {
    TokenResult result = verifier.Verify(token.get<std::string>(), TestNow());
    ASSERT_TRUE(result.ok()) << algorithm << ": " << ErrorOf(result);
    EXPECT_EQ(result.token().subject(), "ana") << algorithm;
  }
  ASSERT_EQ(made["bent"].size(), 7u);
  for (const auto& [error, token] : made["bent"].items()) {
    EXPECT_EQ(ErrorOf(verifier.Verify(token.get<std::string>(), TestNow())), error);
  }
}

}  // namespace
}  // namespace countersign::identity
