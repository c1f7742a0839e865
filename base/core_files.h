// Core files hold what memory held: private keys and tokens.
#pragma once

#include "base/status.h"

namespace countersign {

// ForbidCoreFiles sets this process's limit on them, and its children's, to none. Programs that
// hold keys call it first.
Status ForbidCoreFiles();

// ForbidReadingMemory keeps other processes of the same user from reading this one's memory, as
// debuggers do; root still can. Not for programs whose executable somebody else must read in /proc,
// as the agent reads its callers'.
Status ForbidReadingMemory();

}  // namespace countersign
