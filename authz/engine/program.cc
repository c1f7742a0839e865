#include "authz/engine/program.h"

#include <bit>
#include <mutex>

#include "authz/engine/compile.h"
#include "authz/engine/validate.h"
#include "base/crypto/hash.h"

namespace countersign::authz::engine {
namespace {

// The digest of all sets together: over their names and digests, in the order of the names.
std::string DigestOf(const std::vector<std::shared_ptr<const PolicySet>>& sets) {
  std::vector<std::string> lines;
  for (const auto& set : sets) {
    lines.push_back(Concat(set->name, " ", set->digest, "\n"));
  }
  std::sort(lines.begin(), lines.end());
  std::string all = "countersign-policies/1\n";
  for (const std::string& line : lines) {
    all.append(line);
  }
  return HexLower(Sha256(all));
}

// Numbers programs, so that a scratch or view of a freed program never passes for a new one's.
uint64_t NextProgramId() {
  static std::mutex mutex;
  static uint64_t last = 0;
  std::lock_guard lock(mutex);
  return ++last;
}

}  // namespace

StatusOr<std::unique_ptr<const Program>> CompileProgram(
    std::vector<std::shared_ptr<const PolicySet>> sets, const EngineLimits& limits) {
  RETURN_IF_ERROR(ValidateSets(sets));
  auto program = std::make_unique<Program>(limits);
  HalfCompiler http(RequestKind::kHttp, limits, program->patterns, program->http);
  HalfCompiler tcp(RequestKind::kTcp, limits, program->patterns, program->tcp);
  for (uint32_t s = 0; s < sets.size(); ++s) {
    const PolicySet& set = *sets[s];
    for (uint32_t p = 0; p < set.policies.size(); ++p) {
      const AccessPolicy& policy = set.policies[p];
      auto first_rule = static_cast<uint32_t>(program->rules.size());
      for (uint32_t r = 0; r < policy.rules.size(); ++r) {
        const Rule& rule = policy.rules[r];
        program->rules.push_back(
            {.set = s,
             .policy = p,
             .rule = r,
             .effect = rule.effect,
             .trial = policy.dry_run,
             .expires = rule.expires ? rule.expires->time_since_epoch().count() : kNever});
      }
      if (program->rules.size() > limits.rules_max) {
        return ResourceExhausted("more than rules_max = ", limits.rules_max, " rules");
      }
      for (HalfCompiler* half : {&http, &tcp}) {
        if (Status status = half->AddPolicy(set, policy, first_rule); !status.ok()) {
          return Annotate(status, Concat(set.name, "/", policy.name));
        }
      }
    }
  }
  RETURN_IF_ERROR(http.Finish());
  RETURN_IF_ERROR(tcp.Finish());
  program->digest = DigestOf(sets);
  program->sets = std::move(sets);
  program->id = NextProgramId();
  return program;
}

void Fit(ScratchState& scratch, const Program& program) {
  if (scratch.program == program.id) {
    return;
  }
  size_t boxes = std::max(program.http.box_count(), program.tcp.box_count());
  size_t groups = std::max(program.http.groups.size(), program.tcp.groups.size());
  size_t slots = std::max(program.http.slots, program.tcp.slots);
  scratch.lookup.Fit(program.patterns);
  scratch.boxes_seen.Fit(boxes);
  scratch.rules_seen.Fit(program.rules.size());
  scratch.groups_seen.Fit(groups);
  scratch.matched.reserve(program.rules.size());
  scratch.slots.assign(slots, {});
  scratch.slots_used.clear();
  scratch.slots_used.reserve(slots);
  scratch.view_groups.reserve(groups);
  scratch.view_boxes.reserve(boxes);
  scratch.view_marks.reserve(boxes / 64 + 1);
  scratch.program = program.id;
}

void KeySlots::Freeze() {
  table.assign(std::bit_ceil(numbers.size() * 2 + 2), {});
  filter = 0;
  for (const auto& [name, slot] : numbers) {
    filter |= uint64_t{1} << Bit(name);
    size_t at = HashBytes(0, name) & (table.size() - 1);
    while (table[at].used) {
      at = (at + 1) & (table.size() - 1);
    }
    table[at] = {.name = name, .slot = slot, .used = true};
  }
}

bool KeySlots::FindInTable(std::string_view name, uint16_t* slot) const {
  size_t mask = table.size() - 1;
  for (size_t at = HashBytes(0, name) & mask; table[at].used; at = (at + 1) & mask) {
    if (table[at].name == name) {
      *slot = table[at].slot;
      return true;
    }
  }
  return false;
}

std::string_view TrustDomainOf(std::string_view id) {
  constexpr std::string_view kScheme = "spiffe://";
  if (!id.starts_with(kScheme)) {
    return {};
  }
  id.remove_prefix(kScheme.size());
  return id.substr(0, id.find('/'));
}

}  // namespace countersign::authz::engine
