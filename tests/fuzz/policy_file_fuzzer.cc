// Policy files: whatever the bytes, the loader ends, and what it accepts is stable: the canonical
// documents load to the same digest, as does the YAML that the printer makes of them.
#include <cstdint>
#include <string>
#include <vector>

#include "authz/kinds/loader.h"
#include "authz/kinds/printer.h"
#include "base/status.h"

namespace {

using countersign::authz::PolicySet;

void CheckSet(const PolicySet& set) {
  auto stored = countersign::authz::LoadPolicySet(set.canonical_documents);
  CHECK(stored.ok());
  CHECK((*stored)->digest == set.digest);
  CHECK((*stored)->canonical_documents == set.canonical_documents);
  std::vector<std::string> printed;
  for (const std::string& document : set.canonical_documents) {
    auto yaml = countersign::authz::ToYaml(document);
    CHECK(yaml.ok());
    printed.push_back(*yaml);
  }
  auto again = countersign::authz::LoadPolicySet(printed);
  CHECK(again.ok());
  CHECK((*again)->digest == set.digest);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign::authz;  // NOLINT(google-build-using-namespace): one short function.
  std::vector<SourceFile> files = {{"set.yaml", std::string(data, data + size)}};
  LoadResult result = Load(files);
  CHECK(result.ok() || !result.diagnostics.empty());
  for (const auto& set : result.sets) {
    CheckSet(*set);
  }
  for (const Registration& registration : result.registrations) {
    auto again = LoadRegistration(registration.canonical_json);
    CHECK(again.ok() && again->canonical_json == registration.canonical_json);
  }
  for (const Service& service : result.services) {
    auto again = LoadService(service.canonical_json);
    CHECK(again.ok() && again->canonical_json == service.canonical_json);
  }
  for (const Route& route : result.routes) {
    auto again = LoadRoute(route.canonical_json);
    CHECK(again.ok() && again->canonical_json == route.canonical_json);
  }
  return 0;
}
