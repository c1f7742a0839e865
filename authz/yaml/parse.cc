#include "authz/yaml/parse.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <unordered_set>

#include "authz/yaml/syntax_hint.h"
#include "authz/yaml/text_check.h"
#include "base/status.h"

namespace countersign::authz::yaml {
namespace {

// Stop ends the reading of a file from within yaml-cpp's callbacks; it never leaves this file.
struct Stop {};

Mark ToMark(const YAML::Mark& mark) {  // yaml-cpp counts from 0.
  return mark.is_null()
             ? Mark{}
             : Mark{static_cast<uint32_t>(mark.line) + 1, static_cast<uint32_t>(mark.column) + 1};
}

Node MakeNode(Node::Kind kind, const YAML::Mark& mark) {
  Node node;
  node.kind = kind;
  node.where = ToMark(mark);
  return node;
}

// TreeBuilder turns yaml-cpp's events into nodes. One for a file.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const YamlLimits& limits, Stream& stream) : limits_(limits), stream_(stream) {}

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {
    frames_.clear();
    document_ = Document();
  }
  void OnDocumentEnd() override {
    if (document_.root.kind != Node::Kind::kNull || document_.broken) {
      stream_.documents.push_back(std::move(document_));
    }
    document_ = Document();
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(MakeNode(Node::Kind::kNull, mark), "?", anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Report(ToMark(mark), "aliases (*name) are not allowed: write the value out");
    Add(MakeNode(Node::Kind::kNull, mark), "?", 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = MakeNode(Node::Kind::kScalar, mark);
    node.quoted = tag != "?";
    if (value.size() > limits_.scalar_bytes_max) {
      Report(node.where, Concat("a value of ", value.size(), " bytes: at most ",
                                limits_.scalar_bytes_max, " are allowed"));
    } else if (!IsPlainText(value)) {
      Report(node.where, "control characters are not allowed in values, not even escaped");
    } else {
      node.text = value;
    }
    Add(std::move(node), tag, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    Open(MakeNode(Node::Kind::kSequence, mark), tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    Open(MakeNode(Node::Kind::kMap, mark), tag, anchor);
  }
  void OnMapEnd() override { Close(); }

  void Report(Mark where, std::string message) {
    document_.broken = true;
    stream_.problems.push_back({where, std::move(message)});
    if (stream_.problems.size() >= limits_.problems_max) {
      throw Stop();
    }
  }
  // Abandon keeps the document that a syntax error cut off as a broken one.
  void Abandon() {
    document_.broken = true;
    stream_.documents.push_back(std::move(document_));
  }

 private:
  struct Frame {
    Node node;
    bool awaits_key = true;
    std::string key;
    Mark key_where;
    bool drop_value = false;  // Its key was refused.
    std::unordered_set<std::string> keys;
  };

  // Every node passes here: limits, tags and anchors.
  void Inspect(const Node& node, const std::string& tag, YAML::anchor_t anchor) {
    if (++node_count_ > limits_.nodes_max) {
      Report(node.where, Concat("more than ", limits_.nodes_max, " values in one file"));
      throw Stop();
    }
    if (anchor != 0) {
      Report(node.where, "anchors (&name) are not allowed: write the value out");
    }
    if (!tag.empty() && tag != "?" && tag != "!") {
      Report(node.where, Concat("tags are not allowed: remove ", Quoted(tag)));
    }
  }

  void Add(Node node, const std::string& tag, YAML::anchor_t anchor) {
    Inspect(node, tag, anchor);
    if (AwaitsKey()) {
      TakeKey(node);
    } else {
      Attach(std::move(node));
    }
  }

  void Open(Node node, const std::string& tag, YAML::anchor_t anchor) {
    Inspect(node, tag, anchor);
    if (AwaitsKey()) {
      Report(node.where, "a key must be a single word, not a list or a map");
      throw Stop();
    }
    if (frames_.size() >= limits_.depth_max) {
      Report(node.where, Concat("nested deeper than ", limits_.depth_max, " levels"));
      throw Stop();
    }
    Frame frame;
    frame.awaits_key = node.kind == Node::Kind::kMap;
    frame.node = std::move(node);
    frames_.push_back(std::move(frame));
  }

  void Close() {
    Node node = std::move(frames_.back().node);
    frames_.pop_back();
    Attach(std::move(node));
  }

  bool AwaitsKey() const {
    return !frames_.empty() && frames_.back().node.kind == Node::Kind::kMap &&
           frames_.back().awaits_key;
  }

  void TakeKey(const Node& node) {
    Frame& frame = frames_.back();
    frame.awaits_key = false;
    frame.key = node.text;
    frame.key_where = node.where;
    frame.drop_value = true;
    if (node.kind != Node::Kind::kScalar || node.text.empty()) {
      Report(node.where, "a key must not be empty");
    } else if (node.text == "<<" && !node.quoted) {
      Report(node.where, "merge keys (<<) are not allowed: write the values out");
    } else if (!frame.keys.insert(node.text).second) {
      Report(node.where, Concat("duplicate key ", Quoted(node.text)));
    } else {
      frame.drop_value = false;
    }
  }

  void Attach(Node node) {
    if (frames_.empty()) {
      document_.root = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == Node::Kind::kSequence) {
      frame.node.items.push_back(std::move(node));
      return;
    }
    frame.awaits_key = true;
    if (!frame.drop_value) {
      frame.node.members.push_back({std::move(frame.key), frame.key_where, std::move(node)});
    }
  }

  const YamlLimits& limits_;
  Stream& stream_;
  Document document_;
  std::vector<Frame> frames_;
  size_t node_count_ = 0;
};

bool IsIndicator(char c) {
  return c == '[' || c == ']' || c == '{' || c == '}' || c == ',' || c == ':';
}

void ParseDocuments(std::string_view text, const YamlLimits& limits, TreeBuilder& builder) {
  // yaml-cpp takes a quoted text that the file's end cuts off for a whole one, but not one that a
  // document's end cuts off.
  std::istringstream input(Concat(text, text.ends_with('\n') ? "" : "\n", "...\n"));
  YAML::Parser parser(input);
  for (size_t count = 0; parser.HandleNextDocument(builder);) {
    if (++count > limits.documents_max) {
      builder.Report({}, Concat("more than ", limits.documents_max, " documents in one file"));
      return;
    }
  }
}

}  // namespace

const Node* Node::Find(std::string_view key) const {
  for (const Member& member : members) {
    if (member.key == key) {
      return &member.value;
    }
  }
  return nullptr;
}

std::string_view KindName(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::kScalar:
      return "a single value";
    case Node::Kind::kSequence:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
    case Node::Kind::kNull:
      break;
  }
  return "nothing";
}

Stream Parse(std::string_view text, const YamlLimits& limits) {
  Stream stream;
  if (text.size() > limits.bytes_max) {
    stream.problems.push_back(
        {{},
         Concat("a file of ", text.size(), " bytes: at most ", limits.bytes_max, " are allowed")});
    return stream;
  }
  auto indicators = static_cast<size_t>(std::ranges::count_if(text, IsIndicator));
  if (indicators > limits.indicators_max) {
    stream.problems.push_back({{},
                               Concat(indicators, " of the characters [ ] { } , : in one file: ",
                                      "at most ", limits.indicators_max, " are allowed")});
    return stream;
  }
  if (std::optional<Problem> problem = CheckText(text); problem.has_value()) {
    stream.problems.push_back(*std::move(problem));
    return stream;
  }
  TreeBuilder builder(limits, stream);
  try {
    ParseDocuments(text, limits, builder);
  } catch (const Stop&) {
    builder.Abandon();
  } catch (const YAML::Exception& error) {
    stream.problems.push_back(SyntaxProblem(text, {ToMark(error.mark), error.msg}));
    builder.Abandon();
  } catch (const std::exception& error) {
    stream.problems.push_back({{}, Concat("not YAML: ", error.what())});
    builder.Abandon();
  }
  return stream;
}

}  // namespace countersign::authz::yaml
