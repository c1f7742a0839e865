// The plan of a development mesh: a folder with mesh.json, the documents to apply and the nginx
// configurations of its applications. examples/shop is one; docs/operations.md describes the file.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/dev/process.h"

namespace countersign::cli::dev {

// ApplicationPlan is one real program behind a proxy.
struct ApplicationPlan {
  std::string name;
  std::vector<std::string>
      command;  // Placeholders: {{run}} (own folder), {{source}} (the plan's folder).
  std::map<std::string, std::string>
      files;  // File in the plan's folder -> name in {run}, rendered.
  Account account;
  gid_t proxy_gid = 0;  // May enter {run}, where the application's socket is; nobody else may.
};

struct ProxyPlan {
  std::string name;
  std::string registration;  // Whose identity it asks for when one user runs everything.
  Account account;
  std::string admin;               // Address of its administration port.
  std::vector<std::string> flags;  // Placeholders: {{run:NAME}}, the folder of an application.
};

struct MeshPlan {
  std::string folder;
  std::string trust_domain;
  std::string node;
  std::string server_address;
  std::vector<std::string> apply;  // Files and folders under `folder`, in order.
  std::vector<ApplicationPlan> applications;
  std::vector<ProxyPlan> proxies;
};

// PlannedListener is an address that mesh.json itself says a program will listen on; a Service may
// say more.
struct PlannedListener {
  std::string who;
  std::string address;
};
std::vector<PlannedListener> PlannedListeners(const MeshPlan& plan);

// ReadMeshPlan reads FOLDER/mesh.json. Unknown keys, missing keys and doubled names are errors.
StatusOr<MeshPlan> ReadMeshPlan(const std::string& folder);

// Render replaces each {{name}} by its value; an unknown placeholder is an error.
StatusOr<std::string> Render(std::string_view text,
                             const std::map<std::string, std::string>& values);

}  // namespace countersign::cli::dev
