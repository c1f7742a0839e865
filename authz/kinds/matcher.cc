// Predicates over one coordinate: a literal, or a map with one of exact, under, prefix, suffix, re2
// and present (semantics 3 of docs/policy.md).
#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "authz/kinds/nearest_word.h"
#include "authz/kinds/path_text.h"
#include "authz/kinds/value.h"
#include "base/status.h"
#include "identity/spiffe_id.h"

namespace countersign::authz {
namespace {

constexpr std::string_view kMatcherWords[] = {"exact",  "under", "prefix",
                                              "suffix", "re2",   "present"};
constexpr size_t kLiteralBytesMax = 4096;

Status NoStar(std::string_view text, Field field) {
  if (text.find('*') == std::string_view::npos) {
    return absl::OkStatus();
  }
  std::string_view hint = field == Field::kPath
                              ? "{x} for one segment, /** at the end, {under: ...}"
                          : field == Field::kId ? "{under: ...}"
                                                : "{prefix: ...}, {suffix: ...}";
  return InvalidArgument("'*' in ", Quoted(text), " is not a wildcard: use ", hint,
                         " or {re2: ...}; {exact: ...} means the character itself");
}

bool IsHostByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}
bool IsAddressByte(char c) { return IsHostByte(c) || c == ':' || c == '[' || c == ']'; }
bool IsIdByte(char c) { return IsHostByte(c) || (c >= 'A' && c <= 'Z') || c == ':' || c == '/'; }

// Whether `text` is an IPv6 address in the one spelling of canonical hosts (RFC 5952).
bool IsBracketedAddress(std::string_view text) {
  std::string inner(text.substr(1, text.size() - (text.ends_with(']') ? 2 : 1)));
  in6_addr address;
  std::array<char, INET6_ADDRSTRLEN> spelled = {};
  return text.ends_with(']') && ::inet_pton(AF_INET6, inner.c_str(), &address) == 1 &&
         ::inet_ntop(AF_INET6, &address, spelled.data(), spelled.size()) != nullptr &&
         inner == spelled.data();
}

// Hosts and SNI are compared in lower case, without port and trailing dot (semantics 10).
Status CheckHost(std::string_view text) {
  bool good = text.starts_with('[') ? IsBracketedAddress(text)
                                    : std::ranges::all_of(text, IsHostByte) && !text.ends_with('.');
  return good ? absl::OkStatus()
              : InvalidArgument("a request's host is lower case, without port and trailing dot, ",
                                "IPv6 addresses in their shortest form; ", Quoted(text),
                                " can never match");
}

Status CheckExact(std::string_view text, Field field) {
  switch (field) {
    case Field::kId:
      return identity::SpiffeId::Parse(text).status();
    case Field::kTrustDomain:
      return identity::TrustDomain::Parse(text).status();
    case Field::kHost:
    case Field::kSni:
      return CheckHost(text);
    case Field::kPath:
      return CheckLiteralPath(text);
    default:
      return absl::OkStatus();
  }
}

Status CheckUnder(std::string_view text, Field field) {
  if (field != Field::kId && field != Field::kPath) {
    return InvalidArgument("under is for paths and ids: use suffix, prefix or re2");
  }
  RETURN_IF_ERROR(NoStar(text, field));
  if (text.size() > 1 && text.ends_with('/')) {
    return InvalidArgument("{under: ", Quoted(text),
                           "} ends at a segment border by itself: remove ", "the last '/'");
  }
  return CheckExact(text, field);
}

// What the beginning or the end of a value may hold, so that a deny on it is no empty word.
Status CheckPart(std::string_view text, Field field, PathPart part) {
  RETURN_IF_ERROR(NoStar(text, field));
  bool good = true;
  switch (field) {
    case Field::kPath:
      return CheckPathPart(text, part);
    case Field::kId:
      good = std::ranges::all_of(text, IsIdByte);
      break;
    case Field::kTrustDomain:
      good = std::ranges::all_of(text, IsHostByte);
      break;
    case Field::kHost:
    case Field::kSni:
      // Addresses in brackets have no port behind them.
      good = std::ranges::all_of(text, IsAddressByte) &&
             (text.find(':') == std::string_view::npos || text.starts_with('[') ||
              text.ends_with(']'));
      break;
    default:
      break;
  }
  return good ? absl::OkStatus()
              : InvalidArgument(part == PathPart::kPrefix ? "prefix " : "suffix ", Quoted(text),
                                " can never match: ", FieldName(field),
                                " has no such byte in its canonical form");
}

Status CheckPrefix(std::string_view text, Field field) {
  RETURN_IF_ERROR(CheckPart(text, field, PathPart::kPrefix));
  std::string_view start = field == Field::kId ? "spiffe://" : field == Field::kPath ? "/" : "";
  if (!text.starts_with(start) && !start.starts_with(text)) {
    return InvalidArgument("prefix ", Quoted(text), " can never match: the field begins with ",
                           start);
  }
  return absl::OkStatus();
}

// A bare string: for paths a template, else a literal.
Status TakeLiteral(std::string_view text, Field field, Matcher& out) {
  if (text.size() > kLiteralBytesMax) {
    return InvalidArgument("a literal of ", text.size(), " bytes: at most ", kLiteralBytesMax,
                           " are allowed");
  }
  if (field == Field::kPath) {
    return ParsePathTemplate(text, out);
  }
  RETURN_IF_ERROR(NoStar(text, field));
  out.kind = Matcher::Kind::kExact;
  out.text = std::string(text);
  return CheckExact(text, field);
}

Status TakeWord(std::string_view word, const yaml::Node& argument, Field field,
                PatternChecker& patterns, Matcher& out) {
  if (word == "present") {
    if (argument.kind != yaml::Node::Kind::kScalar || argument.quoted ||
        (argument.text != "true" && argument.text != "false")) {
      return InvalidArgument("present must be true or false");
    }
    out.kind = argument.text == "true" ? Matcher::Kind::kPresent : Matcher::Kind::kAbsent;
    return absl::OkStatus();
  }
  if (argument.kind != yaml::Node::Kind::kScalar || argument.text.empty()) {
    return InvalidArgument(word, " needs one text that is not empty");
  }
  const std::string& text = argument.text;
  out.text = text;
  if (text.size() > kLiteralBytesMax) {
    return InvalidArgument(word, " has ", text.size(), " bytes: at most ", kLiteralBytesMax,
                           " are allowed");
  }
  if (word == "exact") {
    out.kind = Matcher::Kind::kExact;
    return CheckExact(text, field);
  }
  if (word == "under") {
    out.kind = Matcher::Kind::kUnder;
    return CheckUnder(text, field);
  }
  if (word == "prefix") {
    out.kind = Matcher::Kind::kPrefix;
    return CheckPrefix(text, field);
  }
  if (word == "suffix") {
    out.kind = Matcher::Kind::kSuffix;
    return CheckPart(text, field, PathPart::kSuffix);
  }
  out.kind = Matcher::Kind::kRe2;
  return patterns.Check(text);
}

// The canonical JSON of a predicate: the bare string wherever it means the same.
std::string MatcherJson(const Value& value, Field field) {
  const Matcher& matcher = value.matcher;
  std::string_view many = value.many ? "\"many\":true," : "";
  switch (matcher.kind) {
    case Matcher::Kind::kPresent:
      return "{\"present\":true}";
    case Matcher::Kind::kAbsent:
      return "{\"present\":false}";
    case Matcher::Kind::kTemplate:
      return JsonText(matcher.text);
    case Matcher::Kind::kUnder:
      return Concat("{\"under\":", JsonText(matcher.text), "}");
    case Matcher::Kind::kPrefix:
      return Concat("{", many, "\"prefix\":", JsonText(matcher.text), "}");
    case Matcher::Kind::kSuffix:
      return Concat("{", many, "\"suffix\":", JsonText(matcher.text), "}");
    case Matcher::Kind::kRe2:
      return Concat("{", many, "\"re2\":", JsonText(matcher.text), "}");
    default:
      break;
  }
  Matcher bare;
  bool same = TakeLiteral(matcher.text, field, bare).ok() && bare == matcher;
  if (same && !value.many) {
    return JsonText(matcher.text);
  }
  return value.many ? Concat("{\"exact\":", JsonText(matcher.text), ",\"many\":true}")
                    : Concat("{\"exact\":", JsonText(matcher.text), "}");
}

// Reads the keys of a predicate's map into `out`. False: reported.
bool CheckMatcherMap(const yaml::Node& node, const FieldRow& row, LoadContext& context,
                     Value& out) {
  bool may_be_many = row.field == Field::kHeader || row.field == Field::kQuery;
  size_t count = 0;
  size_t errors = context.reporter.errors();
  for (const yaml::Member& member : node.members) {
    if (member.key == "many" && may_be_many) {
      out.many = member.value.text == "true" && !member.value.quoted;
      if (!out.many) {
        context.reporter.Error(member.value.where, "many must be true, or be left out");
      }
      continue;
    }
    if (std::ranges::find(kMatcherWords, member.key) == std::end(kMatcherWords)) {
      std::vector<std::string_view> words(std::begin(kMatcherWords), std::end(kMatcherWords));
      if ((row.flags & kIdForm) != 0) {
        words.back() = "id";  // In the place of `present`, which says nothing about ids.
      }
      context.reporter.Error(member.where, Concat("unknown predicate ", Quoted(member.key), " in ",
                                                  KeyOf(row), DidYouMean(member.key, words)));
      continue;
    }
    ++count;
    Status status =
        member.key == "present" && (row.flags & kIdForm) != 0
            ? InvalidArgument("present says nothing about ids: write which ones, or leave it out")
            : TakeWord(member.key, member.value, row.field, context.patterns, out.matcher);
    if (!status.ok()) {
      context.reporter.Error(member.value.where, Concat(KeyOf(row), ": ", Message(status)));
    }
  }
  bool presence =
      out.matcher.kind == Matcher::Kind::kPresent || out.matcher.kind == Matcher::Kind::kAbsent;
  if (errors == context.reporter.errors() && count != 1) {
    context.reporter.Error(node.where,
                           Concat(KeyOf(row), ": a predicate has exactly one of exact, ",
                                  "under, prefix, suffix, re2 and present"));
  } else if (errors == context.reporter.errors() && out.many && presence) {
    context.reporter.Error(node.where, "many means nothing beside present");
  }
  return errors == context.reporter.errors();
}

}  // namespace

