// Walks a document beside the field table.
#include <algorithm>
#include <set>

#include "authz/kinds/nearest_word.h"
#include "authz/kinds/value.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

constexpr size_t kMapKeyBytesMax = 200;  // Of header names, query keys and labels.

std::optional<Value> CheckField(const yaml::Node& node, const FieldSpec& spec,
                                LoadContext& context);

// Semantics 7: `headers` may not name what the proxy itself decides on or rewrites.
constexpr std::string_view kForbiddenHeaders[] = {"host",
                                                  "authorization",
                                                  "cookie",
                                                  "connection",
                                                  "keep-alive",
                                                  "te",
                                                  "proxy-authorization",
                                                  "trailer",
                                                  "proxy-authenticate",
                                                  "upgrade",
                                                  "proxy-connection",
                                                  "transfer-encoding"};

bool IsTokenByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// The canonical form of a free key, or an error.
StatusOr<std::string> CheckMapKey(std::string key, const FieldRow& map) {
  if (key.size() > kMapKeyBytesMax) {
    return InvalidArgument("a key of ", key.size(), " bytes: at most ", kMapKeyBytesMax,
                           " are allowed");
  }
  if ((map.flags & kHeaderKeys) == 0) {
    return key;
  }
  for (char& c : key) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (key.starts_with(':')) {
    return InvalidArgument("a rule may not name the pseudo-header ", Quoted(key),
                           ": use methods, path or host");
  }
  if (std::ranges::find(kForbiddenHeaders, key) != std::end(kForbiddenHeaders)) {
    return InvalidArgument("a rule may not name the header ", Quoted(key),
                           key == "host" ? ": use host" : "");
  }
  if (!std::ranges::all_of(key, IsTokenByte)) {
    return InvalidArgument("bad header name ", Quoted(key));
  }
  return key;
}

// Where else in the kind a key is known: "spec.rules.to", or empty.
std::string_view ElsewhereIn(const FieldSpec& spec, std::string_view key) {
  for (const auto& [name, child] : spec.children) {
    if (name == key && child.row->type != FieldType::kUnsupported) {
      std::string_view path = child.row->path;
      return path.substr(0, path.size() - key.size() - 1);
    }
    if (std::string_view found = ElsewhereIn(child, key); !found.empty()) {
      return found;
    }
  }
  return {};
}

void ReportUnknownKey(const yaml::Member& member, const FieldSpec& spec, LoadContext& context) {
  std::vector<std::string_view> known;
  for (const auto& [name, child] : spec.children) {
    known.push_back(name);
  }
  std::string_view elsewhere =
      context.kind != nullptr ? ElsewhereIn(*context.kind, member.key) : std::string_view();
  context.reporter.Error(
      member.where,
      elsewhere.empty()
          ? Concat("unknown key ", Quoted(member.key), DidYouMean(member.key, known))
          : Concat("unknown key ", Quoted(member.key), " here: it belongs in ", elsewhere));
}

void ObjectJson(Value& object) {
  object.json = "{";
  for (const auto& [key, value] : object.members) {
    object.json += Concat(object.json.size() > 1 ? "," : "", JsonText(key), ":", value.json);
  }
  object.json += '}';
}

void AddDefaults(const FieldSpec& spec, LoadContext& context, Value& object);

// The default of a row stands in the table as JSON; it is walked as if the author had written it.
Value DefaultOf(const FieldSpec& spec, LoadContext& context, yaml::Mark where) {
  Value value;
  value.row = spec.row;
  value.where = where;
  value.json = std::string(spec.row->fallback);
  std::string_view text = spec.row->fallback;
  switch (spec.row->type) {
    case FieldType::kObject:
      if (spec.row->shape == Shape::kOne) {
        AddDefaults(spec, context, value);
        ObjectJson(value);
      }
      break;
    case FieldType::kBool:
      value.truth = text == "true";
      break;
    case FieldType::kInteger:
      value.number = std::stoll(std::string(text));
      break;
    default:
      if (text.starts_with('"')) {
        yaml::Node node;
        node.kind = yaml::Node::Kind::kScalar;
        node.quoted = true;
        node.text = std::string(text.substr(1, text.size() - 2));
        CHECK(CheckScalar(node, *spec.row, context, value));
      }
      break;
  }
  return value;
}

void AddDefaults(const FieldSpec& spec, LoadContext& context, Value& object) {
  for (const auto& [name, child] : spec.children) {
    if (!child.row->fallback.empty() && !object.members.contains(name)) {
      object.members.emplace(std::string(name), DefaultOf(child, context, object.where));
    }
  }
}

