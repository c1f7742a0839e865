// Typed reading of YAML nodes, with errors at their places: what the readers of foreign kinds
// share.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "authz/import/findings.h"
#include "authz/import/istio_source.h"
#include "authz/yaml/node.h"

namespace countersign::authz::import {

// NodeReader reads the nodes of one file. It borrows `findings`. One thread.
class NodeReader {
 public:
  NodeReader(std::string file, Findings& findings) : file_(std::move(file)), findings_(findings) {}

  SourcePosition At(yaml::Mark where) const { return {file_, where.line, where.column}; }
  void Error(yaml::Mark where, std::string message) {
    findings_.Error(At(where), std::move(message));
  }
  void Warn(yaml::Mark where, std::string message) {
    findings_.Warn(At(where), std::move(message));
  }
  Findings& findings() { return findings_; }

  // Keys reports every key of a map that is not among `known`; true if `node` is a map.
  bool Keys(const yaml::Node& node, std::string_view what, std::span<const std::string_view> known);
  // TextOf is the scalar at `key`, or empty if there is none; anything else is reported.
  std::string TextOf(const yaml::Node& map, std::string_view key);
  // TextsOf is the list of texts at `key`; null and a missing key are empty; an empty list
  // and empty texts are reported.
  Texts TextsOf(const yaml::Node& map, std::string_view key);
  // LabelsOf reads a map of texts.
  Labels LabelsOf(const yaml::Node* map, std::string_view what);

 private:
  std::string file_;
  Findings& findings_;
};

}  // namespace countersign::authz::import
