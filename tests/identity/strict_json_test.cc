#include "identity/strict_json.h"

#include <gtest/gtest.h>

namespace countersign::identity {
namespace {

StatusOr<Json> Parse(std::string_view text) {
  return ParseStrictJson(text, {.what = "document", .bytes_max = 200, .depth_max = 3});
}

TEST(StrictJsonTest, EveryKindOfValueIsReadAsWritten) {
  StatusOr<Json> read = Parse(R"({"a":[1,-2,2.5,"x",true,false,null,{}],"b":{"a":1},"":[]})");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->dump(), R"({"":[],"a":[1,-2,2.5,"x",true,false,null,{}],"b":{"a":1}})");
  EXPECT_EQ(Parse("18446744073709551615")->dump(), "18446744073709551615");
  EXPECT_EQ(Parse("-9223372036854775808")->dump(), "-9223372036854775808");
}

TEST(StrictJsonTest, WhatTwoReadersCouldReadDifferentlyIsRefused) {
  struct Row {
    const char* name;
    std::string text;
    const char* message;
  };
  const Row kRows[] = {
      {"duplicate name", R"({"a":1,"a":1})", R"(document has the member "a" twice in one object)"},
      {"duplicate name after an escape", R"({"a":1,"\u0061":2})", "twice"},
      {"duplicate name inside", R"({"b":[{"a":1,"c":2,"a":2}]})", "twice"},
      {"integer beyond 64 bits", R"({"a":18446744073709551616})", "does not fit into 64 bits"},
      {"negative integer beyond 64 bits", "-9223372036854775809", "does not fit into 64 bits"},
      {"number beyond a double", "1e999", "not valid JSON"},
      {"text after the document", "{} {}", "not valid JSON"},
      {"comment", "{/**/}", "not valid JSON"},
      {"trailing comma", "[1,]", "not valid JSON"},
      {"single quotes", "{'a':1}", "not valid JSON"},
      {"NaN", "NaN", "not valid JSON"},
      {"leading zero", "01", "not valid JSON"},
      {"no UTF-8", "\"\xff\"", "not valid JSON"},
      {"overlong UTF-8", "\"\xc0\xaf\"", "not valid JSON"},
      {"lone surrogate", R"("\ud800")", "not valid JSON"},
      {"control character", "\"\n\"", "not valid JSON"},
      {"cut", R"({"a":)", "not valid JSON"},
      {"empty", "", "not valid JSON"},
      {"nothing but spaces", "  ", "not valid JSON"},
      {"too deep", "[[[[]]]]", "nested deeper than the limit of 3"},
      {"far too deep", std::string(190, '['), "nested deeper than the limit of 3"},
      {"too large", std::string(201, ' '), "larger than the limit of 200 bytes"},
  };
  for (const Row& row : kRows) {
    StatusOr<Json> read = Parse(row.text);
    ASSERT_FALSE(read.ok()) << row.name;
    EXPECT_NE(Message(read.status()).find(row.message), std::string_view::npos)
        << row.name << ": " << read.status();
  }
}

TEST(StrictJsonTest, OneNameInTwoObjectsAndTheLimitsThemselvesAreGood) {
  EXPECT_TRUE(Parse(R"([{"a":1},{"a":2}])").ok());
  EXPECT_TRUE(Parse(R"({"a":{"a":{"a":1}}})").ok());
  EXPECT_TRUE(Parse(Concat("[]", std::string(198, ' '))).ok());
}

}  // namespace
}  // namespace countersign::identity
