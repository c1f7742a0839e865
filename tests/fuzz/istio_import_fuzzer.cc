// Istio's policy files: whatever the bytes, the importer ends, and hands out either errors or a
// text that loads and is laid out as `policy fmt` does. The first byte chooses the options.
#include <cstdint>
#include <string>

#include "authz/import/import.h"
#include "authz/kinds/loader.h"
#include "authz/yaml/format.h"
#include "base/status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign::authz;  // NOLINT(google-build-using-namespace): one short function.
  if (size == 0) {
    return 0;
  }
  import::ImportOptions options;
  options.trust_domain = "td";
  options.default_namespace = (data[0] & 1) != 0 ? "foo" : "";
  options.hosts_with_any_port = (data[0] & 2) != 0;
  options.anonymous_as_istio = (data[0] & 4) != 0;
  const SourceFile file{"istio.yaml", std::string(data + 1, data + size)};
  import::Imported imported = import::ImportIstio({&file, 1}, options);
  CHECK(imported.ok() == !imported.yaml.empty());
  if (imported.ok()) {
    const SourceFile result{"imported.yaml", imported.yaml};
    CHECK(Load({&result, 1}).ok());
    auto laid_out = yaml::FormatText(imported.yaml);
    CHECK(laid_out.ok() && *laid_out == imported.yaml);
  }
  return 0;
}
