// SearchIndex is the SQLite file behind LogSearcher. Only search.cc includes this file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "audit/query/search.h"

struct sqlite3;
struct sqlite3_stmt;

namespace countersign::audit {

// SearchIndex owns one connection. One thread; several processes may share the file.
class SearchIndex {
 public:
  // Open opens or makes `folder`/index.sqlite; a file there that is no index is replaced.
  static StatusOr<std::unique_ptr<SearchIndex>> Open(const std::string& folder);
  static StatusOr<std::unique_ptr<SearchIndex>> OpenInMemory();
  ~SearchIndex();
  SearchIndex(const SearchIndex&) = delete;
  SearchIndex& operator=(const SearchIndex&) = delete;

  // CatchUp adds what the log has more than the index, after a check that the index was made from
  // this very log; if not, it begins anew.
  Status CatchUp(LogReader& reader);

  // Decisions gives the places of the newest matches, newest first.
  StatusOr<std::vector<uint64_t>> Decisions(const SearchQuery& query);
  // Completion gives the place of the completion of a decision, if there is one.
  StatusOr<std::optional<uint64_t>> Completion(const DecisionId& id);

 private:
  explicit SearchIndex(sqlite3* db) : db_(db) {}
  static StatusOr<std::unique_ptr<SearchIndex>> OpenAt(const std::string& path);
  Status Run(const char* sql);
  Status MakeTables();
  Status Error(const char* what) const;
  StatusOr<bool> IsOfThisLog(LogReader& reader);
  Status AddRange(LogReader& reader, uint64_t begin, uint64_t end);
  Status KeepPlace(LogReader& reader, uint64_t size);

  sqlite3* db_;
  uint64_t indexed_ = 0;
};

}  // namespace countersign::audit
