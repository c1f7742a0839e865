#include "authz/model/field.h"

namespace countersign::authz {

std::string_view FieldName(Field field) {
  static constexpr std::array<std::string_view, kFieldCount> kNames = {
      "id",      "trustDomain", "peerIp", "port",    "sni",   "protocol",
      "methods", "path",        "host",   "headers", "query", "claims"};
  return kNames[static_cast<size_t>(field)];
}

}  // namespace countersign::authz
