#include "authz/kinds/explain_kind.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "authz/kinds/field_table.h"
#include "authz/kinds/nearest_word.h"
#include "authz/kinds/value.h"

namespace countersign::authz {
namespace {

// Target is the row that a name means; without a row it is the kind itself.
struct Target {
  const KindRow* kind = nullptr;
  const FieldSpec* spec = nullptr;
};

StatusOr<Target> Find(std::string_view name) {
  size_t dot = name.find('.');
  std::string_view kind_name = name.substr(0, dot);
  Target target;
  target.kind = FindKind(kind_name, KindCase::kLoose);
  if (target.kind == nullptr) {
    std::vector<std::string_view> known;
    for (const KindRow& kind : AllKinds()) {
      known.push_back(kind.name);
    }
    return NotFound("unknown kind ", Quoted(kind_name), DidYouMean(kind_name, known));
  }
  target.spec = &SpecOf(*target.kind);
  while (dot != std::string_view::npos) {
    name.remove_prefix(dot + 1);
    dot = name.find('.');
    std::string_view key = name.substr(0, dot);
    const FieldSpec* child = target.spec->Child(key);
    if (child == nullptr) {
      std::vector<std::string_view> known;
      for (const auto& [known_name, spec] : target.spec->children) {
        known.push_back(known_name);
      }
      return NotFound("unknown field ", Quoted(key), DidYouMean(key, known));
    }
    target.spec = child;
  }
  return target;
}

std::string_view ScalarTypeName(const FieldRow& row) {
  switch (row.type) {
    case FieldType::kObject:
      return "object";
    case FieldType::kMap:
      return "map";
    case FieldType::kBool:
      return "true|false";
    case FieldType::kInteger:
      return "number";
    case FieldType::kName:
      return "name";
    case FieldType::kText:
      return "text";
    case FieldType::kWord:
      return row.detail;
    case FieldType::kSpiffeId:
      return "SPIFFE ID";
    case FieldType::kTrustDomain:
      return "trust domain";
    case FieldType::kDnsName:
      return "DNS name";
    case FieldType::kMatcher:
      return "predicate";
    case FieldType::kMethod:
      return "HTTP method";
    case FieldType::kCidr:
      return "address or CIDR block";
    case FieldType::kIp:
      return "IP address";
    case FieldType::kDuration:
      return "duration";
    case FieldType::kTime:
      return "date or time";
    case FieldType::kListen:
      return row.detail == "unix" ? "ADDRESS:PORT or unix:PATH" : "ADDRESS:PORT";
    case FieldType::kHostPort:
      return "NAME:PORT";
    case FieldType::kPercent:
      return "percentage";
    case FieldType::kAbsolutePath:
      return "path";
    case FieldType::kHex64:
      return "64 hexadecimal digits";
    case FieldType::kGrpcName:
      return "gRPC name";
    case FieldType::kUnsupported:
      return "not in this version";
  }
  return "";
}

std::string TypeName(const FieldRow& row) {
  std::string one(ScalarTypeName(row));
  if (row.type == FieldType::kInteger || row.type == FieldType::kDuration) {
    one += Concat(" ", row.detail);
  }
  std::string type = one;
  if (row.shape == Shape::kSet || row.shape == Shape::kSequence) {
    type = Concat("list of ", one);
  } else if (row.shape != Shape::kOne) {
    type = Concat(one, ", or list");
  }
  type += row.words.empty() ? "" : Concat(", or ", row.words);
  return (row.flags & kComplement) != 0 ? type + ", or {allExcept: LIST}" : type;
}

// Breaks text into lines of at most 80 columns, each after `indent`.
std::string Wrap(std::string_view text, std::string_view indent) {
  std::string out;
  std::string line;
  while (!text.empty()) {
    size_t space = text.find(' ');
    std::string_view word = text.substr(0, space);
    text = space == std::string_view::npos ? "" : text.substr(space + 1);
    if (!line.empty() && indent.size() + line.size() + 1 + word.size() > 80) {
      out += Concat(indent, line, "\n");
      line.clear();
    }
    line += Concat(line.empty() ? "" : " ", word);
  }
  return line.empty() ? out : Concat(out, indent, line, "\n");
}

std::string PredicateHelp(const FieldRow& row) {
  if (row.type != FieldType::kMatcher) {
    return "";
  }
  bool borders = row.field == Field::kId || row.field == Field::kPath;
  return Concat(
      "\nPREDICATE:\n",
      Wrap(Concat("A bare text is ", row.field == Field::kPath ? "a template" : "a literal",
                  "; else a map with one of {exact: TEXT}, ",
                  borders ? "{under: TEXT} (it and what is below, at a segment border), " : "",
                  "{prefix: TEXT}, {suffix: TEXT}, {re2: PATTERN} (the whole value), ",
                  "{present: true|false}."),
           "  "));
}

}  // namespace

StatusOr<std::string> ExplainField(std::string_view name) {
  ASSIGN_OR_RETURN(Target target, Find(name));
  const FieldRow* row = target.spec->row;
  std::string out = Concat("KIND:     ", target.kind->name, "\nVERSION:  ", kApiVersion, "\n");
  if (row != nullptr) {
    out += Concat("FIELD:    ", row->path, " <", TypeName(*row), ">",
                  (row->flags & kRequired) != 0 ? " -required-" : "", "\n");
  }
  out += Concat("\nDESCRIPTION:\n", Wrap(row == nullptr ? target.kind->doc : row->doc, "  "));
  if (!target.kind->refused.empty()) {
    out += Concat("\nNOTE:\n", Wrap(target.kind->refused, "  "));
  }
  if (row != nullptr) {
    out += PredicateHelp(*row);
    if (!row->fallback.empty() && row->fallback != "{}") {
      out += Concat("\nDEFAULT:\n  ", row->fallback, "\n");
    }
    if (!row->example.empty()) {
      out += Concat("\nEXAMPLE:\n  ", KeyOf(*row), ": ", row->example, "\n");
    }
  }
  if (!target.spec->children.empty()) {
    out += "\nFIELDS:\n";
  }
  for (const auto& [key, child] : target.spec->children) {
    out += Concat("  ", key, " <", TypeName(*child.row), ">",
                  (child.row->flags & kRequired) != 0 ? " -required-" : "", "\n",
                  Wrap(child.row->doc, "    "));
  }
  return out;
}

StatusOr<std::string> ExplainFieldJson(std::string_view name) {
  ASSIGN_OR_RETURN(Target target, Find(name));
  const FieldRow* row = target.spec->row;
  nlohmann::ordered_json out;
  out["kind"] = target.kind->name;
  out["apiVersion"] = kApiVersion;
  out["doc"] = row == nullptr ? target.kind->doc : row->doc;
  if (!target.kind->refused.empty()) {
    out["refused"] = target.kind->refused;
  }
  if (row != nullptr) {
    out["path"] = row->path;
    out["type"] = TypeName(*row);
    out["required"] = (row->flags & kRequired) != 0;
    out["example"] = row->example;
    out["default"] = row->fallback;
  }
  out["fields"] = nlohmann::ordered_json::array();
  for (const auto& [key, child] : target.spec->children) {
    out["fields"].push_back({{"name", key},
                             {"type", TypeName(*child.row)},
                             {"required", (child.row->flags & kRequired) != 0},
                             {"doc", child.row->doc}});
  }
  return out.dump(2) + "\n";
}

std::string ListKinds() {
  std::string out;
  for (const KindRow& kind : AllKinds()) {
    std::string padding(kind.name.size() < 18 ? 18 - kind.name.size() : 1, ' ');
    out += Concat(kind.name, padding, kind.doc,
                  kind.refused.empty() ? "" : " (Not in this version.)", "\n");
  }
  return out;
}

}  // namespace countersign::authz
