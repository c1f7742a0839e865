#include "audit/replay/observed_service.h"

#include <algorithm>

namespace countersign::audit {
namespace {

constexpr size_t kNameStemBytesMax = 40;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// RE2 takes an escaped character that is no letter or digit as itself, and bytes by their number.
std::string Re2Quoted(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (char c : text) {
    auto byte = static_cast<uint8_t>(c);
    if (byte <= 0x20 || byte >= 0x7f) {
      out += Concat("\\x", kHex.substr(byte >> 4, 1), kHex.substr(byte & 15, 1));
    } else {
      out += IsPlain(c) ? "" : "\\";
      out += c;
    }
  }
  return out;
}

// The methods by which one caller used each path, less what its templates cover.
using MethodsByPath = std::vector<std::pair<const ObservedPath*, std::set<std::string>>>;

void LeaveOutCovered(MethodsByPath& paths) {
  for (const auto& [wide, wide_methods] : paths) {
    if (!wide->is_template()) {
      continue;
    }
    for (auto& [narrow, methods] : paths) {
      if (narrow != wide && Covers(*wide, *narrow)) {
        for (const std::string& method : wide_methods) {
          methods.erase(method);
        }
      }
    }
  }
}

std::vector<SuggestedEntry> EntriesOf(MethodsByPath paths) {
  LeaveOutCovered(paths);
  std::map<std::set<std::string>, std::vector<PathWord>> by_methods;
  for (const auto& [path, methods] : paths) {
    if (!methods.empty()) {
      by_methods[methods].push_back(WordOf(*path));
    }
  }
  std::vector<SuggestedEntry> entries;
  for (auto& [methods, words] : by_methods) {
    SuggestedEntry& entry = entries.emplace_back();
    entry.methods = {methods.begin(), methods.end()};
    std::ranges::sort(words);
    entry.paths = std::move(words);
  }
  return entries;
}

// "web" of spiffe://shop.example/ns/prod/sa/web, in the letters of names.
std::string NameStem(const std::string& caller) {
  std::string stem;
  for (char c : caller.substr(caller.rfind('/') + 1)) {
    char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    stem += IsPlain(lower) ? lower : '-';
  }
  stem = stem.substr(0, kNameStemBytesMax);
  stem.erase(0, stem.find_first_not_of('-'));
  stem.erase(stem.find_last_not_of('-') + 1);
  return stem.empty() ? "anonymous" : stem;
}

std::string NameOf(const std::vector<std::string>& callers, std::set<std::string>& taken) {
  std::string name = NameStem(callers.front());
  if (callers.size() > 1) {
    name += callers.size() == 2 ? Concat("-and-", NameStem(callers.back()))
                                : Concat("-and-", callers.size() - 1, "-others");
  }
  std::string unique = name;
  for (size_t number = 2; !taken.insert(unique).second; ++number) {
    unique = Concat(name, "-", number);
  }
  return unique;
}

}  // namespace

PathWord WordOf(const ObservedPath& path) {
  const bool is_template = path.is_template();
  bool odd = false;    // Bytes that a bare text does not stand for.
  bool bytes = false;  // Bytes that stand in a pattern only.
  for (const auto& segment : path.segments) {
    odd = odd || (segment.has_value() && segment->find_first_of("{}*") != std::string::npos);
    bytes = bytes || (segment.has_value() && std::ranges::any_of(*segment, [](char c) {
                        return c <= 0x20 || c == 0x7f;  // Bytes over 0x7F are negative.
                      }));
  }
  PathWord word;
  word.form = bytes || (odd && is_template) ? PathWord::Form::kRe2
              : odd                         ? PathWord::Form::kExact
                                            : PathWord::Form::kBare;
  size_t identifiers = 0;
  for (const auto& segment : path.segments) {
    word.text += '/';
    if (word.form == PathWord::Form::kRe2) {
      word.text += segment.has_value() ? Re2Quoted(*segment) : "[^/]+";
    } else if (segment.has_value()) {
      word.text += *segment;
    } else {
      ++identifiers;
      word.text += identifiers == 1 ? "{id}" : Concat("{id", identifiers, "}");
    }
  }
  return word;
}

Status ObservedService::Add(const DecisionRecord& record) {
  std::string caller(record.caller);
  callers_.insert(caller);
  if (callers_.size() > limits_.callers_max) {
    return ResourceExhausted("more than ", limits_.callers_max, " callers of ", record.callee,
                             " were seen: narrow the window with --since and --until");
  }
  if (record.kind == authz::RequestKind::kTcp) {
    tcp_[caller].insert(record.port);
    return absl::OkStatus();
  }
  methods_.emplace(record.method);
  if (methods_.size() > limits_.methods_max) {
    return ResourceExhausted("more than ", limits_.methods_max, " methods were let through to ",
                             record.callee);
  }
  auto [at, is_new] = numbers_.try_emplace({std::move(caller), std::string(record.method)},
                                           static_cast<uint32_t>(calls_.size()));
  if (is_new) {
    calls_.push_back(at->first);
  }
  return paths_.Add(record.path, at->second);
}

std::map<std::string, std::vector<SuggestedEntry>> ObservedService::EntriesByCaller() const {
  std::vector<ObservedPath> paths = paths_.Paths();
  std::map<std::string, std::map<const ObservedPath*, std::set<std::string>>> used;
  for (const ObservedPath& path : paths) {
    for (uint32_t number : path.calls) {
      used[calls_[number].first][&path].insert(calls_[number].second);
    }
  }
  std::map<std::string, std::vector<SuggestedEntry>> entries;
  for (const auto& [caller, methods] : used) {
    entries[caller] = EntriesOf({methods.begin(), methods.end()});
  }
  for (const auto& [caller, ports] : tcp_) {
    entries[caller].emplace_back().tcp_ports = {ports.begin(), ports.end()};
  }
  return entries;
}

std::vector<SuggestedRule> ObservedService::Rules() const {
  std::map<std::vector<SuggestedEntry>, std::vector<std::string>> callers_of;
  for (auto& [caller, entries] : EntriesByCaller()) {
    callers_of[entries].push_back(caller);
  }
  std::vector<SuggestedRule> rules;
  std::set<std::string> taken;
  for (const auto& [entries, callers] : callers_of) {
    for (size_t begin = 0; begin < entries.size(); begin += limits_.entries_per_rule) {
      size_t end = std::min(begin + limits_.entries_per_rule, entries.size());
      SuggestedRule& rule = rules.emplace_back();
      rule.name = NameOf(callers, taken);
      rule.callers = callers;
      rule.to = {entries.begin() + static_cast<std::ptrdiff_t>(begin),
                 entries.begin() + static_cast<std::ptrdiff_t>(end)};
    }
  }
  std::ranges::sort(rules, {}, &SuggestedRule::name);
  return rules;
}

}  // namespace countersign::audit
