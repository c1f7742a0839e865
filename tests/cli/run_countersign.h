// Countersign runs the real command through the shell, in the tree's top folder; both streams
// together.
#pragma once

#include <stdio.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "base/status.h"

namespace countersign::cli {

struct Result {
  int exit_code = 0;
  std::string out;
};

inline Result Countersign(const std::string& words) {
  std::string line = Concat("cd ", COUNTERSIGN_SOURCE_DIR, " && ", COUNTERSIGN_BIN_DIR,
                            "/countersign ", words, " 2>&1");
  FILE* pipe = ::popen(line.c_str(), "r");
  CHECK(pipe != nullptr);
  Result result;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    result.out += static_cast<char>(c);
  }
  result.exit_code = WEXITSTATUS(::pclose(pipe));
  return result;
}

}  // namespace countersign::cli
