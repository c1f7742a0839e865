// The verbs for those who write policy files: `policy test`, `policy fmt` and `schema`.
#pragma once

namespace CLI {
class App;
}

namespace countersign::cli {

struct Context;

// AddPolicyFmt adds `fmt` to `policy`, which AddPolicyCommands made.
void AddPolicyFmt(CLI::App& policy, Context& context);
// AddPolicyTest adds `test` to `policy`.
void AddPolicyTest(CLI::App& policy, Context& context);
// AddSchema adds `schema` to the command itself.
void AddSchema(CLI::App& app, Context& context);

}  // namespace countersign::cli
