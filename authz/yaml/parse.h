// Text to trees: the only place that reads with yaml-cpp.
//
// A strict part of YAML: what surprises readers (aliases, merge keys, tags, duplicate keys, keys
// that are not words) is refused, so that a file means what it shows. JSON is within that part.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authz/yaml/node.h"

namespace countersign::authz::yaml {

// YamlLimits are one file's. Over a limit is a problem that names it.
struct YamlLimits {
  size_t bytes_max = 1 << 20;   // A larger file is not written by people.
  size_t depth_max = 32;        // The deepest kind needs 9.
  size_t documents_max = 1000;  // Of one file.
  size_t nodes_max = 150'000;   // Of one file; bounds memory to about 30 MB.
  // The characters [ ] { } , and : of one file. yaml-cpp keeps up to 250 bytes for each of a flow
  // collection before it hands out the first value; a full file of ids needs 220,000, one of
  // patterns 350,000.
  size_t indicators_max = 400'000;
  size_t scalar_bytes_max = 16384;  // The longest useful value is a pattern.
  size_t problems_max = 100;        // Of one file.
};

struct Problem {
  Mark where;
  std::string message;
};

struct Document {
  Node root;
  bool broken = false;  // A problem lies within it; the tree is incomplete.
};

// Stream is every document of one file that is not empty, and what is wrong with the file. After a
// syntax error the rest of the file is not read.
struct Stream {
  std::vector<Document> documents;
  std::vector<Problem> problems;
};

// Parse never throws and takes time linear in the text.
Stream Parse(std::string_view text, const YamlLimits& limits = {});

}  // namespace countersign::authz::yaml
