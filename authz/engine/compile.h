// HalfCompiler turns rules into the boxes, checks and indexes of one Half. Used by CompileProgram
// alone; not on the data path.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "authz/engine/lower.h"
#include "authz/engine/program.h"

namespace countersign::authz::engine {

class HalfCompiler {
 public:
  HalfCompiler(RequestKind kind, const EngineLimits& limits, PatternStore& patterns, Half& half)
      : kind_(kind), limits_(limits), patterns_(patterns), half_(half) {}

  // AddPolicy files the policy's rules, the first of which has the number `first_rule`.
  Status AddPolicy(const PolicySet& set, const AccessPolicy& policy, uint32_t first_rule);
  // Finish builds the indexes, when all policies are in.
  Status Finish();

 private:
  // A box and what will stand behind it.
  struct Record {
    Box box;
    std::vector<Check> checks;
    std::string text;
  };

  // A box before it is known what finds it.
  struct StagedBox {
    uint32_t box = 0;
    uint32_t group = 0;
    Subject subject = Subject::kAnyone;
    LoweredBox lowered;
    int connection_key = -1;  // Numbers of conditions in lowered.all_of that could find it.
    int request_key = -1;
    std::string connection_predicate;
    std::string request_predicate;
  };

  StatusOr<uint32_t> GroupFor(const PolicySet& set, const AccessPolicy& policy);
  void GuardKeys(Group& group, const Rule& rule, bool trial);
  void GuardKeys(Group& group, const std::vector<Condition>& conditions, bool trial, int64_t until);
  void ChooseKeys(StagedBox& staged) const;
  Status PlaceBox(const StagedBox& staged, bool found_by_connection);
  Status FileByConnection(Group& group, const Condition& condition, uint32_t box);
  Status FileByRequest(std::vector<RequestIndex>& indexes, const Condition& condition,
                       uint32_t box);
  Status FinishGroup(Group& group);
  struct CheckOptions {
    Subject subject = Subject::kAnyone;
    Effect effect = Effect::kDeny;
    const Condition* key = nullptr;  // What the request finds the box by.
  };
  Status AddChecks(const std::vector<const Condition*>& conditions, const CheckOptions& options,
                   Record& record);
  Status AddExceptions(const LoweredBox& box, Effect effect, Record& record);
  StatusOr<Check> MakeCheck(const Condition& condition, Record& record);
  StatusOr<uint32_t> TextPredicateFor(const Condition& condition);
  void Write(Record& record);
  bool MethodMask(const Condition& condition, uint64_t* mask);
  uint16_t SlotFor(const Condition& condition);

  RequestKind kind_;
  const EngineLimits& limits_;
  PatternStore& patterns_;
  Half& half_;
  std::vector<StagedBox> staged_;
  struct BoxRule {
    uint32_t rule = 0;
    Effect effect = Effect::kDeny;
    bool trial = false;
    int64_t expires = kNever;
    bool alone = false;
  };
  std::vector<BoxRule> box_rules_;  // By box.
  std::map<std::string, uint32_t> groups_;
  std::map<std::string, uint32_t> texts_;
};

}  // namespace countersign::authz::engine
