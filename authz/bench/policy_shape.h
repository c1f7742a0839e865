// The policy and the traffic that `policy bench` measures: a fixed seed, a stated shape.
//
// Callers 50% exact, 25% `under`, 25% pattern; paths 30% exact, 30% `under`, 20% template, 20%
// pattern; 20% of the rules ask for a header; 10% are denies; 50 workloads. Of the requests, four
// fifths fit a rule drawn uniformly and one fifth misses one narrowly.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "authz/model/policy.h"
#include "authz/model/request.h"

namespace countersign::bench {

struct ShapeOptions {
  size_t rules = 10'000;
  size_t workloads = 50;
};

// ShapeRule is one rule in parts, for the policy, for YAML and for the contenders alike.
struct ShapeRule {
  bool deny = false;
  std::string workload;
  authz::Matcher caller;
  std::string caller_example;
  std::string method;
  authz::Matcher path;
  std::string path_example;
  bool header = false;  // x-tenant: [a-z0-9-]{1,32}
};

struct ShapeRequest {
  std::string callee, caller, method, path;
  std::vector<authz::NameValue> headers;
  authz::CanonicalRequest View() const;
};

class Shape {
 public:
  explicit Shape(const ShapeOptions& options);
  const std::vector<ShapeRule>& rules() const { return rules_; }
  // The policy as a loader would make it.
  std::vector<std::shared_ptr<const authz::PolicySet>> Sets() const;
  // The policy as its authors write it: paths and contents, a file for each workload.
  std::vector<std::pair<std::string, std::string>> Files() const;
  std::vector<ShapeRequest> Requests(size_t count) const;

 private:
  std::vector<ShapeRule> rules_;
};

// AsPattern is the matcher as one RE2 pattern over the whole value.
std::string AsPattern(const authz::Matcher& matcher);

}  // namespace countersign::bench
