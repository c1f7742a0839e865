#include "identity/jwt/bearer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace countersign::identity {
namespace {

TEST(BearerTest, OneFieldWithOneTokenIsFoundWhateverTheCaseOfItsScheme) {
  for (std::string_view field : {"Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c"}) {
    std::vector<std::string_view> fields = {field};
    auto found = FindBearer(fields);
    ASSERT_TRUE(std::holds_alternative<BearerToken>(found)) << field;
    EXPECT_EQ(std::get<BearerToken>(found).text, "a.b.c") << field;
  }
}

TEST(BearerTest, EveryOtherFormIsRefusedByName) {
  struct Row {
    const char* name;
    std::vector<std::string_view> fields;
    TokenError error;
  };
  const Row kRows[] = {
      {"no field", {}, TokenError::kNoToken},
      {"two fields", {"Bearer a.b.c", "Bearer d.e.f"}, TokenError::kManyTokens},
      {"the same field twice", {"Bearer a.b.c", "Bearer a.b.c"}, TokenError::kManyTokens},
      {"a token beside Basic", {"Basic eDp5", "Bearer a.b.c"}, TokenError::kManyTokens},
      {"two tokens with a comma", {"Bearer a.b.c, Bearer d.e.f"}, TokenError::kManyTokens},
      {"two tokens with a comma alone", {"Bearer a.b.c,d.e.f"}, TokenError::kManyTokens},
      {"two tokens with a space", {"Bearer a.b.c d.e.f"}, TokenError::kManyTokens},
      {"a space after it", {"Bearer a.b.c "}, TokenError::kManyTokens},
      {"a tab", {"Bearer a.b.c\td"}, TokenError::kManyTokens},
      {"no token", {"Bearer "}, TokenError::kMalformedBearer},
      {"scheme alone", {"Bearer"}, TokenError::kMalformedBearer},
      {"padding", {"Bearer a.b.c="}, TokenError::kMalformedBearer},
      {"quotes", {"Bearer \"a.b.c\""}, TokenError::kMalformedBearer},
      {"a NUL", {std::string_view("Bearer a.b\0c", 12)}, TokenError::kMalformedBearer},
      {"another scheme", {"Basic eDp5"}, TokenError::kOtherScheme},
      {"a longer scheme", {"Bearers a.b.c"}, TokenError::kOtherScheme},
      {"a tab as separator", {"Bearer\ta.b.c"}, TokenError::kOtherScheme},
      {"an empty field", {""}, TokenError::kOtherScheme},
      {"a space before it", {" Bearer a.b.c"}, TokenError::kOtherScheme},
  };
  for (const Row& row : kRows) {
    auto found = FindBearer(row.fields);
    ASSERT_TRUE(std::holds_alternative<TokenError>(found)) << row.name;
    EXPECT_EQ(TokenErrorName(std::get<TokenError>(found)), TokenErrorName(row.error)) << row.name;
  }
}

}  // namespace
}  // namespace countersign::identity