std::optional<Value> CheckObject(const yaml::Node& node, const FieldSpec& spec,
                                 LoadContext& context) {
  const FieldRow& row = *spec.row;
  if (node.kind == yaml::Node::Kind::kScalar && (row.flags & kShorthand) != 0) {
    yaml::Node expanded;
    expanded.kind = yaml::Node::Kind::kMap;
    expanded.where = node.where;
    expanded.members.push_back({std::string(row.detail), node.where, node});
    return CheckObject(expanded, spec, context);
  }
  if (node.kind != yaml::Node::Kind::kMap) {
    context.reporter.Error(node.where,
                           Concat(KeyOf(row), " must be a map, not ", yaml::KindName(node.kind)));
    return std::nullopt;
  }
  Value value;
  value.row = &row;
  value.where = node.where;
  std::set<std::string_view> present;
  for (const yaml::Member& member : node.members) {
    const FieldSpec* child = spec.Child(member.key);
    if (context.reporter.full()) {
      return std::nullopt;
    }
    if (child == nullptr) {
      ReportUnknownKey(member, spec, context);
      continue;
    }
    present.insert(child->row->path);
    if (child->row->type == FieldType::kUnsupported) {
      context.reporter.Error(member.where, Concat(Quoted(member.key), ": ", child->row->detail));
    } else if (auto checked = CheckField(member.value, *child, context); checked.has_value()) {
      value.members.emplace(member.key, *std::move(checked));
    }
  }
  for (const auto& [name, child] : spec.children) {
    if ((child.row->flags & kRequired) != 0 && !present.contains(child.row->path)) {
      context.reporter.Error(node.where,
                             Concat("required key \"", name, "\" is missing in ", KeyOf(row)));
    }
  }
  if (node.members.empty() && row.fallback.empty() && (row.flags & kMayBeEmpty) == 0) {
    context.reporter.Error(node.where, Concat(KeyOf(row), " must not be empty"));
  }
  AddDefaults(spec, context, value);
  ObjectJson(value);
  return value;
}

std::optional<Value> CheckMap(const yaml::Node& node, const FieldSpec& spec, LoadContext& context) {
  const FieldRow& row = *spec.row;
  if (node.kind != yaml::Node::Kind::kMap || node.members.empty()) {
    context.reporter.Error(node.where, Concat(KeyOf(row), " must be a map with at least one key"));
    return std::nullopt;
  }
  Value value;
  value.row = &row;
  value.where = node.where;
  const FieldSpec& child = *spec.Child("*");
  for (const yaml::Member& member : node.members) {
    StatusOr<std::string> key = CheckMapKey(member.key, row);
    if (!key.ok()) {
      context.reporter.Error(member.where, std::string(Message(key.status())));
      continue;
    }
    std::optional<Value> checked = CheckField(member.value, child, context);
    if (value.members.contains(*key)) {
      context.reporter.Error(
          member.where, Concat("duplicate key ", Quoted(*key), " (header names have no case)"));
    } else if (checked.has_value()) {
      value.members.emplace(*std::move(key), *std::move(checked));
    }
  }
  ObjectJson(value);
  return value;
}

std::optional<Value> CheckOne(const yaml::Node& node, const FieldSpec& spec, LoadContext& context) {
  if (spec.row->type == FieldType::kObject) {
    return CheckObject(node, spec, context);
  }
  if (spec.row->type == FieldType::kMap) {
    return CheckMap(node, spec, context);
  }
  Value value;
  value.row = spec.row;
  value.where = node.where;
  bool good = spec.row->type == FieldType::kMatcher ? CheckMatcher(node, *spec.row, context, value)
                                                    : CheckScalar(node, *spec.row, context, value);
  return good ? std::optional<Value>(std::move(value)) : std::nullopt;
}

void SortList(Value& list, LoadContext& context) {
  const FieldRow& row = *list.row;
  if ((row.flags & kNamed) != 0) {
    std::ranges::stable_sort(list.items, {}, [](const Value& item) { return item.TextOf("name"); });
    for (size_t i = 1; i < list.items.size(); ++i) {
      std::string name = list.items[i].TextOf("name");
      if (!name.empty() && name == list.items[i - 1].TextOf("name")) {
        context.reporter.Error(list.items[i].where,
                               Concat("two of ", KeyOf(row), " have the name ", Quoted(name)));
      }
    }
  } else if (row.shape == Shape::kSet || row.shape == Shape::kOneOrSet) {
    std::ranges::stable_sort(list.items, {}, &Value::json);
    list.items.erase(std::unique(list.items.begin(), list.items.end(),
                                 [](const Value& a, const Value& b) { return a.json == b.json; }),
                     list.items.end());
  }
}

