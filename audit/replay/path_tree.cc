#include "audit/replay/path_tree.h"

#include <algorithm>

#include "audit/replay/recorded_request.h"

namespace countersign::audit {

bool ObservedPath::is_template() const {
  return std::ranges::any_of(segments, [](const auto& segment) { return !segment.has_value(); });
}

bool Covers(const ObservedPath& by, const ObservedPath& path) {
  return std::ranges::equal(by.segments, path.segments, [](const auto& wide, const auto& narrow) {
    return wide.has_value() ? wide == narrow : !narrow.has_value() || !narrow->empty();
  });
}

Status PathTree::Add(std::string_view path, uint32_t call) {
  if (static_cast<size_t>(std::ranges::count(path, '/')) > limits_.segments_max) {
    return ResourceExhausted("a path of more than ", limits_.segments_max,
                             " segments was let through: ", Quoted(path));
  }
  Place* place = &root_;
  for (size_t start = 1; start <= path.size();) {
    size_t end = std::min(path.find('/', start), path.size());
    place = &Below(*place, path.substr(start, end - start));
    start = end + 1;
  }
  calls_ += place->calls.insert(call).second ? 1 : 0;
  if (places_ > limits_.places_max || calls_ > limits_.calls_max) {
    return ResourceExhausted("more than ", limits_.places_max, " different paths or ",
                             limits_.calls_max,
                             " calls were seen: narrow the window with --since and --until");
  }
  return absl::OkStatus();
}

bool PathTree::Takes(const Place& place, std::string_view segment) const {
  return place.identifier != nullptr && !segment.empty() &&
         (place.all_identifiers || LooksLikeIdentifier(segment));
}

PathTree::Place& PathTree::Below(Place& place, std::string_view segment) {
  if (Takes(place, segment)) {
    return *place.identifier;
  }
  auto found = place.words.find(segment);
  if (found != place.words.end()) {
    return *found->second;
  }
  Place& made = *place.words.emplace(segment, std::make_unique<Place>()).first->second;
  ++places_;
  Settle(place);
  return Takes(place, segment) ? *place.identifier : made;
}

// Moves what turned out to be identifiers together.
void PathTree::Settle(Place& place) {
  size_t identifiers = 0;
  size_t words = 0;
  for (const auto& [word, below] : place.words) {
    bool looks = LooksLikeIdentifier(word);
    identifiers += looks ? 1 : 0;
    words += looks || word.empty() ? 0 : 1;
  }
  place.all_identifiers = place.all_identifiers || words > limits_.words_max;
  if (place.identifier == nullptr &&
      (place.all_identifiers || identifiers >= limits_.identifiers_min)) {
    place.identifier = std::make_unique<Place>();
    ++places_;
  }
  for (auto at = place.words.begin(); at != place.words.end();) {
    if (Takes(place, at->first)) {
      Merge(std::move(at->second), *place.identifier);
      at = place.words.erase(at);
    } else {
      ++at;
    }
  }
}

void PathTree::Merge(std::unique_ptr<Place> from, Place& into) {
  into.calls.merge(from->calls);
  into.all_identifiers = into.all_identifiers || from->all_identifiers;
  if (into.identifier == nullptr) {
    into.identifier = std::move(from->identifier);
  } else if (from->identifier != nullptr) {
    Merge(std::move(from->identifier), *into.identifier);
  }
  for (auto& [word, below] : from->words) {
    auto found = into.words.find(word);
    if (found == into.words.end()) {
      into.words.emplace(word, std::move(below));
    } else {
      Merge(std::move(below), *found->second);
    }
  }
  --places_;
  Settle(into);
}

void PathTree::List(const Place& place, ObservedPath& path, std::vector<ObservedPath>& out) {
  if (!place.calls.empty()) {
    out.push_back({path.segments, place.calls});
  }
  if (place.identifier != nullptr) {
    path.segments.emplace_back(std::nullopt);
    List(*place.identifier, path, out);
    path.segments.pop_back();
  }
  for (const auto& [word, below] : place.words) {
    path.segments.emplace_back(word);
    List(*below, path, out);
    path.segments.pop_back();
  }
}

std::vector<ObservedPath> PathTree::Paths() const {
  std::vector<ObservedPath> paths;
  ObservedPath path;
  List(root_, path, paths);
  return paths;
}

}  // namespace countersign::audit
