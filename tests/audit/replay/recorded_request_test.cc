#include "audit/replay/recorded_request.h"

#include <gtest/gtest.h>

#include "authz/kinds/loader.h"
#include "tests/audit/sample_records.h"

namespace countersign::audit {
namespace {

TEST(RecordedRequestTest, IdentifiersAreKnownByTheirLooks) {
  for (std::string_view id : {"7", "000123", "3fa85f64-5717-4562-b3fc-2c963f66afa6",
                              "ABCDEFAB-ABCD-ABCD-ABCD-ABCDEFABCDEF", "deadbeef1",
                              "65a1f0c2b7e44d0012ab34cd", "01HV3Z8J9K4M5N6P7Q8R9S0T1V"}) {
    EXPECT_TRUE(LooksLikeIdentifier(id)) << id;
  }
  for (std::string_view word :
       {"", "orders", "v1", "export", "deadbeef", "facade", "7a", "report-2024-01-31",
        "3fa85f64-5717-4562-b3fc-2c963f66afaz", "3fa85f64-5717-4562-b3fc-2c963f66afa60",
        "thequickbrownfoxjumps12", "-", "{id}"}) {
    EXPECT_FALSE(LooksLikeIdentifier(word)) << word;
  }
}

TEST(RecordedRequestTest, AShapeHasAPlaceForEachIdentifierAndIsCut) {
  EXPECT_EQ(PathShape("/orders/7/items/12", 100), "/orders/{id}/items/{id}");
  EXPECT_EQ(PathShape("/orders/", 100), "/orders/");
  EXPECT_EQ(PathShape("/", 100), "/");
  EXPECT_EQ(PathShape("/v1/orders/export", 100), "/v1/orders/export");
  EXPECT_EQ(PathShape("/aaaaaaaaaa/bbbbbbbbbb", 12), "/aaaaaaaaaa/");
  EXPECT_EQ(PathShape("/aaaaaaaaaa", 4), "/aaa");
}

TEST(RecordedRequestTest, TheTextIsReadBackAsTheRequest) {
  SampleDecision sample;
  std::string text = RequestText(sample.record, 4096);
  auto request = authz::LoadTestRequest({"sample", text});
  ASSERT_TRUE(request.ok()) << request.status() << text;
  EXPECT_EQ(request->caller, sample.record.caller);
  EXPECT_EQ(request->workload, sample.record.callee);
  EXPECT_EQ(request->peer_ip, "10.1.2.3");
  EXPECT_EQ(request->port, 8443);
  EXPECT_EQ(request->sni, "orders");
  EXPECT_EQ(request->method, "DELETE");
  EXPECT_EQ(request->host, "orders");
  EXPECT_EQ(request->path, "/orders/7");
  ASSERT_EQ(request->headers.size(), 1U);
  EXPECT_EQ(request->headers[0].second, "acme");
}

TEST(RecordedRequestTest, WhatNoFileCanHoldHasNoText) {
  SampleDecision sample;
  EXPECT_EQ(RequestText(sample.record, 20), "");
  sample.record.path = "/orders/\xc3\xa9";
  EXPECT_EQ(RequestText(sample.record, 4096), "");
  SampleDecision header;
  header.headers[0].value = "a\nb";
  EXPECT_EQ(RequestText(header.record, 4096), "");
}

TEST(RecordedRequestTest, OnlyPoliciesJudgeWhatPoliciesJudged) {
  using authz::Reason;
  for (uint8_t i = 0; authz::ReasonName(static_cast<Reason>(i)) != "unknown"; ++i) {
    auto reason = static_cast<Reason>(i);
    bool other = reason == Reason::kProbe || reason == Reason::kLocalCaller ||
                 reason == Reason::kLocalCallerRefused || reason == Reason::kNotReady;
    EXPECT_EQ(IsOfPolicy(reason), !other) << authz::ReasonName(reason);
  }
}

}  // namespace
}  // namespace countersign::audit
