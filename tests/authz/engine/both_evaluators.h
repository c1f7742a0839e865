// BothEvaluators runs the reference and the compiled policy and insists that they agree.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/engine/naive_authorizer.h"

namespace countersign::authz::testing {

class BothEvaluators {
 public:
  explicit BothEvaluators(PolicySets sets) {
    auto naive = NaiveAuthorizer::Create(sets);
    EXPECT_TRUE(naive.ok()) << naive.status();
    naive_ = std::make_unique<NaiveAuthorizer>(*std::move(naive));
    auto compiled = CompiledPolicy::Compile(std::move(sets));
    EXPECT_TRUE(compiled.ok()) << compiled.status();
    compiled_ = *std::move(compiled);
    scratch_.Fit(*compiled_);
  }

  NaiveDecision Decide(const CanonicalRequest& request, WallTime now = WallTime()) {
    NaiveDecision expected = naive_->Decide(request, now);
    Decision full = compiled_->Decide(request, now, scratch_);
    Expect(expected, full, "in full");
    ConnectionView view = compiled_->ViewConnection(request, scratch_);
    Expect(expected, compiled_->Decide(view, request, now, scratch_), "on a view");
    return expected;
  }
  bool Allows(const CanonicalRequest& request, WallTime now = WallTime()) {
    return Decide(request, now).effect == Effect::kAllow;
  }
  const CompiledPolicy& compiled() const { return *compiled_; }

 private:
  static void Expect(const NaiveDecision& expected, const Decision& actual, const char* how) {
    EXPECT_EQ(expected.effect, actual.effect) << how;
    EXPECT_EQ(ReasonName(expected.reason), ReasonName(actual.reason)) << how;
    EXPECT_EQ(expected.deciding_rule, actual.deciding_rule) << how;
    EXPECT_EQ(expected.matched, std::vector<uint32_t>(actual.matched.begin(), actual.matched.end()))
        << how;
    EXPECT_EQ(expected.would_be, actual.would_be) << how;
  }

  std::unique_ptr<NaiveAuthorizer> naive_;
  std::shared_ptr<const CompiledPolicy> compiled_;
  DecisionScratch scratch_;
};

}  // namespace countersign::authz::testing
