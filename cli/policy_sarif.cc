#include "cli/policy_sarif.h"

#include <algorithm>
#include <map>

#include "cli/policy_output.h"

namespace countersign::cli {
namespace {

using authz::Diagnostic;
using Texts = std::map<std::string_view, std::string_view>;

constexpr std::string_view kSchema = "https://json.schemastore.org/sarif-2.1.0.json";

// A relative reference, or a file URI for an absolute path (section 3.4.3, RFC 3986).
std::string UriOf(std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out = path.starts_with('/') ? "file://" : "";
  for (char c : path) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 std::string_view("/-._~").find(c) != std::string_view::npos;
    auto byte = static_cast<unsigned char>(c);
    out += plain ? std::string(1, c) : std::string{'%', kHex[byte >> 4], kHex[byte & 15]};
  }
  return out;
}

// The column in code points, from the one in bytes.
uint32_t ColumnOf(const authz::SourcePosition& where, const Texts& texts) {
  auto found = texts.find(where.file);
  std::string_view text = found == texts.end() ? std::string_view() : found->second;
  for (uint32_t line = 1; line < where.line && !text.empty(); ++line) {
    size_t end = text.find('\n');
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  std::string_view before = text.substr(0, where.column - 1);
  auto inner = std::ranges::count_if(before, [](char c) { return (c & 0xc0) == 0x80; });
  return where.column - static_cast<uint32_t>(inner);
}

Json LocationOf(const authz::SourcePosition& where, const Texts& texts) {
  Json physical = {{"artifactLocation", {{"uri", UriOf(where.file)}}}};
  if (where.line > 0 && where.column > 0) {
    physical["region"] = {{"startLine", where.line}, {"startColumn", ColumnOf(where, texts)}};
  }
  return {{"physicalLocation", physical}};
}

std::string_view DescriptionOf(std::string_view rule) {
  static const std::map<std::string_view, std::string_view> kDescriptions = {
      {"load", "The file does not say what a document of its kind may say."},
      {"compile", "The policies cannot be compiled as proxies compile them."},
      {"lint", "Right in form, but seldom meant."},
      {"test", "A PolicyTest does not get the verdict that it expects."},
      {"assertion", "A PolicyAssertion does not hold, or is not proved."},
  };
  auto found = kDescriptions.find(rule);
  return found == kDescriptions.end() ? rule : found->second;
}

}  // namespace

std::string ToSarif(const std::vector<Diagnostic>& findings,
                    std::span<const authz::SourceFile> files) {
  Texts texts;
  for (const authz::SourceFile& file : files) {
    texts.emplace(file.path, file.content);
  }
  std::vector<std::string_view> names;
  for (const Diagnostic& finding : findings) {
    names.push_back(finding.rule);
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  Json rules = Json::array();
  for (std::string_view name : names) {
    rules.push_back({{"id", name}, {"shortDescription", {{"text", DescriptionOf(name)}}}});
  }
  Json results = Json::array();
  for (const Diagnostic& finding : findings) {
    bool is_error = finding.severity == Diagnostic::Severity::kError;
    Json result = {{"ruleId", finding.rule},
                   {"ruleIndex", std::ranges::lower_bound(names, finding.rule) - names.begin()},
                   {"level", is_error ? "error" : "warning"},
                   {"message", {{"text", finding.message}}}};
    if (!finding.where.file.empty() && finding.where.file != "-") {
      result["locations"] = Json::array({LocationOf(finding.where, texts)});
    }
    results.push_back(std::move(result));
  }
  Json driver = {{"name", "countersign"}, {"rules", rules}};
  Json run = {
      {"tool", {{"driver", driver}}}, {"columnKind", "unicodeCodePoints"}, {"results", results}};
  return Print({{"$schema", kSchema}, {"version", "2.1.0"}, {"runs", Json::array({run})}});
}

}  // namespace countersign::cli
