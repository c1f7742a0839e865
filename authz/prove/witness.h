// Witness: one request of a region, concrete and replayable.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "authz/model/policy.h"
#include "authz/model/request.h"
#include "authz/prove/region.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Witness owns its request, in the form that `policy eval -f` reads.
struct Witness {
  PolicyTestCase::Request request;
  // A file cannot hold every byte that a header or a query can; then the text below is close only.
  bool replayable = true;
};

// MakeWitness picks a request of the region that reads well. Fails with kResourceExhausted if its
// IDs have trust domains that are too long to be any: whether others are there is not known then.
StatusOr<Witness> MakeWitness(const Region& region, Space& space, const ValueTable& values);

// RequestText is the request in YAML's flow form, on one line: what `policy eval -f -` reads.
std::string RequestText(const PolicyTestCase::Request& request);

// OwnedView is the canonical request of a witness. It borrows the witness.
class OwnedView {
 public:
  explicit OwnedView(const PolicyTestCase::Request& request);
  OwnedView(const OwnedView&) = delete;
  OwnedView& operator=(const OwnedView&) = delete;
  const CanonicalRequest& get() const { return view_; }

 private:
  std::vector<NameValue> headers_;
  std::vector<NameValue> query_;
  CanonicalRequest view_;
};

}  // namespace countersign::authz::prove
