#include "base/core_files.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace countersign {

Status ForbidCoreFiles() {
  const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  return ::setrlimit(RLIMIT_CORE, &none) == 0 ? absl::OkStatus()
                                              : ErrnoError(errno, "forbid core files");
}

Status ForbidReadingMemory() {
  return ::prctl(PR_SET_DUMPABLE, 0) == 0
             ? absl::OkStatus()
             : ErrnoError(errno, "forbid reading this process's memory");
}

}  // namespace countersign
