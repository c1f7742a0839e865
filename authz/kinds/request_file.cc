// One request alone in a file: a PolicyTest with a single case is made around it, so that it passes
// the same checks.
#include "authz/kinds/builders.h"
#include "authz/kinds/load_file.h"
#include "authz/kinds/loader.h"

namespace countersign::authz {
namespace {

yaml::Node TextNode(std::string_view text, yaml::Mark where) {
  yaml::Node node;
  node.kind = yaml::Node::Kind::kScalar;
  node.where = where;
  node.text = std::string(text);
  return node;
}

yaml::Node MapNode(std::vector<yaml::Member> members, yaml::Mark where) {
  yaml::Node node;
  node.kind = yaml::Node::Kind::kMap;
  node.where = where;
  node.members = std::move(members);
  return node;
}

yaml::Document TestAround(yaml::Node request) {
  yaml::Mark at = request.where;
  yaml::Node test = MapNode({{"name", at, TextNode("request", at)},
                             {"request", at, std::move(request)},
                             {"expect", at, TextNode("deny", at)}},
                            at);
  yaml::Node cases;
  cases.kind = yaml::Node::Kind::kSequence;
  cases.where = at;
  cases.items.push_back(std::move(test));
  yaml::Document document;
  document.root = MapNode({{"apiVersion", at, TextNode(kApiVersion, at)},
                           {"kind", at, TextNode("PolicyTest", at)},
                           {"metadata", at, MapNode({{"name", at, TextNode("request", at)}}, at)},
                           {"spec", at, MapNode({{"cases", at, std::move(cases)}}, at)}},
                          at);
  return document;
}

}  // namespace

StatusOr<PolicyTestCase::Request> LoadTestRequest(const SourceFile& file) {
  LoadedFile loaded(file.path);
  yaml::Stream stream = yaml::Parse(file.content);
  for (yaml::Problem& problem : stream.problems) {
    loaded.context.reporter.Error(problem.where, std::move(problem.message));
  }
  if (stream.documents.size() != 1 && stream.problems.empty()) {
    return InvalidArgument(file.path, ": must hold exactly one request");
  }
  std::vector<PolicyTestCase> tests;
  if (stream.problems.empty()) {
    CheckTree(TestAround(std::move(stream.documents.front().root)), loaded);
    tests = BuildTests(loaded.documents.front(), "", {});
  }
  std::string findings;
  for (const Diagnostic& diagnostic : loaded.context.reporter.diagnostics()) {
    findings += Concat(findings.empty() ? "" : "\n", FormatDiagnostic(diagnostic));
  }
  if (!findings.empty() || tests.size() != 1) {
    return InvalidArgument(findings);
  }
  return std::move(tests.front().request);
}

}  // namespace countersign::authz
