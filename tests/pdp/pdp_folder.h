// PdpFolder is a folder of policies for one test, and a PDP's requests against it.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temp_dir.h"

namespace countersign::pdp {

inline constexpr std::string_view kOrders = "spiffe://shop.example/ns/prod/sa/orders";
inline constexpr std::string_view kWeb = "spiffe://shop.example/ns/prod/sa/web";

inline constexpr std::string_view kShop = R"(apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: shop }
spec:
  owner: { id: spiffe://shop.example/people/leads }
  scope: { under: spiffe://shop.example }
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: orders }
spec:
  appliesTo: { id: spiffe://shop.example/ns/prod/sa/orders }
  rules:
    - name: reads
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/web }]
      to: [{ methods: [GET], path: { under: /orders } }]
    - name: tenant
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/web }]
      to: [{ methods: [POST], path: /tenant }]
      when: { headers: { x-tenant: acme } }
    - name: raw
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/web }]
      to: [{ protocol: tcp, port: 5432 }]
    - name: public
      effect: allow
      from: anyone
      to: [{ methods: [GET], path: /public }]
)";

class PdpFolder {
 public:
  PdpFolder() { std::filesystem::create_directory(policies()); }
  std::string policies() const { return folder_.File("policies"); }
  std::string File(std::string_view name) const { return folder_.File(name); }
  // Write replaces one policy file as an editor does that writes beside it and renames.
  void Write(std::string_view name, std::string_view text) const {
    std::string beside = folder_.File("beside");
    std::ofstream(beside) << text;
    std::filesystem::rename(beside, Concat(policies(), "/", name));
  }
  void Remove(std::string_view name) const {
    std::filesystem::remove(Concat(policies(), "/", name));
  }

 private:
  TempDir folder_;
};

}  // namespace countersign::pdp
