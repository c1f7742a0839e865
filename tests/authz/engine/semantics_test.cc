// The semantics of the policy language, line by line: what each admits and what it refuses, by both
// evaluators. Lines 6 to 8 are in absence_test.cc; lines 4, 13 and 14 are the loader's.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/authz/engine/both_evaluators.h"
#include "tests/support/policy_builder.h"

namespace countersign::authz::testing {
namespace {

constexpr Effect kAllow = Effect::kAllow;
constexpr Effect kDeny = Effect::kDeny;

WallTime At(int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

// Line 1.
TEST(SemanticsTest, NoPolicyAtAllIsADeny) {
  BothEvaluators none({});
  EXPECT_EQ(none.Decide(Get()).reason, Reason::kNoPolicy);
  EXPECT_FALSE(none.Allows(Get()));
  BothEvaluators elsewhere(OneSet({R("all", kAllow, Subject::kAnyone)}));
  CanonicalRequest request = Get();
  request.callee = kPartner;
  EXPECT_EQ(elsewhere.Decide(request).reason, Reason::kNoPolicy);
  request.callee = {};
  EXPECT_EQ(elsewhere.Decide(request).reason, Reason::kNoPolicy);
}

TEST(SemanticsTest, AMatchingDenyWinsOverAnyAllowOfAnySet) {
  for (bool deny_first : {true, false}) {
    PolicySet allow = S("a", {P("p", {R("all", kAllow, Subject::kAnyone)})});
    PolicySet deny =
        S("b", {P("p", {R("no-admin", kDeny, Subject::kAnyone, {Path(Under("/admin"))})})});
    BothEvaluators both(deny_first ? Sets({deny, allow}) : Sets({allow, deny}));
    EXPECT_TRUE(both.Allows(Get("/orders")));
    NaiveDecision denied = both.Decide(Get("/admin/x"));
    EXPECT_EQ(denied.reason, Reason::kDenyRule);
    EXPECT_EQ(denied.deciding_rule, deny_first ? 0U : 1U);
    EXPECT_EQ(denied.matched, (std::vector<uint32_t>{0, 1}));
  }
}

TEST(SemanticsTest, WhatNoRuleMatchesIsDenied) {
  BothEvaluators both(OneSet({R("reads", kAllow, {Id(Is(kWeb))}, {Path(Is("/orders"))})}));
  EXPECT_TRUE(both.Allows(Get("/orders")));
  EXPECT_EQ(both.Decide(Get("/other")).reason, Reason::kNoRuleMatched);
}

TEST(SemanticsTest, ASetSpeaksOnlyWithinItsScopeAndAGuardrailEverywhere) {
  PolicySet set = S("prod", {P("p", {R("all", kAllow, Subject::kAnyone)})});
  set.scope = Under("spiffe://shop.example/ns/prod");
  PolicySet guardrail = S("guard", {P("g", {R("no", kDeny, Subject::kAnyone, {Path(Is("/x"))})})});
  guardrail.guardrail = true;
  guardrail.scope = Present();
  BothEvaluators both(Sets({set, guardrail}));
  CanonicalRequest inside = Get("/");
  CanonicalRequest outside = Get("/");
  outside.callee = "spiffe://shop.example/ns/prod-eu/sa/orders";
  EXPECT_TRUE(both.Allows(inside));
  EXPECT_FALSE(both.Allows(outside));
  EXPECT_EQ(both.Decide(Get("/x")).reason, Reason::kDenyRule);
}

TEST(SemanticsTest, APolicyGuardsOnlyTheWorkloadsItAppliesTo) {
  AccessPolicy policy = P("p", {R("all", kAllow, Subject::kAnyone)});
  policy.applies_to_all = false;
  policy.applies_to = {Is(kOrders), Re2("spiffe://shop\\.example/ns/prod/sa/b.*")};
  BothEvaluators both(Sets({S("s", {policy})}));
  CanonicalRequest request = Get();
  EXPECT_TRUE(both.Allows(request));
  request.callee = "spiffe://shop.example/ns/prod/sa/billing";
  EXPECT_TRUE(both.Allows(request));
  request.callee = kWeb;
  EXPECT_FALSE(both.Allows(request));
}

// Line 2.
TEST(SemanticsTest, FromToAndWhenAreAndedEntriesAreOred) {
  BothEvaluators both(
      OneSet({R("r", kAllow, {Id(Is(kWeb)), Id(Is(kMobile))},
                {E({On(Field::kMethod, {Is("GET"), Is("HEAD")}), On(Field::kPath, Is("/a"))}),
                 Path(Is("/b"))},
                {Keyed(Field::kHeader, "x-tenant", {Is("acme")})})}));
  NameValue tenant[] = {{"x-tenant", "acme"}};
  auto allows = [&](std::string_view caller, std::string_view method, std::string_view path,
                    bool header) {
    CanonicalRequest request = Get(path, caller);
    request.method = method;
    if (header) {
      request.headers = tenant;
    }
    return both.Allows(request);
  };
  EXPECT_TRUE(allows(kWeb, "GET", "/a", true));
  EXPECT_TRUE(allows(kMobile, "HEAD", "/a", true));
  EXPECT_TRUE(allows(kWeb, "POST", "/b", true));
  EXPECT_FALSE(allows(kWeb, "POST", "/a", true));
  EXPECT_FALSE(allows(kPartner, "GET", "/a", true));
  EXPECT_FALSE(allows(kWeb, "GET", "/c", true));
  EXPECT_FALSE(allows(kWeb, "GET", "/a", false));
}

TEST(SemanticsTest, ExceptSubtractsFromItsOwnEntryOnly) {
  BothEvaluators both(OneSet({R("r", kAllow,
                                {E({On(Field::kId, Under("spiffe://shop.example"))},
                                   {{On(Field::kPeerIp, Cidr(V4(10, 9, 0, 0), 16))}}),
                                 Id(Is(kMobile))})}));
  CanonicalRequest web = Get();
  EXPECT_TRUE(both.Allows(web));
  web.peer_ip = V4(10, 9, 255, 255);
  EXPECT_FALSE(both.Allows(web));
  web.peer_ip = V4(10, 10, 0, 0);
  EXPECT_TRUE(both.Allows(web));
  CanonicalRequest mobile = Get("/", kMobile);
  mobile.peer_ip = V4(10, 9, 0, 1);
  EXPECT_TRUE(both.Allows(mobile));
}

TEST(SemanticsTest, AllConditionsOfOneExceptMustHold) {
  BothEvaluators both(
      OneSet({R("r", kAllow, Subject::kAnyone,
                {E({On(Field::kPath, Under("/a"))},
                   {{On(Field::kMethod, Is("DELETE")), On(Field::kPath, Is("/a/b"))},
                    {On(Field::kPath, Is("/a/c"))}})})}));
  CanonicalRequest request = Get("/a/b");
  EXPECT_TRUE(both.Allows(request));
  request.method = "DELETE";
  EXPECT_FALSE(both.Allows(request));
  request.path = "/a/x";
  EXPECT_TRUE(both.Allows(request));
  request.path = "/a/c";
  EXPECT_FALSE(both.Allows(request));
}

// Line 3.
TEST(SemanticsTest, EachMatcherAdmitsAndRefusesAtItsBorder) {
  struct {
    const char* name;
    Matcher matcher;
    std::vector<std::string_view> admits;
    std::vector<std::string_view> refuses;
  } const kRows[] = {
      {"exact", Is("/orders"), {"/orders"}, {"/orders/", "/order", "/ordersx", "/ORDERS"}},
      {"under",
       Under("/orders"),
       {"/orders", "/orders/", "/orders/7", "/orders/7/x"},
       {"/orders-admin", "/order", "/", "/x/orders"}},
      {"under the root", Under("/"), {"/", "/a", "/a/b"}, {}},
      {"prefix", Prefix("/ord"), {"/ord", "/orders", "/ord/x"}, {"/or", "/x/ord"}},
      {"suffix", Suffix(".png"), {"/a.png", "/x/.png"}, {"/a.pngx", "/png"}},
      {"re2",
       Re2("/orders/[0-9]+"),
       {"/orders/7", "/orders/77"},
       {"/orders/", "/orders/7/", "x/orders/7", "/orders/7x"}},
      {"re2 alternatives are whole", Re2("/a|/b"), {"/a", "/b"}, {"/ax", "x/b"}},
      {"re2 dot is any byte",
       Re2("/a.b"),
       {"/a.b", "/aXb", "/a\nb",
        "/a\xff"
        "b"},
       {"/ab"}},
      {"one segment",
       Template("/orders/{id}"),
       {"/orders/7", "/orders/x"},
       {"/orders", "/orders/", "/orders/7/", "/orders/7/x", "/orders-x/7"}},
      {"segments between",
       Template("/{a}/items/{b}"),
       {"/x/items/y"},
       {"//items/y", "/x/items/", "/x/item/y", "/x/items/y/z"}},
      {"everything below", Template("/x/**"), {"/x", "/x/", "/x/y/z"}, {"/xy", "/"}},
      {"below a variable", Template("/{a}/x/**"), {"/1/x", "/1/x/y"}, {"/1", "//x", "/1/xy"}},
  };
  for (const auto& row : kRows) {
    BothEvaluators both(OneSet({R("r", kAllow, Subject::kAnyone, {Path(row.matcher)})}));
    for (std::string_view path : row.admits) {
      EXPECT_TRUE(both.Allows(Get(path))) << row.name << " refuses " << path;
    }
    for (std::string_view path : row.refuses) {
      EXPECT_FALSE(both.Allows(Get(path))) << row.name << " admits " << path;
    }
  }
}

TEST(SemanticsTest, UnderOnIdsEndsAtASegment) {
  BothEvaluators both(OneSet({R("r", kAllow, {Id(Under("spiffe://shop.example/ns/prod"))})}));
  EXPECT_TRUE(both.Allows(Get("/", kWeb)));
  EXPECT_TRUE(both.Allows(Get("/", "spiffe://shop.example/ns/prod")));
  EXPECT_FALSE(both.Allows(Get("/", "spiffe://shop.example/ns/prod-eu/sa/web")));
  BothEvaluators domain(OneSet({R("r", kAllow, {Id(Under("spiffe://shop.example"))})}));
  EXPECT_TRUE(domain.Allows(Get("/", kWeb)));
  EXPECT_FALSE(domain.Allows(Get("/", "spiffe://shop.example.org/ns/prod/sa/web")));
}

TEST(SemanticsTest, R5LiteralsAreBytesAndNeverPatterns) {
  for (std::string_view text :
       {"/a.b", "/a*b", "/a+b", "/a[b]", "/a\\Eb", "/a\nb", "/(a|b)", "/a$"}) {
    for (const Matcher& matcher : {Is(text), Under(text), Prefix(text), Suffix(text)}) {
      BothEvaluators both(OneSet({R("r", kAllow, Subject::kAnyone, {Path(matcher)})}));
      EXPECT_TRUE(both.Allows(Get(text))) << text;
      EXPECT_FALSE(both.Allows(Get("/aXb"))) << text;
      EXPECT_FALSE(both.Allows(Get("/ab"))) << text;
      EXPECT_FALSE(both.Allows(Get("/a"))) << text;
    }
  }
}

TEST(SemanticsTest, R6BytesOutsideUtf8DoNotSlipPastADeny) {
  for (const Matcher& matcher : {Re2("/admin/.*"), Re2("/admin/[^/]+")}) {
    BothEvaluators both(OneSet(
        {R("all", kAllow, Subject::kAnyone), R("no", kDeny, Subject::kAnyone, {Path(matcher)})}));
    for (std::string_view path :
         {"/admin/\xff", "/admin/a\nb", "/admin/\xc0\xaf", "/admin/\xed\xa0\x80"}) {
      EXPECT_FALSE(both.Allows(Get(path))) << path;
    }
    EXPECT_TRUE(both.Allows(Get("/public")));
  }
}

TEST(SemanticsTest, R43APatternIsAboutTheWholeValue) {
  BothEvaluators both(OneSet({R("r", kAllow, Subject::kAnyone, {Path(Re2("/foo|/foobar"))})}));
  EXPECT_TRUE(both.Allows(Get("/foobar")));
  EXPECT_TRUE(both.Allows(Get("/foo")));
  EXPECT_FALSE(both.Allows(Get("/foob")));
  EXPECT_FALSE(both.Allows(Get("/foo\n")));
}

// Line 9.
TEST(SemanticsTest, EveryFieldAdmitsItsValueAndRefusesAnother) {
  struct {
    Condition condition;
    std::function<void(CanonicalRequest&)> change;
  } const kRows[] = {
      {On(Field::kId, Is(kWeb)), [](auto& r) { r.caller = kMobile; }},
      {On(Field::kTrustDomain, Is("shop.example")), [](auto& r) { r.caller = kPartner; }},
      {On(Field::kPeerIp, Cidr(V4(10, 1, 0, 0), 16)), [](auto& r) { r.peer_ip = V4(10, 2, 0, 0); }},
      {On(Field::kPort, {Port(8443), Port(9443)}), [](auto& r) { r.port = 443; }},
      {On(Field::kSni, Is("orders")), [](auto& r) { r.sni = "other"; }},
      {On(Field::kMethod, Is("GET")), [](auto& r) { r.method = "get"; }},
      {On(Field::kPath, Is("/orders/7")), [](auto& r) { r.path = "/orders/8"; }},
      {On(Field::kHost, Suffix(".shop.internal")), [](auto& r) { r.host = "shop.internal"; }},
  };
  for (const auto& row : kRows) {
    BothEvaluators both(OneSet({R("r", kAllow, Subject::kAnyone, {}, {row.condition})}));
    CanonicalRequest request = Get();
    EXPECT_TRUE(both.Allows(request)) << FieldName(row.condition.field);
    row.change(request);
    EXPECT_FALSE(both.Allows(request)) << FieldName(row.condition.field);
  }
}

TEST(SemanticsTest, AMappedIpv4RangeHoldsNoIpv6Address) {
  BothEvaluators both(OneSet({R("r", kAllow, {E({On(Field::kPeerIp, Cidr(V4(0, 0, 0, 0), 0))})})}));
  CanonicalRequest request = Get();
  EXPECT_TRUE(both.Allows(request));
  request.peer_ip = IpAddress{{0x20, 0x01, 0x0d, 0xb8}};
  EXPECT_FALSE(both.Allows(request));
}

// Line 11.
TEST(SemanticsTest, AllMatchedRulesAreKnownAndTheFirstDecides) {
  BothEvaluators both(OneSet({R("a", kAllow, {Id(Is(kWeb))}), R("b", kAllow, {Id(Is(kMobile))}),
                              R("c", kAllow, Subject::kMesh),
                              R("d", kAllow, Subject::kAnyone, {Path(Under("/orders"))})}));
  NaiveDecision decision = both.Decide(Get());
  EXPECT_EQ(decision.matched, (std::vector<uint32_t>{0, 2, 3}));
  EXPECT_EQ(decision.deciding_rule, 0U);
}

// Line 12.
TEST(SemanticsTest, APolicyOnTrialDecidesNothingAndSaysWhatItWould) {
  AccessPolicy trial = P("t", {R("no", kDeny, Subject::kAnyone, {Path(Is("/x"))}),
                               R("yes", kAllow, Subject::kAnyone, {Path(Is("/y"))})});
  trial.dry_run = true;
  BothEvaluators both(
      Sets({S("s", {P("p", {R("x", kAllow, Subject::kAnyone, {Path(Is("/x"))})}), trial})}));
  NaiveDecision x = both.Decide(Get("/x"));
  EXPECT_EQ(x.effect, kAllow);
  EXPECT_EQ(x.would_be, kDeny);
  EXPECT_EQ(x.matched, (std::vector<uint32_t>{0}));
  NaiveDecision y = both.Decide(Get("/y"));
  EXPECT_EQ(y.effect, kDeny);
  EXPECT_EQ(y.would_be, kAllow);
  EXPECT_TRUE(y.matched.empty());
  trial.name = "alone";
  BothEvaluators alone(Sets({S("s", {trial})}));
  EXPECT_EQ(alone.Decide(Get("/y")).reason, Reason::kNoPolicy);
}

TEST(SemanticsTest, UnmatchedOnTrialLetsThroughOnlyWhatNoRuleMatchesAndOnlyUntilItsDate) {
  AccessPolicy policy = P("p", {R("no", kDeny, Subject::kAnyone, {Path(Is("/x"))}),
                                R("yes", kAllow, {Id(Is(kWeb))}, {Path(Is("/y"))})});
  policy.unmatched_dry_run_until = At(100);
  BothEvaluators both(Sets({S("s", {policy})}));
  NaiveDecision unmatched = both.Decide(Get("/z"), At(99));
  EXPECT_EQ(unmatched.effect, kAllow);
  EXPECT_EQ(unmatched.reason, Reason::kUnmatchedTrial);
  EXPECT_EQ(unmatched.would_be, kDeny);
  EXPECT_EQ(both.Decide(Get("/x"), At(99)).reason, Reason::kDenyRule);
  EXPECT_EQ(both.Decide(Get("/y"), At(99)).reason, Reason::kAllowRule);
  EXPECT_EQ(both.Decide(Get("/z"), At(100)).reason, Reason::kNoRuleMatched);
}

TEST(SemanticsTest, AnExpiredAllowIsNotThere) {
  Rule rule =
      R("r", kAllow, Subject::kAnyone, {}, {Many(Keyed(Field::kHeader, "x-a", {Absent()}))});
  Rule named = R("n", kAllow, Subject::kAnyone, {}, {Keyed(Field::kHeader, "x-a", {Is("1")})});
  rule.expires = named.expires = At(100);
  BothEvaluators both(OneSet({rule, named, R("web", kAllow, {Id(Is(kMobile))})}));
  EXPECT_TRUE(both.Allows(Get(), At(99)));
  EXPECT_EQ(both.Decide(Get(), At(100)).reason, Reason::kNoRuleMatched);
  NameValue twice[] = {{"x-a", "1"}, {"x-a", "1"}};
  CanonicalRequest request = Get("/", kMobile);
  request.headers = twice;
  EXPECT_EQ(both.Decide(request, At(99)).reason, Reason::kAmbiguousField);
  EXPECT_TRUE(both.Allows(request, At(100)));
}

}  // namespace
}  // namespace countersign::authz::testing
