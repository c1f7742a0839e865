// The documents of a namespace: which are policies, which are workloads, and which would change who
// is admitted but cannot be carried over. Istio's own validation is repeated here, because a file
// that it refuses has no meaning to be equal to.
#include <algorithm>
#include <array>

#include "authz/import/istio_policy_reader.h"
#include "authz/import/istio_source.h"
#include "authz/import/node_reader.h"
#include "authz/kinds/nearest_word.h"
#include "authz/yaml/parse.h"
#include "base/status.h"

namespace countersign::authz::import {
namespace {

using yaml::Node;

constexpr std::string_view kTopKeys[] = {"apiVersion", "kind", "metadata", "spec", "status"};

// Walk gives the node at a path of keys, or null.
const Node* Walk(const Node& node, std::initializer_list<std::string_view> path) {
  const Node* at = &node;
  for (std::string_view key : path) {
    at = at->kind == Node::Kind::kMap ? at->Find(key) : nullptr;
    if (at == nullptr) {
      return nullptr;
    }
  }
  return at;
}

// DocumentReader reads the documents of one file into the source.
class DocumentReader {
 public:
  DocumentReader(std::string file, const ImportOptions& options, Findings& findings,
                 IstioSource& source)
      : reader_(std::move(file), findings), options_(options), source_(source) {}

  void Read(const Node& root) {
    if (root.kind == Node::Kind::kSequence) {
      for (const Node& item : root.items) {
        Read(item);
      }
      return;
    }
    if (root.kind != Node::Kind::kMap) {
      reader_.Error(root.where, Concat("a document must be a map, not ", KindName(root.kind)));
      return;
    }
    std::string kind = reader_.TextOf(root, "kind");
    std::string version = reader_.TextOf(root, "apiVersion");
    if (kind.ends_with("List") && Walk(root, {"items"}) != nullptr) {
      ReadItems(*root.Find("items"));
    } else if (version.starts_with("security.istio.io/")) {
      ReadSecurity(root, kind);
    } else if (kind == "EnvoyFilter") {
      reader_.Error(root.where,
                    "EnvoyFilter may admit and refuse requests in ways that no file shows: write "
                    "its effect as rules, and leave it out of the import");
    } else {
      ReadOther(root, kind);
    }
  }

 private:
  void ReadItems(const Node& items) {
    if (items.kind == Node::Kind::kSequence) {
      Read(items);
    } else if (items.kind != Node::Kind::kNull) {
      reader_.Error(items.where, "items must be a list");
    }
  }

  // The namespace that a document names, or the default.
  std::string NamespaceOf(const Node& root) {
    const Node* metadata = root.Find("metadata");
    std::string ns = metadata != nullptr && metadata->kind == Node::Kind::kMap
                         ? reader_.TextOf(*metadata, "namespace")
                         : "";
    if (ns.empty() && options_.default_namespace.empty()) {
      reader_.Error(root.where,
                    "the document names no namespace: write metadata.namespace, or give the one "
                    "it is applied to with --namespace");
    }
    return ns.empty() ? options_.default_namespace : ns;
  }
  std::string NameOf(const Node& root) {
    const Node* metadata = root.Find("metadata");
    return metadata != nullptr && metadata->kind == Node::Kind::kMap
               ? reader_.TextOf(*metadata, "name")
               : "";
  }

  void ReadSecurity(const Node& root, const std::string& kind) {
    reader_.Keys(root, kind, kTopKeys);
    if (kind == "AuthorizationPolicy") {
      IstioPolicy policy;
      policy.where = reader_.At(root.where);
      policy.name = NameOf(root);
      policy.ns = NamespaceOf(root);
      if (policy.name.empty()) {
        reader_.Error(root.where, "metadata.name is missing");
      }
      ReadPolicy(root, reader_, policy);
      source_.policies.push_back(std::move(policy));
    } else if (kind == "PeerAuthentication") {
      ReadPeerAuthentication(root);
    } else if (kind == "RequestAuthentication") {
      reader_.Error(root.where,
                    "RequestAuthentication refuses requests with a bad token, which nothing here "
                    "would do: claims need a TokenIssuer, which this version does not have");
    } else {
      reader_.Error(root.where, Concat("kind ", Quoted(kind),
                                       " of security.istio.io cannot be "
                                       "imported; leave it out if it admits nobody"));
    }
  }

