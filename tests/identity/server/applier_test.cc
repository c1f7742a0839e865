#include "identity/server/applier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/identity/server/documents.h"
#include "tests/support/memory_store.h"

namespace countersign::server {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

const WallTime kNow = *ParseTime("2026-01-31T12:00:00.000Z");
const Applier::Author kRoot{"unix:root"};

class ApplierTest : public testing::Test {
 protected:
  ApplyReport Apply(const std::string& yaml, Applier::Mode mode = Applier::Mode::kStore) {
    auto report = applier_.Apply(Files(yaml), mode, kRoot, kNow);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : ApplyReport();
  }
  static std::vector<std::string> Messages(const ApplyReport& report,
                                           authz::Diagnostic::Severity severity) {
    std::vector<std::string> messages;
    for (const authz::Diagnostic& one : report.diagnostics) {
      if (one.severity == severity) {
        messages.push_back(one.message);
      }
    }
    return messages;
  }
  static std::vector<std::string> Errors(const ApplyReport& report) {
    return Messages(report, authz::Diagnostic::Severity::kError);
  }
  static std::vector<std::string> Warnings(const ApplyReport& report) {
    return Messages(report, authz::Diagnostic::Severity::kWarning);
  }

  std::unique_ptr<Store> store_ = MakeMemoryStore();
  std::unique_ptr<Registry> registry_ = *Registry::Open(*store_);
  Applier applier_{*registry_,
                   {*identity::TrustDomain::Parse("shop.example"), std::chrono::hours(28)}};
};

TEST_F(ApplierTest, DocumentsAreStoredTogetherAndChangesNamed) {
  ApplyReport report = Apply(RegistrationYaml("orders") + ServiceYaml("orders", "web") +
                             SetYaml("shop", "/orders/**"));
  EXPECT_THAT(Errors(report), ElementsAre());
  ASSERT_EQ(report.changes.size(), 3u);
  EXPECT_EQ(report.changes[2].verb, ChangeVerb::kCreated);
  EXPECT_EQ(report.changes[2].version, 1u);
  EXPECT_EQ(report.revision, registry_->state()->revision);
  ApplyReport again = Apply(RegistrationYaml("orders") + RegistrationYaml("web"));
  EXPECT_EQ(again.changes[0].verb, ChangeVerb::kUnchanged);
  EXPECT_EQ(again.changes[1].verb, ChangeVerb::kCreated);
}

TEST_F(ApplierTest, SameDocumentsAgainChangeNothing) {
  std::string yaml = RegistrationYaml("web") + SetYaml("shop", "/orders/**");
  Revision first = Apply(yaml).revision;
  ApplyReport report = Apply("# another comment\n" + yaml);
  EXPECT_EQ(report.revision, first);
  EXPECT_EQ(report.changes[1].verb, ChangeVerb::kUnchanged);
  EXPECT_EQ(report.changes[1].version, 1u);
}

TEST_F(ApplierTest, OneErrorStopsAllAndEveryErrorIsTold) {
  std::string foreign = RegistrationYaml("foreign");
  foreign.replace(foreign.find("shop.example/ns"), 12, "evil.example");
  std::string reserved = RegistrationYaml("reserved");
  reserved.replace(reserved.find("ns/prod/sa/reserved"), 19, "server");
  ApplyReport report = Apply(RegistrationYaml("good") + foreign + reserved);
  EXPECT_THAT(Errors(report), Contains(HasSubstr("not in this server's trust domain")));
  EXPECT_THAT(Errors(report), Contains(HasSubstr("reserved")));
  EXPECT_TRUE(registry_->state()->registrations.empty());
}

TEST_F(ApplierTest, LifeLongerThanTheAuthorityAllowsIsRefused) {
  EXPECT_THAT(Errors(Apply(RegistrationYaml("web") + "  svid: { ttl: 29h }\n")),
              ElementsAre(HasSubstr("longer than an SVID may live here")));
}

TEST_F(ApplierTest, NodeMustBeAnAgentOfThisDomain) {
  std::string yaml = RegistrationYaml("web");
  yaml.replace(yaml.find("agent/node-1"), 12, "ns/prod/sa/x");
  EXPECT_THAT(Errors(Apply(yaml)), Contains(HasSubstr("agent")));
  EXPECT_TRUE(registry_->state()->registrations.empty());
}

TEST_F(ApplierTest, UnknownNamesAreWarnings) {
  ApplyReport report = Apply(ServiceYaml("orders", "web") + RouteYaml("orders", "orders-next"));
  EXPECT_THAT(Errors(report), ElementsAre());
  EXPECT_THAT(Warnings(report), Contains(HasSubstr("no registration gives out the ID")));
  EXPECT_THAT(Warnings(report), Contains(HasSubstr("no service \"orders-next\"")));
  EXPECT_EQ(registry_->state()->routes.size(), 1u);
}

// RegistrationYaml gives all of them one uid on one node.
TEST_F(ApplierTest, AProcessThatWouldBeGivenTwoIdentitiesIsAWarningThatNamesBoth) {
  EXPECT_THAT(Warnings(Apply(RegistrationYaml("web"))), ElementsAre());
  EXPECT_THAT(Warnings(Apply(RegistrationYaml("copy"))),
              ElementsAre(AllOf(HasSubstr("registration copy: "), HasSubstr("registration web"),
                                HasSubstr("sa/web\""), HasSubstr("sa/copy\""))));
  std::string apart = RegistrationYaml("apart");
  apart.replace(apart.find("70010"), 5, "70011");
  EXPECT_THAT(Warnings(Apply(apart)), ElementsAre());
  EXPECT_THAT(Warnings(Apply(RegistrationYaml("far", "node-2"))), ElementsAre());
  // Two registrations of one identity, as of two instances, are meant.
  std::string again = RegistrationYaml("web");
  again.replace(again.find("name: web"), 9, "name: web-2");
  EXPECT_THAT(Warnings(Apply("---\n" + again)), ElementsAre(HasSubstr("registration copy")));
}

TEST_F(ApplierTest, AnIdOneSlipFromARegisteredOneIsAWarning) {
  Apply(RegistrationYaml("orders", "node-2"));
  std::string yaml = RegistrationYaml("web") + SetYaml("shop", "/orders/**");
  EXPECT_THAT(Warnings(Apply(yaml)), ElementsAre());
  for (size_t at = yaml.find("sa/orders"); at != std::string::npos; at = yaml.find("sa/orders")) {
    yaml.replace(at, 9, "sa/ordres");
  }
  EXPECT_THAT(Warnings(Apply(yaml)),
              Contains(AllOf(HasSubstr("no registration gives out"), HasSubstr("sa/orders\"?)"))));
}

TEST_F(ApplierTest, SetWhoseTestFailsIsRefusedAndTheRunningOneStays) {
  Apply(SetYaml("shop", "/orders/**"));
  ApplyReport report = Apply(SetYaml("shop", "/other/**") + RegistrationYaml("web"));
  EXPECT_THAT(Errors(report), ElementsAre(HasSubstr("web reads an order")));
  EXPECT_EQ(registry_->state()->sets.at("shop")->version.version, 1u);
  EXPECT_TRUE(registry_->state()->registrations.empty());
}

TEST_F(ApplierTest, FailedTestOfAnotherSetIsToldButDoesNotStop) {
  Apply(SetYaml("shop", "/orders/**"));
  std::string guardrail = R"(
apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: security }
spec: { guardrail: true, owner: { id: spiffe://shop.example/people/eve } }
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: freeze }
spec:
  appliesTo: all
  rules: [{ name: nobody, effect: deny, from: anyone }]
)";
  ApplyReport report = Apply(guardrail);
  EXPECT_THAT(Errors(report), ElementsAre());
  EXPECT_THAT(Warnings(report),
              Contains(AllOf(HasSubstr("running set shop"), HasSubstr("web reads an order"))));
  EXPECT_TRUE(registry_->state()->sets.contains("security"));
}

