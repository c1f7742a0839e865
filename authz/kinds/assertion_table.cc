// The rows of PolicyAssertion. What stands below from, to and when is said once, in the rows of
// AccessPolicy, and copied for each of the three forms.
#include <array>
#include <deque>
#include <string>
#include <vector>

#include "authz/kinds/field_table.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

using enum FieldType;
using enum Shape;

constexpr std::string_view kRules = "spec.rules.";

constexpr FieldRow kHead[] = {
    {.path = "spec",
     .type = kObject,
     .flags = kRequired,
     .doc = "Exactly one of never, always and only: what must hold for every possible request."},
    {.path = "spec.workloads",
     .type = kMatcher,
     .shape = kOneOrSet,
     .flags = kIdForm,
     .field = Field::kId,
     .doc = "The workloads that are called: an id matcher, or a list of them. Omitted: all, of the "
            "set's scope.",
     .example = "{ under: spiffe://shop.example/ns/prod }"},
};

constexpr FieldRow kForms[] = {
    {.path = "spec.never",
     .type = kObject,
     .doc = "No request of this region is allowed, whatever the policies of all sets say.",
     .example = "{ from: { allExcept: [{ id: spiffe://shop.example/ns/prod/sa/billing }] }, "
                "to: [{ path: /refunds/** }] }"},
    {.path = "spec.always",
     .type = kObject,
     .doc = "Every request of this region is allowed.",
     .example = "{ from: mesh, to: [{ methods: [GET], path: /healthz }] }"},
    {.path = "spec.only",
     .type = kObject,
     .doc = "Whoever is allowed a request of `to` and `when` is one of `from`.",
     .example = "{ from: [{ id: spiffe://shop.example/ns/prod/sa/billing }], "
                "to: [{ path: /refunds/** }] }"},
};

constexpr std::string_view kFromDoc =
    "The callers: a list of entries, a word, or {allExcept: LIST}, which is everybody else, "
    "callers without identity and of other trust domains included.";
constexpr std::string_view kWhenDoc =
    "Further conditions; all must hold. A predicate on a value that is not there is false.";

// Table keeps the texts of the paths that its rows borrow.
struct Table {
  std::deque<std::string> paths;
  std::vector<FieldRow> rows;
};

Table MakeTable() {
  Table table;
  table.rows.assign(std::begin(kHead), std::end(kHead));
  for (const FieldRow& form : kForms) {
    table.rows.push_back(form);
    for (const FieldRow& source : AccessPolicyRows()) {
      if (!source.path.starts_with(kRules)) {
        continue;
      }
      std::string_view below = source.path.substr(kRules.size());
      std::string_view part = below.substr(0, below.find('.'));
      if (part != "from" && part != "to" && part != "when") {
        continue;
      }
      FieldRow row = source;
      row.path = table.paths.emplace_back(Concat(form.path, ".", below));
      if (below == "from") {
        row.flags |= kComplement;
        row.doc = kFromDoc;
      } else if (below == "when") {
        row.doc = kWhenDoc;
      }
      table.rows.push_back(row);
    }
  }
  return table;
}

}  // namespace

std::span<const FieldRow> PolicyAssertionRows() {
  static const Table table = MakeTable();
  return table.rows;
}

}  // namespace countersign::authz
