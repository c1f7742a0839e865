#include "identity/server/store.h"

#include <set>

namespace countersign::server {
namespace {

Status CheckKey(std::string_view key) {
  if (key.empty() || key.size() > StoreLimits::kKeyBytesMax) {
    return InvalidArgument("a key has 1 to ", StoreLimits::kKeyBytesMax, " bytes, this one ",
                           key.size());
  }
  return absl::OkStatus();
}

Status CheckBranch(std::span<const Operation> operations) {
  std::set<std::string_view> keys;
  for (const Operation& operation : operations) {
    RETURN_IF_ERROR(CheckKey(operation.key));
    if (!keys.insert(operation.key).second) {
      return InvalidArgument("a transaction touches key ", Quoted(operation.key), " twice");
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string FormatRevision(Revision revision) { return Concat(revision.term, ".", revision.n); }

Status CheckTxn(std::span<const Compare> compare, std::span<const Operation> then,
                std::span<const Operation> otherwise) {
  size_t count = compare.size() + then.size() + otherwise.size();
  if (count > StoreLimits::kOperationsMax) {
    return InvalidArgument("a transaction has at most ", StoreLimits::kOperationsMax,
                           " comparisons and operations, this one ", count);
  }
  size_t bytes = 0;
  for (const Compare& one : compare) {
    RETURN_IF_ERROR(CheckKey(one.key));
    bytes += one.key.size();
  }
  for (std::span<const Operation> branch : {then, otherwise}) {
    RETURN_IF_ERROR(CheckBranch(branch));
    for (const Operation& operation : branch) {
      bytes += operation.key.size() + operation.value.size();
    }
  }
  if (bytes > StoreLimits::kTransactionBytesMax) {
    return InvalidArgument("a transaction carries at most ", StoreLimits::kTransactionBytesMax,
                           " bytes, this one ", bytes);
  }
  return absl::OkStatus();
}

Status CheckWatchStart(Revision from, Revision current, Revision compacted) {
  bool known = from >= compacted && from <= current;
  if (known && (from.term == current.term || from == Revision())) {
    return absl::OkStatus();
  }
  return Error(StatusCode::kOutOfRange, "changes after revision ", FormatRevision(from),
               " are no longer known (kept: after ", FormatRevision(compacted),
               ", newest: ", FormatRevision(current), "); list again");
}

}  // namespace countersign::server
