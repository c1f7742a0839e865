#include "authz/kinds/load_file.h"

#include <algorithm>
#include <span>

#include "authz/kinds/nearest_word.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

constexpr std::string_view kTopKeys[] = {"apiVersion", "kind", "metadata", "spec"};
constexpr std::string_view kListKeys[] = {"apiVersion", "kind", "metadata", "items"};
constexpr FieldRow kNameRow = {.path = "metadata.name", .type = FieldType::kName};

// The word under a top key; null with an error if there is none. `hint` says what it may be.
const yaml::Node* WordAt(const yaml::Node& root, std::string_view key, std::string_view hint,
                         Reporter& reporter) {
  const yaml::Node* node = root.Find(key);
  if (node == nullptr) {
    reporter.Error(root.where, Concat("required key ", Quoted(key), " is missing", hint));
  } else if (node->kind != yaml::Node::Kind::kScalar) {
    reporter.Error(node->where,
                   Concat(key, " must be a single value, not ", yaml::KindName(node->kind)));
    node = nullptr;
  }
  return node;
}

void CheckVersion(const yaml::Node& root, Reporter& reporter) {
  const yaml::Node* version = WordAt(root, "apiVersion", Concat(" (", kApiVersion, ")"), reporter);
  if (version != nullptr && version->text != kApiVersion) {
    reporter.Error(version->where, Concat("unknown apiVersion ", Quoted(version->text), ": this ",
                                          "version reads ", kApiVersion));
  }
}

const KindRow* ReadKind(const yaml::Node& root, Reporter& reporter) {
  CheckVersion(root, reporter);
  const yaml::Node* kind = WordAt(root, "kind", "", reporter);
  if (kind == nullptr) {
    return nullptr;
  }
  const KindRow* row = FindKind(kind->text);
  if (row == nullptr) {
    std::vector<std::string_view> known;
    for (const KindRow& each : AllKinds()) {
      if (each.refused.empty()) {
        known.push_back(each.name);
      }
    }
    reporter.Error(kind->where,
                   Concat("unknown kind ", Quoted(kind->text), DidYouMean(kind->text, known)));
  } else if (!row->refused.empty()) {
    reporter.Error(kind->where, Concat(row->name, ": ", row->refused));
    return nullptr;
  }
  return row;
}

std::string ReadName(const yaml::Node& root, LoadContext& context) {
  const yaml::Node* metadata = root.Find("metadata");
  if (metadata == nullptr || metadata->kind != yaml::Node::Kind::kMap) {
    context.reporter.Error(root.where, "required key \"metadata\" is missing, with a name");
    return "";
  }
  for (const yaml::Member& member : metadata->members) {
    if (member.key != "name") {
      std::string_view known[] = {"name"};
      context.reporter.Error(
          member.where, Concat("unknown key ", Quoted(member.key), DidYouMean(member.key, known)));
    }
  }
  const yaml::Node* name = metadata->Find("name");
  if (name == nullptr) {
    context.reporter.Error(metadata->where, "required key \"name\" is missing in metadata");
    return "";
  }
  Value value;
  return CheckScalar(*name, kNameRow, context, value) ? value.text : "";
}

void CheckTopKeys(const yaml::Node& root, std::span<const std::string_view> known,
                  Reporter& reporter) {
  for (const yaml::Member& member : root.members) {
    if (std::ranges::find(known, member.key) == known.end()) {
      reporter.Error(member.where,
                     Concat("unknown key ", Quoted(member.key), DidYouMean(member.key, known)));
    }
  }
}

bool IsList(const yaml::Node& root) {
  const yaml::Node* kind = root.Find("kind");
  return root.kind == yaml::Node::Kind::kSequence || (kind != nullptr && kind->text == "List");
}

void CheckNode(const yaml::Node& root, bool is_cut, LoadedFile& file);

// Several documents as one, as machines pass them: a JSON array, or kind List, whose metadata says
// where they are from and means nothing here. The parser's limit of depth bounds lists in lists.
void CheckList(const yaml::Node& root, bool is_cut, LoadedFile& file) {
  Reporter& reporter = file.context.reporter;
  size_t errors_before = reporter.errors();
  const yaml::Node* items = &root;
  if (root.kind == yaml::Node::Kind::kMap) {
    CheckVersion(root, reporter);
    CheckTopKeys(root, kListKeys, reporter);
    items = root.Find("items");
  }
  if (items == nullptr || items->kind != yaml::Node::Kind::kSequence) {
    reporter.Error(items == nullptr ? root.where : items->where,
                   "a List must have items, a list of documents");
  } else if (items->items.size() > file.documents_max) {
    reporter.Error(items->where, Concat("a list of more than ", file.documents_max, " documents"));
  }
  if (reporter.errors() > errors_before) {
    file.broken = true;
    return;
  }
  for (const yaml::Node& item : items->items) {
    CheckNode(item, is_cut, file);
  }
}

// A document without a usable kind cannot be given to a set: the whole file counts as broken.
void CheckNode(const yaml::Node& root, bool is_cut, LoadedFile& file) {
  LoadContext& context = file.context;
  Reporter& reporter = context.reporter;
  if (IsList(root)) {
    CheckList(root, is_cut, file);
    return;
  }
  if (root.kind != yaml::Node::Kind::kMap) {
    if (!is_cut) {
      reporter.Error(root.where, Concat("a document must be a map with apiVersion, kind, metadata ",
                                        "and spec, not ", yaml::KindName(root.kind)));
    }
    file.broken = true;
    return;
  }
  size_t errors_before = reporter.errors();
  CheckTopKeys(root, kTopKeys, reporter);
  const KindRow* kind = ReadKind(root, reporter);
  if (kind == nullptr) {
    file.broken = true;
    return;
  }
  CheckedDocument& document = file.documents.emplace_back();
  document.kind = kind;
  document.context = &context;
  document.where = root.where;
  document.name = ReadName(root, context);
  if (const yaml::Node* spec = root.Find("spec"); spec != nullptr) {
    document.spec = CheckSpec(*spec, *kind, context);
  } else if (!is_cut) {
    reporter.Error(root.where, "required key \"spec\" is missing");
  }
  document.broken = is_cut || reporter.errors() > errors_before;
}

}  // namespace

void CheckTree(const yaml::Document& source, LoadedFile& file) {
  CheckNode(source.root, source.broken, file);
}

void LoadFile(std::string_view content, const yaml::YamlLimits& limits, LoadedFile& file) {
  file.documents_max = limits.documents_max;
  yaml::Stream stream = yaml::Parse(content, limits);
  for (yaml::Problem& problem : stream.problems) {
    file.context.reporter.Error(problem.where, std::move(problem.message));
  }
  bool any_broken = std::ranges::any_of(stream.documents, &yaml::Document::broken);
  file.broken = !stream.problems.empty() && !any_broken;
  for (const yaml::Document& document : stream.documents) {
    CheckTree(document, file);
  }
}

}  // namespace countersign::authz
