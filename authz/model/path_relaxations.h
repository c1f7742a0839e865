// PathRelaxations names what a port lets into a path although it is refused by default
// (docs/policy.md, canonical paths). Plain data.
#pragma once

namespace countersign::authz {

struct PathRelaxations {
  bool slash = false;      // "%2F", kept as it is.
  bool backslash = false;  // "\" and "%5C", kept as they are.
  bool nul = false;        // "%00", kept as it is.
  bool semicolon = false;  // ";" and "%3B".
  bool non_ascii = false;  // Bytes over 0x7F, raw or escaped.
  bool operator==(const PathRelaxations&) const = default;
};

}  // namespace countersign::authz
