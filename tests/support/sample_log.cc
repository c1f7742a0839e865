// Writes an audit log for pages and examples: fixed requests, judged by the policies of a folder
// and recorded as a proxy does it, now.
//
//   sample_log FOLDER POLICIES < requests.yaml
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

#include "audit/log/node_log.h"
#include "authz/check/test_request.h"
#include "authz/kinds/loader.h"
#include "tests/audit/record_of.h"

namespace countersign::audit {
namespace {

constexpr RingId kRing = {7};

// One request a line, in the flow form of PolicyTest cases.
Status Write(const std::string& folder, const std::string& policies) {
  const Clock& clock = Clock::System();
  ASSIGN_OR_RETURN(std::vector<authz::SourceFile> files, authz::ReadSources(policies));
  authz::LoadResult loaded = authz::Load(files);
  if (!loaded.ok()) {
    return InvalidArgument(authz::FormatDiagnostic(loaded.diagnostics.front()));
  }
  ASSIGN_OR_RETURN(auto policy, authz::CompiledPolicy::Compile(loaded.sets));
  ASSIGN_OR_RETURN(auto log, NodeLog::Open({folder, "shop.example/agent/node-1",
                                            "spiffe://shop.example/agent/node-1"},
                                           clock));
  uint64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ASSIGN_OR_RETURN(auto source, authz::LoadTestRequest({"request", line}));
    authz::TestRequest request(source);
    RecordOf made(*policy, request.canonical(), clock.Now());
    ++number;
    for (size_t i = 0; i < 8; ++i) {
      made.record.id[i] = static_cast<uint8_t>(number >> (8 * i));
    }
    log->Append({kRing, number}, EncodeToString(made.record));
  }
  return log->Commit();
}

}  // namespace
}  // namespace countersign::audit

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: sample_log FOLDER POLICIES < requests\n");
    return 2;
  }
  countersign::Status status = countersign::audit::Write(argv[1], argv[2]);
  if (!status.ok()) {
    std::fprintf(stderr, "sample_log: %s\n", std::string(countersign::Message(status)).c_str());
    return 1;
  }
  return 0;
}