const std::string kWebNeverReachesRefunds = R"(---
apiVersion: countersign.dev/v1alpha1
kind: PolicyAssertion
metadata: { name: no-refunds }
spec: { never: { from: [{ id: spiffe://shop.example/ns/prod/sa/web }], to: [{ path: /refunds/** }] } }
)";
const std::string kGuardrail = R"(---
apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: security }
spec: { owner: { id: spiffe://shop.example/people/ana }, guardrail: true }
)" + kWebNeverReachesRefunds;

TEST_F(ApplierTest, AnAssertionThatIsProvedIsStoredWithItsSet) {
  EXPECT_THAT(Errors(Apply(SetYaml("shop", "/orders/**") + kWebNeverReachesRefunds)),
              ElementsAre());
  EXPECT_TRUE(registry_->state()->sets.contains("shop"));
}

TEST_F(ApplierTest, AnAssertionThatDoesNotHoldRefusesItsSetWithARequestAndTheGuiltyRule) {
  ApplyReport report = Apply(SetYaml("shop", "/**") + kWebNeverReachesRefunds);
  EXPECT_THAT(Errors(report),
              Contains(AllOf(HasSubstr("no-refunds"), HasSubstr("does not hold"),
                             HasSubstr("shop/orders/reads"), HasSubstr("path: /refunds"))));
  EXPECT_TRUE(registry_->state()->sets.empty());
}

TEST_F(ApplierTest, AChangeOfOneSetThatBreaksAnothersAssertionIsRefused) {
  EXPECT_THAT(Errors(Apply(SetYaml("shop", "/orders/**"))), ElementsAre());
  EXPECT_THAT(Errors(Apply(kGuardrail)), ElementsAre());
  EXPECT_THAT(Errors(Apply(SetYaml("shop", "/**"))),
              Contains(AllOf(HasSubstr("security"), HasSubstr("does not hold"))));
  EXPECT_EQ(registry_->state()->sets.at("shop")->version.version, 1u);
}

TEST_F(ApplierTest, ARollbackThatBreaksAnAssertionIsRefused) {
  Apply(SetYaml("shop", "/**"));
  Apply(SetYaml("shop", "/orders/**"));
  EXPECT_THAT(Errors(Apply(kGuardrail)), ElementsAre());
  StatusOr<ApplyReport> report = applier_.Rollback("shop", 1, kRoot, kNow);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(Errors(*report), Contains(HasSubstr("does not hold")));
  EXPECT_EQ(registry_->state()->sets.at("shop")->version.version, 2u);
}

TEST_F(ApplierTest, CompareOnlyStoresNothingAndShowsBothTexts) {
  Apply(SetYaml("shop", "/orders/**"));
  Revision before = registry_->state()->revision;
  ApplyReport report = Apply(SetYaml("shop", "/**"), Applier::Mode::kCompareOnly);
  ASSERT_EQ(report.changes.size(), 1u);
  EXPECT_EQ(report.changes[0].verb, ChangeVerb::kConfigured);
  EXPECT_THAT(report.changes[0].old_document, HasSubstr("/orders"));
  EXPECT_NE(report.changes[0].old_document, report.changes[0].new_document);
  EXPECT_EQ(registry_->state()->revision, before);
}

TEST_F(ApplierTest, RollbackIsANewVersionOfTheOldContent) {
  Apply(SetYaml("shop", "/orders/**"));
  std::string digest = registry_->state()->sets.at("shop")->version.digest;
  Apply(SetYaml("shop", "/**"));
  auto report = applier_.Rollback("shop", 0, kRoot, kNow);
  ASSERT_TRUE(report.ok()) << report.status();
  const PolicySetVersion& running = registry_->state()->sets.at("shop")->version;
  EXPECT_EQ(running.version, 3u);
  EXPECT_EQ(running.rollback_of, 1u);
  EXPECT_EQ(running.digest, digest);
  ASSERT_TRUE(applier_.Rollback("shop", 2, kRoot, kNow).ok());
  EXPECT_EQ(registry_->state()->sets.at("shop")->version.version, 4u);
}

TEST_F(ApplierTest, RollbackToNothingIsASentence) {
  EXPECT_EQ(applier_.Rollback("shop", 0, kRoot, kNow).status().code(), StatusCode::kNotFound);
  Apply(SetYaml("shop", "/orders/**"));
  EXPECT_EQ(applier_.Rollback("shop", 0, kRoot, kNow).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(applier_.Rollback("shop", 5, kRoot, kNow).status().code(), StatusCode::kNotFound);
}

TEST_F(ApplierTest, RemovedSetCanBeRolledBackTo) {
  Apply(SetYaml("shop", "/orders/**"));
  std::vector<DocumentKey> keys = {{std::string(kPolicySetKind), "shop"}};
  ASSERT_TRUE(applier_.Delete(keys).ok());
  ASSERT_TRUE(applier_.Rollback("shop", 0, kRoot, kNow).ok());
  EXPECT_EQ(registry_->state()->sets.at("shop")->version.version, 2u);
}

TEST_F(ApplierTest, DeleteIsAllOrNothing) {
  Apply(RegistrationYaml("web") + ServiceYaml("web", "web"));
  std::vector<DocumentKey> keys = {{std::string(kRegistrationKind), "web"},
                                   {std::string(kServiceKind), "none"}};
  EXPECT_EQ(applier_.Delete(keys).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(registry_->state()->registrations.size(), 1u);
  keys[1].name = "web";
  EXPECT_TRUE(applier_.Delete(keys).ok());
  EXPECT_TRUE(registry_->state()->registrations.empty());
  EXPECT_TRUE(registry_->state()->services.empty());
}

TEST_F(ApplierTest, TwoAdministratorsAtOnceBothSucceed) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { Apply(RegistrationYaml(Concat("w", i))); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(registry_->state()->registrations.size(), 4u);
}

}  // namespace
}  // namespace countersign::server
