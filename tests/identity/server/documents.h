// Documents that tests of the registry and of apply share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authz/kinds/loader.h"

namespace countersign::server {

inline std::string RegistrationYaml(std::string_view name, std::string_view node = "node-1") {
  return Concat(R"(---
apiVersion: countersign.dev/v1alpha1
kind: Registration
metadata: { name: )",
                name, R"( }
spec:
  id: spiffe://shop.example/ns/prod/sa/)",
                name, R"(
  nodes: [{ id: spiffe://shop.example/agent/)",
                node, R"( }]
  selectors: { unix: { uid: 70010 } }
)");
}

// A service that `caller` reaches.
inline std::string ServiceYaml(std::string_view name, std::string_view caller) {
  return Concat(R"(---
apiVersion: countersign.dev/v1alpha1
kind: Service
metadata: { name: )",
                name, R"( }
spec:
  workload: { id: spiffe://shop.example/ns/prod/sa/)",
                name, R"( }
  ports: [{ name: http, protocol: http, listen: 127.0.0.1:8443, application: 'unix:/run/a.sock' }]
  endpoints: [127.0.0.1:8443]
  reach: [{ from: [{ id: spiffe://shop.example/ns/prod/sa/)",
                caller, R"( }], listen: 127.0.0.1:18443, port: http }]
)");
}

inline std::string RouteYaml(std::string_view service, std::string_view split) {
  return Concat(R"(---
apiVersion: countersign.dev/v1alpha1
kind: Route
metadata: { name: )",
                service, R"( }
spec:
  service: )",
                service, R"(
  rules: [{ split: [{ service: )",
                split, R"(, weight: 1 }] }]
)");
}

// A set that lets web read `path` of orders, with a test that expects web to read /orders/7.
inline std::string SetYaml(std::string_view name, std::string_view path,
                           std::string_view scope = "spiffe://shop.example/ns/prod") {
  return Concat(R"(---
apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: )",
                name, R"( }
spec:
  owner: { id: spiffe://shop.example/people/ana }
  scope: { under: )",
                scope, R"( }
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: orders }
spec:
  appliesTo: all
  rules:
    - name: reads
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/web }]
      to: [{ methods: [GET], path: )",
                path, R"( }]
---
apiVersion: countersign.dev/v1alpha1
kind: PolicyTest
metadata: { name: orders }
spec:
  cases:
    - name: web reads an order
      request: { caller: spiffe://shop.example/ns/prod/sa/web, workload: )",
                scope,
                R"(/sa/orders, method: GET, path: /orders/7 }
      expect: allow
)");
}

inline std::vector<authz::SourceFile> Files(std::string yaml) {
  return {{"test.yaml", std::move(yaml)}};
}

}  // namespace countersign::server
