#include "base/unix_grpc/grpc_log.h"

#include <grpc/support/log.h>

#include "base/log.h"

namespace countersign {

void RouteGrpcLog() {
  gpr_set_log_function([](gpr_log_func_args* args) {
    LogDebug("grpc", {{"said", std::string_view(args->message)}, {"file", args->file}});
  });
}

}  // namespace countersign
