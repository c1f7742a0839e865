// Documents between text and type: which kind and name, where from, and their checked content.
#pragma once

#include <string>

#include "authz/kinds/field_table.h"
#include "authz/kinds/report.h"
#include "authz/kinds/value.h"

namespace countersign::authz {

// CheckedDocument is one document whose shape was checked. It borrows its file's context.
struct CheckedDocument {
  const KindRow* kind = nullptr;
  std::string name;
  yaml::Mark where;
  Value spec;
  LoadContext* context = nullptr;
  bool broken = false;  // An error was reported about it.

  // CanonicalJson is the whole document: apiVersion, kind, metadata, spec.
  std::string CanonicalJson() const;
  SourcePosition Position() const { return context->reporter.Position(where); }
  // Error reports a finding and marks the document as broken.
  void Error(yaml::Mark at, std::string message) {
    broken = true;
    context->reporter.Error(at, std::move(message));
  }
};

}  // namespace countersign::authz