  // Ports take mutual TLS alone unless a Service says otherwise, so STRICT needs no words here.
  void ReadPeerAuthentication(const Node& root) {
    constexpr std::string_view kKeys[] = {"selector", "mtls", "portLevelMtls"};
    constexpr std::string_view kModeKeys[] = {"mode"};
    const Node* spec = root.Find("spec");
    if (spec == nullptr || spec->kind == Node::Kind::kNull || !reader_.Keys(*spec, "spec", kKeys)) {
      return;
    }
    if (const Node* mtls = spec->Find("mtls");
        mtls != nullptr && reader_.Keys(*mtls, "mtls", kModeKeys)) {
      ReadMode(*mtls);
    }
    const Node* ports = spec->Find("portLevelMtls");
    if (ports != nullptr && ports->kind == Node::Kind::kMap) {
      for (const yaml::Member& port : ports->members) {
        if (reader_.Keys(port.value, "portLevelMtls", kModeKeys)) {
          ReadMode(port.value);
        }
      }
    }
  }
  void ReadMode(const Node& mtls) {
    constexpr std::array<std::string_view, 4> kModes = {"STRICT", "PERMISSIVE", "DISABLE", "UNSET"};
    std::string mode = reader_.TextOf(mtls, "mode");
    if (mode == "PERMISSIVE" || mode == "DISABLE") {
      reader_.Warn(mtls.where, Concat("mode ", mode,
                                      " lets callers without a certificate connect: ports refuse "
                                      "them here, unless a Service's port says `tls: permissive`"));
    } else if (!mode.empty() && std::ranges::find(kModes, mode) == kModes.end()) {
      reader_.Error(mtls.where, Concat("unknown mode ", Quoted(mode), DidYouMean(mode, kModes)));
    }
  }

  // Pods and what makes pods give the table of labels and service accounts.
  void ReadOther(const Node& root, const std::string& kind) {
    const Node* pod = nullptr;
    if (kind == "Pod") {
      pod = &root;
    } else if (kind == "CronJob") {
      pod = Walk(root, {"spec", "jobTemplate", "spec", "template"});
    } else if (kind == "Deployment" || kind == "StatefulSet" || kind == "DaemonSet" ||
               kind == "ReplicaSet" || kind == "Job") {
      pod = Walk(root, {"spec", "template"});
    } else {
      reader_.Warn(root.where, Concat("kind ", Quoted(kind), " is not read: it names no workload ",
                                      "and no policy"));
      return;
    }
    if (pod == nullptr || pod->kind != Node::Kind::kMap) {
      reader_.Error(root.where, Concat(kind, " has no pod template"));
      return;
    }
    Workload workload;
    workload.where = reader_.At(root.where);
    workload.kind_and_name = Concat(kind, " ", NameOf(root));
    workload.ns = NamespaceOf(root);
    workload.labels = reader_.LabelsOf(Walk(*pod, {"metadata", "labels"}), "labels");
    const Node* spec = Walk(*pod, {"spec"});
    if (spec != nullptr && spec->kind == Node::Kind::kMap) {
      workload.service_account = reader_.TextOf(*spec, "serviceAccountName");
    }
    if (workload.service_account.empty()) {
      workload.service_account = "default";
    }
    source_.workloads.push_back(std::move(workload));
  }

  NodeReader reader_;
  const ImportOptions& options_;
  IstioSource& source_;
};

}  // namespace

IstioSource ReadIstio(std::span<const SourceFile> files, const ImportOptions& options,
                      Findings& findings) {
  IstioSource source;
  for (const SourceFile& file : files) {
    yaml::Stream stream = yaml::Parse(file.content);
    for (const yaml::Problem& problem : stream.problems) {
      findings.Error({file.path, problem.where.line, problem.where.column}, problem.message);
    }
    DocumentReader reader(file.path, options, findings, source);
    for (const yaml::Document& document : stream.documents) {
      if (!document.broken && !findings.full()) {
        reader.Read(document.root);
      }
    }
  }
  auto limit = [&](size_t count, size_t most, std::string_view noun) {
    if (count > most) {
      findings.Error({}, Concat(count, " ", noun, ": at most ", most,
                                " are imported at once; import namespaces apart"));
    }
  };
  limit(source.policies.size(), ImportLimits::kPoliciesMax, "policies");
  limit(source.workloads.size(), ImportLimits::kWorkloadsMax, "workloads");
  return source;
}

}  // namespace countersign::authz::import
