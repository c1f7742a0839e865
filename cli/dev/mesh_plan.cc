#include "cli/dev/mesh_plan.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"

namespace countersign::cli::dev {
namespace {

using Json = nlohmann::json;

constexpr size_t kPlanBytesMax = 256 * 1024;  // A demo of a few services takes a few KiB.

// Object reads one JSON object and remembers which keys were asked for, so that the rest is
// refused.
class Object {
 public:
  Object(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) {
      status_ = InvalidArgument(where_, " must be an object");
    }
  }
  std::string String(const char* key) {
    const Json* value = Find(key);
    if (value != nullptr && !value->is_string()) {
      Fail(key, "must be a string");
      return "";
    }
    return value != nullptr ? value->get<std::string>() : "";
  }
  uint32_t Number(const char* key) {
    const Json* value = Find(key);
    if (value != nullptr && !value->is_number_unsigned()) {
      Fail(key, "must be a whole number");
      return 0;
    }
    return value != nullptr ? value->get<uint32_t>() : 0;
  }
  std::vector<std::string> Strings(const char* key) {
    std::vector<std::string> out;
    for (const Json& item : Array(key)) {
      if (!item.is_string()) {
        Fail(key, "must hold strings");
        return {};
      }
      out.push_back(item.get<std::string>());
    }
    return out;
  }
  const Json& Array(const char* key) {
    static const Json kEmpty = Json::array();
    const Json* value = Find(key);
    if (value != nullptr && !value->is_array()) {
      Fail(key, "must be a list");
      return kEmpty;
    }
    return value != nullptr ? *value : kEmpty;
  }
  std::map<std::string, std::string> StringMap(const char* key) {
    std::map<std::string, std::string> out;
    const Json* value = Find(key);
    if (value == nullptr) {
      return out;
    }
    for (const auto& [name, item] : value->items()) {
      if (!item.is_string()) {
        Fail(key, "must hold strings");
        return {};
      }
      out[name] = item.get<std::string>();
    }
    return out;
  }
  Status Finish() {
    if (!status_.ok()) {
      return status_;
    }
    for (const auto& [key, value] : json_.items()) {
      if (!asked_.contains(key)) {
        return InvalidArgument(where_, ": unknown key ", Quoted(key));
      }
    }
    return absl::OkStatus();
  }

 private:
  const Json* Find(const char* key) {
    asked_.insert(key);
    if (!status_.ok()) {
      return nullptr;
    }
    auto found = json_.find(key);
    if (found == json_.end()) {
      Fail(key, "is missing");
      return nullptr;
    }
    return &*found;
  }
  void Fail(const char* key, std::string_view what) {
    if (status_.ok()) {
      status_ = InvalidArgument(where_, ".", key, " ", what);
    }
  }
  const Json& json_;
  std::string where_;
  std::set<std::string> asked_;
  Status status_;
};

StatusOr<ApplicationPlan> ReadApplication(const Json& json, const std::string& where) {
  Object object(json, where);
  ApplicationPlan plan;
  plan.name = object.String("name");
  plan.command = object.Strings("command");
  plan.files = object.StringMap("files");
  plan.account.uid = plan.account.gid = object.Number("uid");
  plan.proxy_gid = object.Number("proxyGid");
  RETURN_IF_ERROR(object.Finish());
  if (plan.command.empty()) {
    return InvalidArgument(where, ".command is empty");
  }
  return plan;
}

StatusOr<ProxyPlan> ReadProxy(const Json& json, const std::string& where) {
  Object object(json, where);
  ProxyPlan plan;
  plan.name = object.String("name");
  plan.registration = object.String("registration");
  plan.account.uid = plan.account.gid = object.Number("uid");
  plan.admin = object.String("admin");
  plan.flags = object.Strings("flags");
  RETURN_IF_ERROR(object.Finish());
  return plan;
}

Status CheckNames(const MeshPlan& plan) {
  std::set<std::string> names = {"server", "agent"};
  auto add = [&](const std::string& name) {
    bool good =
        !name.empty() && name.size() <= 40 &&
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
    if (!good || !names.insert(name).second) {
      return InvalidArgument("mesh.json: process name ", Quoted(name),
                             " must be unique and made of a-z, 0-9 and '-'");
    }
    return absl::OkStatus();
  };
  for (const ApplicationPlan& application : plan.applications) {
    RETURN_IF_ERROR(add(application.name));
  }
  for (const ProxyPlan& proxy : plan.proxies) {
    RETURN_IF_ERROR(add(proxy.name));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<PlannedListener> PlannedListeners(const MeshPlan& plan) {
  std::vector<PlannedListener> out = {{"server", plan.server_address}};
  for (const ProxyPlan& proxy : plan.proxies) {
    out.push_back({proxy.name, proxy.admin});
    for (size_t i = 0; i + 1 < proxy.flags.size(); ++i) {
      size_t equals = proxy.flags[i + 1].find('=');
      bool listens = proxy.flags[i] == "--listen" || proxy.flags[i] == "--reach";
      if (listens && equals != std::string::npos) {
        out.push_back({proxy.name, proxy.flags[i + 1].substr(equals + 1)});
      }
    }
  }
  return out;
}

StatusOr<MeshPlan> ReadMeshPlan(const std::string& folder) {
  std::string path = folder + "/mesh.json";
  StatusOr<std::string> text = ReadFile(path, kPlanBytesMax);
  if (!text.ok()) {
    return Annotate(text.status(), "no plan of a mesh; give a folder that has a mesh.json");
  }
  Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return InvalidArgument(path, " is not JSON");
  }
  Object object(json, path);
  MeshPlan plan;
  plan.folder = folder;
  plan.trust_domain = object.String("trustDomain");
  plan.node = object.String("node");
  plan.server_address = object.String("serverAddress");
  plan.apply = object.Strings("apply");
  size_t index = 0;
  for (const Json& item : object.Array("applications")) {
    ASSIGN_OR_RETURN(ApplicationPlan application,
                     ReadApplication(item, Concat(path, ": applications[", index++, "]")));
    plan.applications.push_back(std::move(application));
  }
  index = 0;
  for (const Json& item : object.Array("proxies")) {
    ASSIGN_OR_RETURN(ProxyPlan proxy, ReadProxy(item, Concat(path, ": proxies[", index++, "]")));
    plan.proxies.push_back(std::move(proxy));
  }
  RETURN_IF_ERROR(object.Finish());
  RETURN_IF_ERROR(CheckNames(plan));
  return plan;
}

StatusOr<std::string> Render(std::string_view text,
                             const std::map<std::string, std::string>& values) {
  std::string out;
  while (!text.empty()) {
    size_t open = text.find("{{");
    out.append(text.substr(0, open));
    if (open == std::string_view::npos) {
      break;
    }
    size_t close = text.find("}}", open);
    std::string name(text.substr(open + 2, close == std::string_view::npos ? 0 : close - open - 2));
    auto value = values.find(name);
    if (close == std::string_view::npos || value == values.end()) {
      return InvalidArgument("unknown placeholder {{", name, "}}");
    }
    out.append(value->second);
    text.remove_prefix(close + 2);
  }
  return out;
}

}  // namespace countersign::cli::dev
