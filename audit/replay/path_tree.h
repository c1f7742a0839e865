// PathTree learns which segments of observed paths are places for identifiers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace countersign::audit {

// PathTreeLimits says when a segment is taken for an identifier, and bounds what is kept.
struct PathTreeLimits {
  // So many different segments that look like identifiers, at one place after the same segments:
  // fewer may be all there are, and stay as they are.
  size_t identifiers_min = 3;
  // So many different other segments at one place are words of an interface; more are identifiers,
  // whatever they look like.
  size_t words_max = 20;
  size_t segments_max = 256;     // Of one path; no interface has more. Error.
  size_t places_max = 100'000;   // 20 MB. Error.
  size_t calls_max = 1'000'000;  // Calls at paths, together: 40 MB. Error.
};

// ObservedPath is one path, or a template that stands for several.
struct ObservedPath {
  std::vector<std::optional<std::string>> segments;  // After the first '/'; none: an identifier.
  std::set<uint32_t> calls;                          // What was added with it.
  bool is_template() const;
};

// Covers says whether each path of `path` is one of `by`.
bool Covers(const ObservedPath& by, const ObservedPath& path);

// PathTree is for one thread. What it learns does not hang on the order of what is added.
class PathTree {
 public:
  explicit PathTree(const PathTreeLimits& limits) : limits_(limits) {}

  // Add takes a canonical path and what called it. Fails over a limit.
  Status Add(std::string_view path, uint32_t call);
  // Paths lists all, in the order of their texts.
  std::vector<ObservedPath> Paths() const;

 private:
  // A place after some segments. Empty segments are never identifiers.
  struct Place {
    std::map<std::string, std::unique_ptr<Place>, std::less<>> words;
    std::unique_ptr<Place> identifier;
    bool all_identifiers = false;  // Else those that look like some.
    std::set<uint32_t> calls;
  };
  Place& Below(Place& place, std::string_view segment);
  bool Takes(const Place& place, std::string_view segment) const;
  void Settle(Place& place);
  void Merge(std::unique_ptr<Place> from, Place& into);
  static void List(const Place& place, ObservedPath& path, std::vector<ObservedPath>& out);

  PathTreeLimits limits_;
  Place root_;
  size_t places_ = 0;
  size_t calls_ = 0;
};

}  // namespace countersign::audit
