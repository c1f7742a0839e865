// MemoryStore is a store without a disk, for tests of what stands on a store.
#pragma once

#include <memory>

#include "identity/server/store.h"

namespace countersign::server {

std::unique_ptr<Store> MakeMemoryStore();

}  // namespace countersign::server
