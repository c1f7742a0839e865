// Istio's values of one field as matchers of ours, or the reason why they cannot be carried over.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "authz/import/findings.h"
#include "authz/import/id_pattern.h"
#include "authz/import/istio_source.h"
#include "authz/model/field.h"

namespace countersign::authz::import {

// Polarity says what a predicate that holds does: hosts are judged without their port here, which
// may be said only where it admits no more.
enum class Polarity : uint8_t { kAdmits, kRefuses };

using Matchers = std::vector<Matcher>;

// ValueReader translates the values of fields; what it refuses goes to the findings. It borrows
// both.
class ValueReader {
 public:
  ValueReader(const ImportOptions& options, Findings& findings)
      : options_(options), findings_(findings) {}

  // Each gives one matcher a value; a value that is reported gives none. kPresent stands for `*`.
  Matchers Methods(const Texts& values);
  Matchers Paths(const Texts& values);
  Matchers Hosts(const Texts& values, Polarity polarity);
  Matchers Ports(const Texts& values);
  Matchers Snis(const Texts& values);
  Matchers Addresses(const Texts& values);
  IdPatterns Principals(const Texts& values);
  IdPatterns Namespaces(const Texts& values);
  IdPatterns ServiceAccounts(const Texts& values, std::string_view ns);
  IdPatterns TrustDomains(const Texts& values);

  // Header gives the condition on one header, or nothing if it is reported.
  std::optional<Condition> Header(const WhenItem& item);

 private:
  std::optional<Matcher> Host(const Text& value, const Texts& all, Polarity polarity);
  void Report(const Text& value, const Status& status);
  const ImportOptions& options_;
  Findings& findings_;
};

// BothAddresses gives the ranges that lie in both lists.
Matchers BothAddresses(const Matchers& a, const Matchers& b);

}  // namespace countersign::authz::import
