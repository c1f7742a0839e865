// judge POLICIES CALLEE CALLER METHOD PATH: one verdict by the policies of a file or folder.
#include <iostream>

#include "authz/engine/compiled_policy.h"
#include "authz/kinds/loader.h"

using namespace countersign;  // NOLINT(google-build-using-namespace)

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const auto files = authz::ReadSources(argv[1]);
  if (!files.ok()) return std::cerr << files.status().message() << "\n", 2;
  const authz::LoadResult loaded = authz::Load(*files);
  for (const auto& found : loaded.diagnostics) std::cerr << authz::FormatDiagnostic(found) << "\n";
  const auto policy = authz::CompiledPolicy::Compile(loaded.sets);
  if (!loaded.ok() || !policy.ok()) return 2;  // Nothing is judged by half a policy.
  const authz::CanonicalRequest request{.kind = authz::RequestKind::kHttp,
                                        .callee = argv[2],
                                        .caller = argv[3],
                                        .method = argv[4],
                                        .path = argv[5]};
  authz::DecisionScratch scratch(**policy);
  const auto verdict = (*policy)->Decide(request, Clock::System().Now(), scratch);
  std::cout << authz::ReasonName(verdict.reason) << "\n";
  return verdict.effect == authz::Effect::kAllow ? 0 : 1;
}