bool CheckMatcher(const yaml::Node& node, const FieldRow& row, LoadContext& context, Value& out) {
  bool id_form = (row.flags & kIdForm) != 0;
  if (id_form && node.kind == yaml::Node::Kind::kMap && node.Find("id") != nullptr) {
    const yaml::Node& inner = *node.Find("id");
    if (node.members.size() > 1) {
      context.reporter.Error(node.where, Concat(KeyOf(row), ": only id may stand here"));
      return false;
    }
    if (inner.kind == yaml::Node::Kind::kMap && inner.Find("id") != nullptr) {
      context.reporter.Error(inner.where, Concat(KeyOf(row), ": id within id"));
      return false;
    }
    return CheckMatcher(inner, row, context, out);
  }
  if (node.kind == yaml::Node::Kind::kMap) {
    if (!CheckMatcherMap(node, row, context, out)) {
      return false;
    }
  } else if (node.kind != yaml::Node::Kind::kScalar) {
    context.reporter.Error(node.where, Concat(KeyOf(row), " must be a text or a predicate, not ",
                                              KindName(node.kind)));
    return false;
  } else if (node.text.empty()) {
    context.reporter.Error(node.where, Concat(KeyOf(row), " must not be empty"));
    return false;
  } else if (Status status = TakeLiteral(node.text, row.field, out.matcher); !status.ok()) {
    context.reporter.Error(node.where, Concat(KeyOf(row), ": ", Message(status)));
    return false;
  }
  out.json = MatcherJson(out, row.field);
  if (id_form && out.matcher.kind == Matcher::Kind::kExact) {
    out.json = Concat("{\"id\":", out.json, "}");
  }
  return true;
}

}  // namespace countersign::authz