std::optional<Value> CheckList(const yaml::Node& node, const FieldSpec& spec,
                               LoadContext& context) {
  const FieldRow& row = *spec.row;
  Value list;
  list.row = &row;
  list.where = node.where;
  if (node.kind != yaml::Node::Kind::kSequence) {
    std::optional<Value> item = CheckOne(node, spec, context);
    if (!item.has_value()) {
      return std::nullopt;
    }
    list.items.push_back(*std::move(item));
  }
  for (const yaml::Node& element : node.items) {
    if (context.reporter.full()) {
      return std::nullopt;
    }
    if (std::optional<Value> item = CheckOne(element, spec, context); item.has_value()) {
      list.items.push_back(*std::move(item));
    }
  }
  if (node.kind == yaml::Node::Kind::kSequence && node.items.empty() &&
      (row.flags & kMayBeEmpty) == 0) {
    context.reporter.Error(node.where, Concat(KeyOf(row), " must not be an empty list"));
  }
  SortList(list, context);
  list.json = "[";
  for (const Value& item : list.items) {
    list.json += Concat(list.json.size() > 1 ? "," : "", item.json);
  }
  list.json += ']';
  return list;
}

// {allExcept: LIST} in the place of a list.
std::optional<Value> CheckComplement(const yaml::Node& node, const FieldSpec& spec,
                                     LoadContext& context) {
  constexpr std::string_view kKey[] = {"allExcept"};
  const FieldRow& row = *spec.row;
  size_t errors = context.reporter.errors();
  for (const yaml::Member& member : node.members) {
    if (member.key != kKey[0]) {
      context.reporter.Error(
          member.where,
          NearestWord(member.key, kKey).empty()
              ? Concat(KeyOf(row), " must be a list, or {allExcept: LIST}: unknown key ",
                       Quoted(member.key), " here")
              : Concat("unknown key ", Quoted(member.key), DidYouMean(member.key, kKey)));
    }
  }
  const yaml::Node* list = node.Find(kKey[0]);
  if (list == nullptr && errors == context.reporter.errors()) {
    context.reporter.Error(node.where, Concat(KeyOf(row), " must not be empty"));
  } else if (list != nullptr && list->kind != yaml::Node::Kind::kSequence) {
    context.reporter.Error(list->where, Concat("allExcept must be a list of entries, not ",
                                               yaml::KindName(list->kind)));
  }
  if (errors != context.reporter.errors()) {
    return std::nullopt;
  }
  std::optional<Value> value = CheckList(*list, spec, context);
  if (value.has_value()) {
    value->all_except = true;
    value->json = Concat("{\"allExcept\":", value->json, "}");
  }
  return value;
}

std::optional<Value> CheckField(const yaml::Node& node, const FieldSpec& spec,
                                LoadContext& context) {
  const FieldRow& row = *spec.row;
  if (context.reporter.full()) {
    return std::nullopt;
  }
  if (node.kind == yaml::Node::Kind::kNull) {
    context.reporter.Error(node.where, Concat(KeyOf(row), " has no value"));
    return std::nullopt;
  }
  std::vector<std::string_view> words = SplitWords(row.words);
  bool bare = node.kind == yaml::Node::Kind::kScalar;
  if (bare && std::ranges::find(words, node.text) != words.end()) {
    Value value;
    value.row = &row;
    value.where = node.where;
    value.is_word = true;
    value.text = node.text;
    value.json = JsonText(node.text);
    return value;
  }
  if (bare && !NearestWord(node.text, words).empty()) {
    context.reporter.Error(node.where, Concat(KeyOf(row), ": unknown word ", Quoted(node.text),
                                              DidYouMean(node.text, words)));
    return std::nullopt;
  }
  if (row.shape == Shape::kOne) {
    return CheckOne(node, spec, context);
  }
  if ((row.flags & kComplement) != 0 && node.kind == yaml::Node::Kind::kMap) {
    return CheckComplement(node, spec, context);
  }
  bool one_will_do = row.shape == Shape::kOneOrSet || row.shape == Shape::kOneOrSequence;
  if (node.kind != yaml::Node::Kind::kSequence && !one_will_do) {
    context.reporter.Error(
        node.where, Concat(KeyOf(row), " must be a list, not ", yaml::KindName(node.kind),
                           bare && !words.empty() ? DidYouMean(node.text, words) : std::string()));
    return std::nullopt;
  }
  return CheckList(node, spec, context);
}

}  // namespace

Value CheckSpec(const yaml::Node& spec, const KindRow& kind, LoadContext& context) {
  const FieldSpec& tree = SpecOf(kind);
  context.kind = &tree;
  std::optional<Value> value = CheckField(spec, *tree.Child("spec"), context);
  context.kind = nullptr;
  return value.has_value() ? *std::move(value) : Value();
}

}  // namespace countersign::authz
