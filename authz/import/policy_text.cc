#include "authz/import/policy_text.h"

#include <algorithm>

#include "authz/model/ip_text.h"
#include "authz/yaml/format.h"

namespace countersign::authz::import {
namespace {

constexpr size_t kColumnsMax = 100;

// A scalar as an author would write it: bare where YAML reads the same text, else in quotes.
std::string Scalar(std::string_view text) {
  auto plain_byte = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-+@=~%").find(c) != std::string_view::npos;
  };
  std::string_view rest = text;
  if (constexpr std::string_view kScheme = "spiffe://"; rest.starts_with(kScheme)) {
    rest.remove_prefix(kScheme.size());
  }
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/'; };
  constexpr std::string_view kWords[] = {"true", "false", "null", "yes", "no",
                                         "on",   "off",   "y",    "n"};
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  bool bare = !text.empty() && letter(text.front()) && std::ranges::all_of(rest, plain_byte) &&
              std::ranges::find(kWords, lower) == std::end(kWords);
  if (bare) {
    return std::string(text);
  }
  std::string quoted = "'";
  for (char c : text) {
    quoted += c == '\'' ? "''" : std::string(1, c);
  }
  return quoted + "'";
}

std::string MatcherText(const Matcher& matcher, bool many) {
  auto word = [&](std::string_view name) {
    return Concat("{ ", name, ": ", Scalar(matcher.text), many ? ", many: true }" : " }");
  };
  switch (matcher.kind) {
    case Matcher::Kind::kPresent:
      return "{ present: true }";
    case Matcher::Kind::kAbsent:
      return "{ present: false }";
    case Matcher::Kind::kIp: {
      std::string range = FormatIpRange(matcher.range);
      return range.find(':') == std::string::npos ? range : Concat("'", range, "'");
    }
    case Matcher::Kind::kPort:
      return Concat(matcher.port);
    case Matcher::Kind::kUnder:
      return word("under");
    case Matcher::Kind::kPrefix:
      return word("prefix");
    case Matcher::Kind::kSuffix:
      return word("suffix");
    case Matcher::Kind::kRe2:
      return word("re2");
    default: {
      bool bare = !many && matcher.text.find_first_of("*{}") == std::string::npos;
      return bare ? Scalar(matcher.text) : word("exact");
    }
  }
}

// TextWriter writes lines of one document. `indent` counts blanks.
class TextWriter {
 public:
  void Line(size_t indent, std::string_view text) {
    out_ += Concat(std::string(indent, ' '), text, "\n");
  }
  void Comment(size_t indent, std::string_view text) {
    // Names of files may hold what would end the comment.
    std::string shown(text);
    std::ranges::replace_if(
        shown, [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    if (!shown.empty()) {
      Line(indent, Concat("# ", shown));
    }
  }
  // KEY: VALUE, KEY: [VALUES] where that fits a line, else a list; `first` goes before the key.
  void Values(size_t indent, std::string_view first, std::string_view key,
              const std::vector<std::string>& values) {
    std::string line = Concat(std::string(indent, ' '), first, key, ": ");
    if (values.size() == 1) {
      out_ += Concat(line, values.front(), "\n");
      return;
    }
    std::string list;
    for (const std::string& value : values) {
      list += Concat(list.empty() ? "[" : ", ", value);
    }
    if (line.size() + list.size() < kColumnsMax) {
      out_ += Concat(line, list, "]\n");
      return;
    }
    out_ += Concat(std::string(indent, ' '), first, key, ":\n");
    for (const std::string& value : values) {
      Line(indent + first.size() + 2, Concat("- ", value));
    }
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string_view KeyOf(Field field) {
  switch (field) {
    case Field::kId:
      return "id";
    case Field::kPeerIp:
      return "peerIp";
    case Field::kMethod:
      return "methods";
    default:
      return FieldName(field);
  }
}

std::vector<std::string> TextsOf(const Condition& condition) {
  std::vector<std::string> texts;
  for (const Matcher& matcher : condition.any_of) {
    texts.push_back(MatcherText(matcher, condition.many));
  }
  return texts;
}

// SetWriter writes one policy set.
class SetWriter {
 public:
  explicit SetWriter(const CommentedSet& set) : set_(set) {}

  std::string Write() {
    for (const std::string& comment : set_.comments) {
      text_.Comment(0, comment);
    }
    Head("PolicySet", set_.name);
    text_.Line(2, Concat("owner: { id: ", Scalar(set_.owner), " }"));
    text_.Line(2, Concat("scope: ", MatcherText(set_.scope, false)));
    for (const CommentedPolicy& policy : set_.policies) {
      text_.Line(0, "---");
      Policy(policy);
    }
    for (size_t i = 0; i < identity_sets_.size(); ++i) {
      text_.Line(0, "---");
      Head("IdentitySet", SetName(i));
      text_.Line(2, "ids:");
      for (const Matcher& id : identity_sets_[i]) {
        text_.Line(4, Concat("- ", MatcherText(id, false)));
      }
    }
    return text_.Take();
  }

 private:
  static std::string SetName(size_t index) { return Concat("callers-", index + 1); }

  void Head(std::string_view kind, std::string_view name) {
    text_.Line(0, "apiVersion: countersign.dev/v1alpha1");
    text_.Line(0, Concat("kind: ", kind));
    text_.Line(0, Concat("metadata: { name: ", Scalar(name), " }"));
    text_.Line(0, "spec:");
  }

  void Policy(const CommentedPolicy& commented) {
    const AccessPolicy& policy = commented.policy;
    text_.Comment(0, commented.comment);
    Head("AccessPolicy", policy.name);
    if (policy.applies_to_all) {
      text_.Line(2, "appliesTo: all");
    } else if (policy.applies_to.size() == 1) {
      text_.Line(2, Concat("appliesTo: ", Workload(policy.applies_to.front())));
    } else {
      text_.Line(2, "appliesTo:");
      for (const Matcher& matcher : policy.applies_to) {
        text_.Line(4, Concat("- ", Workload(matcher)));
      }
    }
    if (policy.dry_run) {
      text_.Line(2, "dryRun: true");
    }
    text_.Line(2, "rules:");
    for (size_t i = 0; i < policy.rules.size(); ++i) {
      text_.Comment(4, commented.rule_comments[i]);
      WriteRule(policy.rules[i]);
    }
  }
  static std::string Workload(const Matcher& matcher) {
    return matcher.kind == Matcher::Kind::kExact ? Concat("{ id: ", Scalar(matcher.text), " }")
                                                 : MatcherText(matcher, false);
  }

  void WriteRule(const Rule& rule) {
    text_.Line(4, Concat("- name: ", rule.name));
    text_.Line(6, Concat("effect: ", rule.effect == Effect::kAllow ? "allow" : "deny"));
    if (rule.subject == Subject::kAnyone) {
      text_.Line(6, "from: anyone");
    } else {
      text_.Line(6, "from:");
      Entries(rule.from);
    }
    if (!rule.to.empty()) {
      text_.Line(6, "to:");
      Entries(rule.to);
    }
    if (rule.when.empty()) {
      return;
    }
    text_.Line(6, "when:");
    text_.Line(8, "headers:");
    for (const Condition& condition : rule.when) {
      text_.Values(10, "", Scalar(condition.key), TextsOf(condition));
    }
  }

  void Entries(const std::vector<Entry>& entries) {
    for (const Entry& entry : entries) {
      std::string_view first = "- ";
      size_t indent = 8;
      bool id_seen = false;
      for (const Condition& condition : entry.all_of) {
        bool again = condition.field == Field::kId && id_seen;
        id_seen = id_seen || condition.field == Field::kId;
        text_.Values(indent, first, again ? "identitySet" : KeyOf(condition.field),
                     again ? std::vector{NameOf(condition.any_of)} : TextsOf(condition));
        indent = 10;
        first = "";
      }
      Exceptions(entry);
    }
  }

  // One exception is a map, several a list of maps; each has one key.
  void Exceptions(const Entry& entry) {
    if (entry.except.empty()) {
      return;
    }
    text_.Line(10, "except:");
    for (const std::vector<Condition>& exception : entry.except) {
      text_.Values(12, entry.except.size() == 1 ? "" : "- ", KeyOf(exception.front().field),
                   TextsOf(exception.front()));
    }
  }

  // Equal lists share a set.
  std::string NameOf(const std::vector<Matcher>& ids) {
    auto found = std::ranges::find(identity_sets_, ids);
    size_t index = static_cast<size_t>(found - identity_sets_.begin());
    if (found == identity_sets_.end()) {
      identity_sets_.push_back(ids);
    }
    return SetName(index);
  }

  const CommentedSet& set_;
  TextWriter text_;
  std::vector<std::vector<Matcher>> identity_sets_;
};

}  // namespace

StatusOr<std::string> WriteSets(const std::vector<CommentedSet>& sets) {
  std::string text;
  for (const CommentedSet& set : sets) {
    text += Concat(text.empty() ? "" : "---\n", SetWriter(set).Write());
  }
  return yaml::FormatText(text);
}

}  // namespace countersign::authz::import
