#include "cli/running_policies.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "cli/admin_client.h"

namespace countersign::cli {
namespace {

StatusOr<v1::GetResponse> AllOf(AdminClient& client, const char* kind) {
  v1::GetRequest request;
  request.set_kind(kind);
  return client.Get(request);
}

}  // namespace

StatusOr<authz::LoadResult> RunningPolicies(const Context& context) {
  ASSIGN_OR_RETURN(std::unique_ptr<AdminClient> client,
                   AdminClient::Connect(context.server_socket));
  ASSIGN_OR_RETURN(v1::GetResponse sets, AllOf(*client, "policyset"));
  ASSIGN_OR_RETURN(v1::GetResponse services, AllOf(*client, "service"));
  std::vector<authz::SourceFile> files;
  for (const v1::PolicySetVersion& set : sets.policy_sets()) {
    // The first document of a version is its PolicySet, which the loader expects in set.yaml.
    for (int i = 0; i < set.documents_size(); ++i) {
      files.push_back({Concat("running/", set.set(), "/", i == 0 ? "set" : Concat("", i), ".yaml"),
                       set.documents(i)});
    }
  }
  for (const v1::Resource& service : services.resources()) {
    files.push_back({Concat("running/services/", service.name(), ".yaml"), service.document()});
  }
  authz::LoadResult running = authz::Load(files);
  if (!running.ok()) {
    return InvalidArgument(
        "the server runs what this countersign does not load (is it of another version?): ",
        authz::FormatDiagnostic(running.diagnostics.front()));
  }
  return running;
}

void KeepOthers(const PolicySets& running, PolicySets& applied) {
  std::set<std::string> brought;
  for (const auto& set : applied) {
    brought.insert(set->name);
  }
  std::ranges::copy_if(running, std::back_inserter(applied),
                       [&](const auto& set) { return !brought.contains(set->name); });
  std::ranges::sort(applied, {}, [](const auto& set) -> const std::string& { return set->name; });
}

}  // namespace countersign::cli
