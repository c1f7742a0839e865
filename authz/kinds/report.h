// What the parts of the loader share while they read one file: where findings go, and how much
// regular expressions may cost.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "authz/kinds/loader.h"
#include "authz/yaml/node.h"

namespace countersign::authz {

// Reporter collects the findings of one file. One thread.
class Reporter {
 public:
  explicit Reporter(std::string file) : file_(std::move(file)) {}
  void Error(yaml::Mark where, std::string message) {
    ++errors_;
    Add(Diagnostic::Severity::kError, where, std::move(message));
  }
  void Warn(yaml::Mark where, std::string message) {
    Add(Diagnostic::Severity::kWarning, where, std::move(message));
  }
  // errors counts all errors, also those beyond the limit of what is kept.
  size_t errors() const { return errors_; }
  // full says that nothing more is kept: loops over what the author wrote end then, so that a
  // hostile file does not buy work with errors.
  bool full() const { return diagnostics_.size() >= LoaderLimits::kDiagnosticsMax; }
  SourcePosition Position(yaml::Mark where) const { return {file_, where.line, where.column}; }
  std::vector<Diagnostic>& diagnostics() { return diagnostics_; }

 private:
  void Add(Diagnostic::Severity severity, yaml::Mark where, std::string message) {
    if (diagnostics_.size() < LoaderLimits::kDiagnosticsMax) {
      diagnostics_.push_back({severity, Position(where), std::move(message)});
    }
  }
  std::string file_;
  size_t errors_ = 0;
  std::vector<Diagnostic> diagnostics_;
};

// PatternChecker compiles patterns as the evaluators will, under a budget a file. One thread.
class PatternChecker {
 public:
  static constexpr size_t kPatternBytesMax = 1024;  // Longer ones are generated: split the rule.
  // The evaluators' own bound; a pattern over it would be refused by every proxy.
  static constexpr int64_t kPatternMemoryBytes = 1 << 20;
  // All patterns of one file. A program of n RE2 instructions costs n + n * n / 500, which follows
  // the processor time of compiling it: this is about a quarter of a second.
  static constexpr int64_t kFileCostMax = 500'000;

  Status Check(const std::string& pattern);

 private:
  int64_t cost_ = 0;
  std::unordered_map<std::string, Status> seen_;
};

struct FieldSpec;

// LoadContext is one file's.
struct LoadContext {
  Reporter reporter;
  PatternChecker patterns = {};
  const FieldSpec* kind = nullptr;  // Of the document being walked, for hints.
};

}  // namespace countersign::authz
