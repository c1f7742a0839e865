// Loads files into policy sets, registrations, services and routes, with every error at its place.
//
// This is the only way from text to typed policy: what an author wrote and the canonical JSON that
// the server stored (JSON is YAML) go through the same checks. Nothing here judges a request.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/kinds/registration.h"
#include "authz/kinds/route.h"
#include "authz/kinds/service.h"
#include "authz/model/policy.h"
#include "base/status.h"

namespace countersign::authz {

struct LoaderLimits {
  static constexpr size_t kFileBytesMax = 1 << 20;  // A larger policy file is not for people.
  static constexpr size_t kFilesMax = 4096;         // Of one folder.
  static constexpr size_t kAllBytesMax = 32 << 20;  // Of one folder: what one apply may carry.
  static constexpr size_t kFolderDepthMax = 16;     // Also ends a loop of links.
  static constexpr size_t kDiagnosticsMax = 200;    // Nobody reads more; hostile files make more.
};

struct SourceFile {
  std::string path;
  std::string content;
};

struct Diagnostic {
  enum class Severity : uint8_t { kError, kWarning };
  Severity severity = Severity::kError;
  SourcePosition where;  // Line 0: the file as a whole.
  std::string message;
  // Which check found it, for machines: load, compile, test, assertion, or a lint's own word.
  std::string_view rule = "load";
};
// FormatDiagnostic prints "file:line:column: message"; a warning says so after the position.
std::string FormatDiagnostic(const Diagnostic& diagnostic);

// LoadResult holds what is good. A policy set with an error is not in it, nor is a document with
// one; `ok` says that nothing was refused.
struct LoadResult {
  std::vector<std::shared_ptr<const PolicySet>> sets;  // By name, as all lists here.
  std::vector<Registration> registrations;
  std::vector<Service> services;
  std::vector<Route> routes;
  std::vector<Diagnostic> diagnostics;  // By file, line and column.
  bool ok() const;
};

// Load reads every document of every file, JSON arrays and kind List too. AccessPolicy,
// IdentitySet, PolicyTest and PolicyAssertion belong to the PolicySet of their own file (if it
// holds several, the nearest before), else to that of set.yaml in the nearest folder above.
LoadResult Load(std::span<const SourceFile> files);

// ReadSources reads a file, every .yaml and .yml file below a folder and every .json file whose
// text holds "countersign.dev/" (hidden ones apart, links followed), or standard input for "-".
StatusOr<std::vector<SourceFile>> ReadSources(const std::string& path);

// LoadPolicySet loads one set from its canonical documents, as the server stores and pushes them.
// With `whole_digest` the documents may be a part of the set (the policies that concern one
// workload), and the digest is the one given.
StatusOr<std::shared_ptr<const PolicySet>> LoadPolicySet(std::span<const std::string> documents,
                                                         std::string_view whole_digest = {});

// LoadRegistration, LoadService and LoadRoute load one canonical document.
StatusOr<Registration> LoadRegistration(std::string_view document);
StatusOr<Service> LoadService(std::string_view document);
StatusOr<Route> LoadRoute(std::string_view document);

// LoadTestRequest loads one request as PolicyTest cases write it, alone in a file. The error lists
// every finding, a line each.
StatusOr<PolicyTestCase::Request> LoadTestRequest(const SourceFile& file);

}  // namespace countersign::authz
