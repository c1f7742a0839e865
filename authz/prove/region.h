// Regions: boxes of requests that a question asks for, as large as they can be made.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "authz/model/request.h"
#include "authz/prove/explorer.h"
#include "authz/prove/value_set.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Region is all requests whose every coordinate is in its set; a coordinate that is not listed can
// be anything. Regions of one report do not overlap.
struct Region {
  uint8_t mark = 0;
  bool http = false;
  bool tcp = false;
  std::map<uint32_t, uint32_t> sets;  // Coordinate to value set, in the ValueTable.
};

// RegionList gathers the regions of one question.
class RegionList {
 public:
  RegionList(Space& space, ValueTable& values) : space_(space), values_(values) {}

  // Add takes the paths of a diagram, at most ten times regions_max of them.
  void Add(const Diagram& diagram, uint32_t root, RequestKind kind);
  // Merge joins regions that differ in one coordinate, as long as there are any.
  Status Merge();

  const std::vector<Region>& regions() const { return regions_; }
  // complete says that no path was left out: together the regions are the whole answer.
  bool complete() const { return complete_; }

  // Contains says whether a request is in the region.
  bool Contains(const Region& region, const CanonicalRequest& request) const;
  // Conditions says the region in the words of policy files, a condition each.
  std::vector<std::string> Conditions(const Region& region) const;

 private:
  void Walk(const Diagram& diagram, uint32_t node, Region& path);
  StatusOr<bool> MergeAlong(uint32_t coordinate);
  bool MergeKinds();
  bool Holds(const ValueSet& set, const CanonicalRequest& request) const;
  std::string Say(const ValueSet& set) const;
  std::string SayPhrase(const Phrase& phrase) const;
  std::string SayLiterals(const Phrase& phrase) const;

  Space& space_;
  ValueTable& values_;
  std::vector<Region> regions_;
  bool complete_ = true;
};

}  // namespace countersign::authz::prove
