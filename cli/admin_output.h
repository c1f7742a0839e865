// How the server's answers are shown: tables for people, JSON and YAML for programs.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "countersign/v1/admin.pb.h"

namespace countersign::cli {

// PrintResources shows registrations, services, routes or bundles; `single` asks for one object in
// JSON and YAML instead of a list.
Status PrintResources(std::ostream& out, const std::string& kind,
                      const std::vector<v1::Resource>& resources, OutputFormat format, bool single);
Status PrintPolicySets(std::ostream& out, const std::vector<v1::PolicySetVersion>& sets,
                       OutputFormat format, bool single);
Status PrintProxies(std::ostream& out, const std::vector<v1::ProxyStatus>& proxies,
                    OutputFormat format);
Status PrintAgents(std::ostream& out, const std::vector<v1::AgentStatus>& agents,
                   OutputFormat format);
// PrintChanges shows what an apply or rollback did, one line a document.
Status PrintChanges(std::ostream& out, const v1::ApplyResponse& response, OutputFormat format);
// PrintDiff shows old against new as YAML texts.
Status PrintDiff(std::ostream& out, const v1::ApplyResponse& response, OutputFormat format);
Status PrintToken(std::ostream& out, const v1::CreateJoinTokenResponse& token, OutputFormat format);
// PrintBundle shows the bundle and its pin; in JSON it is the bundle alone, byte for byte what the
// pin is the hash of.
Status PrintBundle(std::ostream& out, const v1::GetServerInfoResponse& info, OutputFormat format);
// PrintDiagnostics shows findings as compilers do.
void PrintDiagnostics(std::ostream& out, const v1::ApplyResponse& response);

}  // namespace countersign::cli
