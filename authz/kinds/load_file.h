// One file: its documents with their shape checked.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "authz/kinds/document.h"
#include "authz/yaml/parse.h"

namespace countersign::authz {

// LoadedFile stays where it is made: documents point into it.
struct LoadedFile {
  explicit LoadedFile(const std::string& file_path)
      : path(file_path), context{Reporter(file_path)} {}
  LoadedFile(const LoadedFile&) = delete;
  LoadedFile& operator=(const LoadedFile&) = delete;

  std::string path;
  LoadContext context;
  std::deque<CheckedDocument> documents;
  size_t documents_max = yaml::YamlLimits{}.documents_max;  // Of one list of documents, too.
  bool broken = false;  // An error that belongs to no document: the sets of this file are refused.
};

// LoadFile reads `content` into `file`. It never fails: findings are in the file's reporter.
void LoadFile(std::string_view content, const yaml::YamlLimits& limits, LoadedFile& file);

// CheckTree checks one document's tree, as LoadFile does for each of a file.
void CheckTree(const yaml::Document& source, LoadedFile& file);

}  // namespace countersign::authz
