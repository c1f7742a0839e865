// From the request of a policy test to the canonical request that a proxy would make of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "authz/engine/canonical.h"
#include "authz/model/policy.h"
#include "authz/model/request.h"

namespace countersign::authz {

// TestRequest owns what its canonical request borrows. Move-only.
class TestRequest {
 public:
  // A path or host that a proxy answers with 400 is no failure here: see error().
  explicit TestRequest(const PolicyTestCase::Request& source);
  TestRequest(const TestRequest&) = delete;
  TestRequest& operator=(const TestRequest&) = delete;

  // error is kNone if the request reaches the policy; else a proxy refuses it before any rule.
  CanonicalError error() const { return error_; }
  const CanonicalRequest& canonical() const { return canonical_; }

 private:
  void TakeHttp();
  PolicyTestCase::Request source_;
  std::string sni_;
  std::vector<char> path_;
  std::vector<char> host_;
  std::vector<NameValue> headers_;
  std::vector<NameValue> query_;
  CanonicalError error_ = CanonicalError::kNone;
  CanonicalRequest canonical_;
};

}  // namespace countersign::authz
