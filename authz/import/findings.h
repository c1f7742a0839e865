// What an import has to say about its source.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "authz/kinds/loader.h"

namespace countersign::authz::import {

// Findings collects errors and warnings of one import. One thread.
class Findings {
 public:
  void Error(const SourcePosition& where, std::string message) {
    ++errors_;
    Add(Diagnostic::Severity::kError, where, std::move(message));
  }
  void Warn(const SourcePosition& where, std::string message) {
    Add(Diagnostic::Severity::kWarning, where, std::move(message));
  }
  // errors counts all errors, also those beyond the limit of what is kept.
  size_t errors() const { return errors_; }
  bool full() const { return list_.size() >= LoaderLimits::kDiagnosticsMax; }
  std::vector<Diagnostic> Take() { return std::move(list_); }

 private:
  void Add(Diagnostic::Severity severity, const SourcePosition& where, std::string message) {
    if (!full()) {
      list_.push_back({severity, where, std::move(message), "import"});
    }
  }
  std::vector<Diagnostic> list_;
  size_t errors_ = 0;
};

}  // namespace countersign::authz::import
