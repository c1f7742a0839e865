// ReplayFixture writes real logs of what policies decided, as a proxy records it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "audit/replay/replay.h"
#include "authz/engine/compiled_policy.h"
#include "authz/kinds/loader.h"
#include "tests/audit/log_fixture.h"
#include "tests/audit/record_of.h"

namespace countersign::audit {

inline constexpr std::string_view kWeb = "spiffe://shop.example/ns/prod/sa/web";
inline constexpr std::string_view kMobile = "spiffe://shop.example/ns/prod/sa/mobile";
inline constexpr std::string_view kOrders = "spiffe://shop.example/ns/prod/sa/orders";

// Orders is a set named shop with one policy for the orders workload; `rules` in YAML, indented by
// four blanks.
inline authz::PolicySets Orders(const std::string& rules) {
  authz::SourceFile file{
      .path = "set.yaml",
      .content =
          "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: shop }\n"
          "spec:\n  owner: { id: 'spiffe://shop.example/people/ana' }\n"
          "  scope: { under: 'spiffe://shop.example/ns/prod' }\n---\n"
          "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: orders }\n"
          "spec:\n  appliesTo: { id: spiffe://shop.example/ns/prod/sa/orders }\n  rules:\n" +
          rules};
  authz::LoadResult loaded = authz::Load({&file, 1});
  for (const authz::Diagnostic& diagnostic : loaded.diagnostics) {
    ADD_FAILURE() << authz::FormatDiagnostic(diagnostic);
  }
  return loaded.sets;
}

// AllowRule is one rule in that form; `to` and `when` are flow maps, empty for none.
inline std::string AllowRule(std::string_view name, std::string_view caller, std::string_view to,
                             std::string_view when = "") {
  return Concat("    - name: ", name, "\n      effect: allow\n      from: [{ id: ", caller,
                " }]\n      to: [", to, "]\n",
                when.empty() ? "" : Concat("      when: ", when, "\n"));
}

class ReplayFixture : public LogFixture {
 protected:
  void SetUp() override { log_ = Open(); }

  // Use makes the policies that the following requests are judged by.
  void Use(const authz::PolicySets& sets) {
    auto compiled = authz::CompiledPolicy::Compile(sets);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    policy_ = *std::move(compiled);
  }
  // Put judges a request, records the verdict with a completion, and a second passes.
  void Put(const authz::CanonicalRequest& request) {
    RecordOf made(*policy_, request, clock_.Now());
    PutRecord(made.record);
  }
  void PutRecord(DecisionRecord record) {
    record.id = IdOf(++number_);
    log_->Append({kRing, ++sequence_}, EncodeToString(record));
    CompletionRecord done;
    done.id = record.id;
    log_->Append({kRing, ++sequence_}, EncodeToString(done));
    ASSERT_TRUE(log_->Commit().ok());
    clock_.Advance(std::chrono::seconds(1));
  }
  // Http is a request to orders.
  static authz::CanonicalRequest Http(std::string_view caller, std::string_view method,
                                      std::string_view path) {
    authz::CanonicalRequest request;
    request.kind = authz::RequestKind::kHttp;
    request.callee = kOrders;
    request.caller = caller;
    request.port = 8443;
    request.method = method;
    request.path = path;
    request.host = "orders";
    return request;
  }
  StatusOr<ReplayReport> TryReplay(const authz::PolicySets& candidate,
                                   const std::vector<authz::PolicySets>& old = {}) {
    ReplayQuestion question;
    question.window.folders = {folder_};
    question.window.since = since_;
    question.window.until = until_;
    question.candidate = candidate;
    question.old = old;
    question.prove.now = clock_.Now();
    question.limits = limits_;
    return Replay(question);
  }
  ReplayReport Replayed(const authz::PolicySets& candidate,
                        const std::vector<authz::PolicySets>& old = {}) {
    StatusOr<ReplayReport> report = TryReplay(candidate, old);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : ReplayReport();
  }

  std::unique_ptr<NodeLog> log_;
  std::shared_ptr<const authz::CompiledPolicy> policy_;
  std::optional<WallTime> since_;
  std::optional<WallTime> until_;
  ReplayLimits limits_;
  uint64_t number_ = 0;
  uint64_t sequence_ = 0;
};

}  // namespace countersign::audit
