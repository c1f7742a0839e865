#include "authz/kinds/boxes.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "authz/model/ip_text.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

constexpr int kRoundsMax = 8;                // A second round merges nearly all that a first left.
constexpr size_t kCountMax = 1'000'000'000;  // Counting stops here.

// Text of a condition that equals another's exactly if the conditions are the same.
std::string Fingerprint(const Condition& condition) {
  std::string out = Concat(static_cast<int>(condition.field), ":", condition.key.size(), ":",
                           condition.key, condition.many ? "+" : "-");
  for (const Matcher& matcher : condition.any_of) {
    out += Concat(static_cast<int>(matcher.kind), ":", matcher.text.size(), ":", matcher.text, ":",
                  matcher.port, ";");
    if (matcher.kind == Matcher::Kind::kIp) {
      out += FormatIpRange(matcher.range);
    }
  }
  return out;
}

std::string Fingerprint(const std::vector<std::vector<Condition>>& except) {
  std::string out = "!";
  for (const std::vector<Condition>& conditions : except) {
    for (const Condition& condition : conditions) {
      out += Fingerprint(condition);
    }
    out += '|';
  }
  return out;
}

// What an entry is apart from the values of condition `varied`.
std::string RestOf(const Entry& entry, size_t varied) {
  std::string out = Concat(entry.all_of.size(), "@", varied);
  for (size_t i = 0; i < entry.all_of.size(); ++i) {
    const Condition& condition = entry.all_of[i];
    out += i == varied ? Concat("*", static_cast<int>(condition.field), ":", condition.key)
                       : Fingerprint(condition);
  }
  return out + Fingerprint(entry.except);
}

// Merges entries that differ in their condition number `varied`. True if any did.
bool MergeRound(size_t varied, std::vector<Entry>& entries) {
  std::unordered_map<std::string, size_t> first_with;
  std::vector<Entry> merged;
  for (Entry& entry : entries) {
    // With `many` all values must match, so the union of two conditions is not the condition of
    // their union.
    bool candidate = varied < entry.all_of.size() && !entry.all_of[varied].many;
    auto [at, is_new] = candidate ? first_with.emplace(RestOf(entry, varied), merged.size())
                                  : std::pair(first_with.end(), true);
    if (is_new) {
      merged.push_back(std::move(entry));
      continue;
    }
    std::vector<Matcher>& into = merged[at->second].all_of[varied].any_of;
    std::vector<Matcher>& from = entry.all_of[varied].any_of;
    into.insert(into.end(), std::make_move_iterator(from.begin()),
                std::make_move_iterator(from.end()));
  }
  bool changed = merged.size() < entries.size();
  entries = std::move(merged);
  return changed;
}

size_t CountEntries(const std::vector<Entry>& entries) {
  size_t total = 0;
  for (const Entry& entry : entries) {
    size_t boxes = 1;
    for (const std::vector<Condition>& conditions : entry.except) {
      boxes = std::min(kCountMax, boxes * std::max<size_t>(1, conditions.size()));
    }
    total = std::min(kCountMax, total + boxes);
  }
  return std::max<size_t>(1, total);
}

}  // namespace

void MergeEntries(std::vector<Entry>& entries) {
  size_t widest = 0;
  for (const Entry& entry : entries) {
    widest = std::max(widest, entry.all_of.size());
  }
  bool changed = true;
  for (int round = 0; changed && round < kRoundsMax && entries.size() > 1; ++round) {
    changed = false;
    for (size_t varied = 0; varied < widest; ++varied) {
      changed = MergeRound(varied, entries) || changed;
    }
  }
}

size_t BoxCount(const std::vector<Entry>& from, const std::vector<Entry>& to) {
  return std::min(kCountMax, CountEntries(from) * CountEntries(to));
}

}  // namespace countersign::authz
