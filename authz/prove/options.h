// What every question to the prover is given.
#pragma once

#include "authz/model/path_relaxations.h"
#include "authz/prove/limits.h"
#include "base/clock.h"

namespace countersign::authz::prove {

// ProveOptions are the same for every question.
struct ProveOptions {
  WallTime now = {};  // Rules expire and trials end by it.
  // What some port lets into paths beyond the canonical ones.
  PathRelaxations relaxations = {};
  ProverLimits limits = {};
};

}  // namespace countersign::authz::prove
