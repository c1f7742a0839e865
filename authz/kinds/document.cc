// Conditions and documents: what several builders share.
#include "authz/kinds/builders.h"
#include "base/status.h"

namespace countersign::authz {

Condition BuildCondition(const Value& value, std::string_view key, CheckedDocument& document) {
  Condition condition;
  condition.field = value.row->field;
  condition.key = std::string(key);
  condition.where = document.context->reporter.Position(value.where);
  if (value.row->shape == Shape::kOne) {
    condition.any_of.push_back(value.matcher);
    return condition;
  }
  for (const Value& item : value.items) {
    condition.any_of.push_back(item.matcher);
    condition.many = condition.many || item.many;
  }
  for (const Value& item : value.items) {
    if (condition.many && !item.many) {
      document.Error(item.where, Concat("many: true must stand on every predicate of ", Quoted(key),
                                        " or on none"));
    }
  }
  return condition;
}

std::string CheckedDocument::CanonicalJson() const {
  return Concat("{\"apiVersion\":\"", kApiVersion, "\",\"kind\":\"", kind->name,
                "\",\"metadata\":{\"name\":", JsonText(name), "},\"spec\":", spec.json, "}");
}

}  // namespace countersign::authz
