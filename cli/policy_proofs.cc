#include "cli/policy_proofs.h"

#include "cli/policy_output.h"

namespace countersign::cli {

StatusOr<authz::LoadResult> LoadFaultless(const std::vector<std::string>& paths, Context& context) {
  ASSIGN_OR_RETURN(authz::LoadResult loaded, LoadPaths(paths));
  if (!loaded.ok()) {
    PrintDiagnostics(loaded.diagnostics, context.err);
    return InvalidArgument("the policies of ", paths.front(), " have errors: nothing was proved");
  }
  return loaded;
}

void FailProof(const Status& status, Context& context) {
  if (status.code() == StatusCode::kResourceExhausted) {
    context.Fail(Annotate(status, "gave up, which proves nothing"), kGaveUp);
  } else {
    context.Fail(status);
  }
}

}  // namespace countersign::cli
