#include "authz/kinds/printer.h"

#include <nlohmann/json.hpp>

#include "authz/yaml/parse.h"

namespace countersign::authz {
namespace {

using Json = nlohmann::json;

// Texts that every YAML reader takes as this very text may stand without quotes.
bool IsPlainWord(const std::string& text) {
  static constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on",
                                                "off",  "null",  "y",   "n"};
  std::string lower;
  for (char c : text) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool inner = letter || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '/';
    bool scheme = c == ':' && lower == "spiffe";
    if (!inner && !scheme) {
      return false;
    }
    lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  bool starts_well = !lower.empty() && ((lower[0] >= 'a' && lower[0] <= 'z') || lower[0] == '/');
  bool is_word = false;
  for (std::string_view word : kWords) {
    is_word = is_word || lower == word;
  }
  return starts_well && !is_word;
}

std::string QuoteScalar(const std::string& text) {
  if (IsPlainWord(text)) {
    return text;
  }
  if (text.find_first_of("\n\t\r") != std::string::npos) {
    return Json(text).dump();
  }
  std::string out = "'";
  for (char c : text) {
    out += c;
    if (c == '\'') {
      out += c;
    }
  }
  return out + "'";
}

std::string ScalarText(const Json& value) {
  return value.is_string() ? QuoteScalar(value.get<std::string>()) : value.dump();
}

bool IsShort(const Json& value) {
  if (value.is_array() || value.is_object()) {
    for (const Json& item : value) {
      if (item.is_structured()) {
        return false;
      }
    }
    return value.dump().size() <= 80;
  }
  return true;
}

std::string InlineText(const Json& value) {
  if (!value.is_structured()) {
    return ScalarText(value);
  }
  std::string out;
  for (const auto& [key, item] : value.items()) {
    out += out.empty() ? "" : ", ";
    out += value.is_object() ? Concat(QuoteScalar(key), ": ", ScalarText(item)) : ScalarText(item);
  }
  if (out.empty()) {
    return value.is_object() ? "{}" : "[]";
  }
  return value.is_object() ? Concat("{ ", out, " }") : Concat("[", out, "]");
}

void PrintBlock(const Json& value, const std::string& indent, std::string& out);

// Prints after "key:" or "-": on the line if it is short, else below.
void PrintValue(const Json& value, const std::string& indent, std::string& out) {
  if (IsShort(value)) {
    out += Concat(" ", InlineText(value), "\n");
  } else {
    out += '\n';
    PrintBlock(value, indent, out);
  }
}

void PrintBlock(const Json& value, const std::string& indent, std::string& out) {
  if (value.is_array()) {
    for (const Json& item : value) {
      std::string below;
      PrintValue(item, indent + "  ", below);
      if (below.front() == '\n') {  // The first key stands beside the dash.
        out += Concat(indent, "- ", below.substr(1 + indent.size() + 2));
      } else {
        out += Concat(indent, "-", below);
      }
    }
    return;
  }
  // A name comes first, as people write it; the rest in the order of the keys.
  if (value.contains("name")) {
    out += Concat(indent, "name:");
    PrintValue(value["name"], indent + "  ", out);
  }
  for (const auto& [key, item] : value.items()) {
    if (key != "name") {
      out += Concat(indent, QuoteScalar(key), ":");
      PrintValue(item, indent + "  ", out);
    }
  }
}

}  // namespace

StatusOr<std::string> ToYaml(std::string_view canonical_json) {
  Json document = Json::parse(canonical_json, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return InvalidArgument("not a document in canonical JSON: ", Quoted(canonical_json));
  }
  std::string out;
  PrintBlock(document, "", out);
  return out;
}

}  // namespace countersign::authz
