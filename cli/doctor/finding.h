// What a check of `countersign doctor` says.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace countersign::cli::doctor {

enum class Health { kGood, kWarning, kBad };

// Finding is the result of one check.
struct Finding {
  std::string check;
  Health health = Health::kGood;
  std::string what;
  std::string mend;  // Empty if good.
};
using Findings = std::vector<Finding>;

inline Finding Good(std::string check, std::string what) {
  return {std::move(check), Health::kGood, std::move(what), ""};
}

}  // namespace countersign::cli::doctor
