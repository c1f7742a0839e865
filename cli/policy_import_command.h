// `countersign policy import istio`: policies of another mesh as policies of ours.
#pragma once

namespace CLI {
class App;
}

namespace countersign::cli {

struct Context;

// AddPolicyImport adds `import` to `policy`.
void AddPolicyImport(CLI::App& policy, Context& context);

}  // namespace countersign::cli
