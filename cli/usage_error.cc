#include "cli/usage_error.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>

namespace countersign::cli {
namespace {

constexpr size_t kDistanceMax = 2;  // More changed letters than these are another word.

// Levenshtein's distance of two short words.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string Nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  size_t least = kDistanceMax + 1;
  for (const std::string& each : known) {
    if (size_t distance = Distance(word, each); distance < least) {
      least = distance;
      best = each;
    }
  }
  return best.empty() ? "" : Concat(" (did you mean ", Quoted(best), "?)");
}

// The innermost verb that was named, and its whole name.
const CLI::App* NamedVerb(const CLI::App& app, std::string& name) {
  const CLI::App* verb = &app;
  name = app.get_name();
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    name += " " + verb->get_name();
  }
  return verb;
}

std::vector<std::string> VerbsOf(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* sub : app.get_subcommands({})) {
    out.push_back(sub->get_name());
  }
  return out;
}

std::vector<std::string> OptionsOf(const CLI::App* verb) {
  std::vector<std::string> out;
  for (; verb != nullptr; verb = verb->get_parent()) {
    for (const CLI::Option* option : verb->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        out.push_back("--" + name);
      }
    }
  }
  return out;
}

std::string Joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() ? "" : ", ") + word;
  }
  return out;
}

std::string What(const CLI::App& app, const CLI::App& verb, const CLI::ParseError& error) {
  std::vector<std::string> left = app.remaining(true);
  std::string first = left.empty() ? "" : left.front();
  std::vector<std::string> verbs = VerbsOf(verb);
  if (first.starts_with("-")) {
    return Concat("unknown option ", Quoted(first), Nearest(first, OptionsOf(&verb)));
  }
  if (!verbs.empty()) {
    return first.empty() ? Concat("a verb is missing: one of ", Joined(verbs))
                         : Concat("unknown verb ", Quoted(first), Nearest(first, verbs));
  }
  if (!first.empty()) {
    return Concat("unexpected word ", Quoted(first));
  }
  std::string said = error.what();
  if (said.size() > 1 && said[1] >= 'a' && said[1] <= 'z') {
    said[0] = static_cast<char>(said[0] | 0x20);
  }
  return said;
}

}  // namespace

Status UsageError(const CLI::App& app, const CLI::ParseError& error) {
  std::string name;
  const CLI::App* verb = NamedVerb(app, name);
  return InvalidArgument(What(app, *verb, error), "; see ", name, " --help");
}

}  // namespace countersign::cli
