// Reads the spec of one AuthorizationPolicy.
#pragma once

#include "authz/import/istio_source.h"
#include "authz/import/node_reader.h"

namespace countersign::authz::import {

// ReadPolicy fills in everything but name, namespace and place, under the checks that Istio's own
// validation makes. A field that cannot be carried over is reported by name.
void ReadPolicy(const yaml::Node& root, NodeReader& reader, IstioPolicy& policy);

}  // namespace countersign::authz::import
