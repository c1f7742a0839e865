// Brings up the mesh of a plan: folders, server, token, agent, documents, applications, proxies.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "cli/dev/mesh_plan.h"
#include "cli/dev/supervisor.h"

namespace countersign::cli::dev {

// MeshFolders are the paths of one running mesh, all below one folder of its own.
struct MeshFolders {
  std::string top;
  std::string server_socket() const { return top + "/server/admin.sock"; }
  std::string agent_socket() const { return top + "/agent/agent.sock"; }
  std::string audit_socket() const { return top + "/agent/audit.sock"; }
  std::string audit_dir() const { return top + "/audit"; }
  std::string log(const std::string& name) const { return top + "/log/" + name + ".log"; }
  std::string application(const std::string& name) const { return top + "/apps/" + name; }
  std::string state() const { return top + "/processes.json"; }
};

// Mesh is one bring-up. `say` gets a line for each step.
class Mesh {
 public:
  Mesh(MeshPlan plan, MeshFolders folders, std::string program_folder,
       std::function<void(std::string_view)> say);

  // BringUp does every step or returns the first error, with the log to look at.
  Status BringUp(Supervisor& supervisor);

  // one_user says that all runs under the caller's user, which isolates nothing.
  bool one_user() const { return one_user_; }

 private:
  Status CheckPorts() const;
  Status MakeFolders();
  Status StartServer(Supervisor& supervisor);
  Status StartAgent(Supervisor& supervisor);
  Status ApplyDocuments(Supervisor& supervisor);
  Status StartApplication(Supervisor& supervisor, const ApplicationPlan& application);
  Status StartProxy(Supervisor& supervisor, const ProxyPlan& proxy);
  Status WaitForProxies(Supervisor& supervisor);
  Status WaitForProxy(Supervisor& supervisor, const ProxyPlan& proxy);
  // RefusalOf asks the server why a proxy does not take its configuration; empty: no such word.
  std::string RefusalOf(const ProxyPlan& proxy) const;
  // WaitFor repeats a probe until it is good; an error names `what` and its log.
  Status WaitFor(Supervisor& supervisor, const std::string& what,
                 const std::function<bool()>& good);
  std::map<std::string, std::string> CommandEnvironment() const;
  std::string Program(const std::string& name) const { return program_folder_ + "/" + name; }
  StatusOr<std::string> RenderedDocuments();

  MeshPlan plan_;
  MeshFolders folders_;
  std::string program_folder_;
  std::function<void(std::string_view)> say_;
  bool one_user_;
};

}  // namespace countersign::cli::dev
