#include "pdp/authzen_request.h"

#include <algorithm>
#include <initializer_list>

namespace countersign::pdp {
namespace {

// Reader reads members of one object and keeps the first thing that is wrong with it.
class Reader {
 public:
  Reader(const Json* object, std::string_view where) : object_(object), where_(where) {
    if (object_ == nullptr) {
      Fail(Concat(where_, " is missing"));
    } else if (!object_->is_object()) {
      Fail(Concat(where_, " is no object"));
    }
  }

  bool ok() const { return !fault_.has_value(); }
  const std::optional<std::string>& fault() const { return fault_; }

  // Only refuses every member that is not in the list.
  void Only(std::initializer_list<std::string_view> names) {
    if (!ok()) {
      return;
    }
    for (const auto& [name, value] : object_->items()) {
      if (std::ranges::find(names, std::string_view(name)) == names.end()) {
        return Fail(Concat(where_, " has the unknown member ", Quoted(name)));
      }
    }
  }
  // Text is a non-empty string, or empty if it is absent and may be.
  std::string_view Text(std::string_view name) { return Text(name, true); }
  std::string_view OptionalText(std::string_view name) { return Text(name, false); }
  uint32_t OptionalPort(std::string_view name) {
    const Json* value = Find(name);
    if (value == nullptr) {
      return 0;
    }
    if (!value->is_number_unsigned() || value->get<uint64_t>() == 0 ||
        value->get<uint64_t>() > 0xffff) {
      Fail(Concat(where_, ".", name, " is no port"));
      return 0;
    }
    return value->get<uint32_t>();
  }
  const Json* Find(std::string_view name) const {
    if (!ok()) {
      return nullptr;
    }
    const auto found = object_->find(std::string(name));
    return found == object_->end() ? nullptr : &*found;
  }
  void Fail(std::string why) {
    if (ok()) {
      fault_ = std::move(why);
    }
  }

 private:
  std::string_view Text(std::string_view name, bool required) {
    const Json* value = Find(name);
    if (value == nullptr) {
      if (required) {
        Fail(Concat(where_, ".", name, " is missing"));
      }
      return {};
    }
    const auto* text = value->get_ptr<const std::string*>();
    if (text == nullptr || text->empty()) {
      Fail(Concat(where_, ".", name, " is no text, or an empty one"));
      return {};
    }
    return *text;
  }

  const Json* object_;
  const std::string_view where_;
  std::optional<std::string> fault_;
};

// A header is a text, or a list of them, one for each line.
void ReadHeaders(Reader& properties, RawRequest& raw) {
  const Json* headers = properties.Find("headers");
  if (headers == nullptr) {
    return;
  }
  if (!headers->is_object()) {
    return properties.Fail("resource.properties.headers is no object");
  }
  for (auto header = headers->begin(); header != headers->end(); ++header) {
    const bool is_list = header->is_array();
    const size_t count = is_list ? header->size() : 1;
    if (count == 0) {
      return properties.Fail(
          Concat("resource.properties.headers: ", Quoted(header.key()), " is an empty list"));
    }
    for (size_t i = 0; i < count; ++i) {
      const Json& line = is_list ? (*header)[i] : *header;
      const auto* text = line.get_ptr<const std::string*>();
      if (text == nullptr) {
        return properties.Fail(Concat("resource.properties.headers: ", Quoted(header.key()),
                                      " is neither text nor a list of texts"));
      }
      raw.headers.push_back({header.key(), *text});
    }
  }
}

std::optional<std::string> ReadSubject(const Json* json, RawRequest& raw) {
  Reader subject(json, "subject");
  subject.Only({"type", "id"});
  const std::string_view type = subject.Text("type");
  const std::string_view id = subject.Text("id");
  if (type == "workload") {
    raw.caller = id;
  } else if (type != "anonymous") {
    subject.Fail(Concat("subject.type ", Quoted(type), " is neither workload nor anonymous"));
  } else if (id != "anonymous") {
    subject.Fail("subject.id of an anonymous subject is not \"anonymous\"");
  }
  return subject.fault();
}

std::optional<std::string> ReadResource(const Json* json, RawRequest& raw) {
  Reader resource(json, "resource");
  resource.Only({"type", "id", "properties"});
  const std::string_view type = resource.Text("type");
  raw.callee = resource.Text("id");
  if (type == "http") {
    raw.kind = authz::RequestKind::kHttp;
  } else if (type == "tcp") {
    raw.kind = authz::RequestKind::kTcp;
  } else {
    resource.Fail(Concat("resource.type ", Quoted(type), " is neither http nor tcp"));
  }
  const Json* members = resource.Find("properties");
  if (!resource.ok() || (members == nullptr && raw.kind == authz::RequestKind::kTcp)) {
    return resource.fault();
  }
  Reader properties(members, "resource.properties");
  raw.port = properties.OptionalPort("port");
  if (raw.kind == authz::RequestKind::kTcp) {
    properties.Only({"port"});
    return properties.fault();
  }
  properties.Only({"port", "path", "host", "headers"});
  raw.target = properties.Text("path");
  raw.host = properties.OptionalText("host");
  ReadHeaders(properties, raw);
  return properties.fault();
}

std::optional<std::string> ReadAction(const Json* json, RawRequest& raw) {
  Reader action(json, "action");
  action.Only({"name"});
  const std::string_view name = action.Text("name");
  if (raw.kind == authz::RequestKind::kHttp) {
    raw.method = name;
  } else if (name != "connect") {
    action.Fail(Concat("action.name ", Quoted(name), " of a tcp resource is not connect"));
  }
  return action.fault();
}

std::optional<std::string> ReadContext(const Json* json, RawRequest& raw) {
  if (json == nullptr) {
    return std::nullopt;
  }
  Reader context(json, "context");
  context.Only({"peer_ip", "sni"});
  raw.peer_ip = context.OptionalText("peer_ip");
  raw.sni = context.OptionalText("sni");
  return context.fault();
}

}  // namespace

std::optional<std::string> ReadEvaluation(const EvaluationParts& parts, RawRequest& raw) {
  raw.header_form = HeaderForm::kLines;
  std::optional<std::string> fault = ReadSubject(parts.subject, raw);
  if (!fault) {
    fault = ReadResource(parts.resource, raw);
  }
  if (!fault) {
    fault = ReadAction(parts.action, raw);
  }
  return fault ? fault : ReadContext(parts.context, raw);
}

}  // namespace countersign::pdp
