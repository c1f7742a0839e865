#include "authz/engine/compiled_policy.h"

#include "authz/engine/program.h"

namespace countersign::authz {

using engine::Program;
using engine::ScratchState;
using engine::ViewState;

DecisionScratch::DecisionScratch() : state_(std::make_unique<ScratchState>()) {}
DecisionScratch::DecisionScratch(const CompiledPolicy& policy) : DecisionScratch() { Fit(policy); }
DecisionScratch::DecisionScratch(DecisionScratch&&) noexcept = default;
DecisionScratch& DecisionScratch::operator=(DecisionScratch&&) noexcept = default;
DecisionScratch::~DecisionScratch() = default;

void DecisionScratch::Fit(const CompiledPolicy& policy) { engine::Fit(*state_, *policy.program_); }

ConnectionView::ConnectionView() = default;
ConnectionView::ConnectionView(ConnectionView&&) noexcept = default;
ConnectionView& ConnectionView::operator=(ConnectionView&&) noexcept = default;
ConnectionView::~ConnectionView() = default;

bool ConnectionView::MadeBy(const CompiledPolicy& policy) const {
  return state_ != nullptr && state_->program == policy.program_->id;
}

CompiledPolicy::CompiledPolicy(std::unique_ptr<const Program> program)
    : program_(std::move(program)) {}
CompiledPolicy::~CompiledPolicy() = default;

StatusOr<std::shared_ptr<const CompiledPolicy>> CompiledPolicy::Compile(
    PolicySets sets, const CompileOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<const Program> program,
                   engine::CompileProgram(std::move(sets), options.limits));
  return std::shared_ptr<const CompiledPolicy>(new CompiledPolicy(std::move(program)));
}

Decision CompiledPolicy::Decide(const CanonicalRequest& request, WallTime now,
                                DecisionScratch& scratch) const noexcept {
  ScratchState* state = scratch.state_.get();
  if (state == nullptr || state->program != program_->id) {
    return Decision();  // engine_fault.
  }
  try {
    engine::BuildView(*program_, request, *state);
    return engine::DecideOnView(*program_, state->view(), request, now.time_since_epoch().count(),
                                *state);
  } catch (...) {  // RE2 may run out of memory; that is a deny.
    return Decision();
  }
}

Decision CompiledPolicy::Decide(const ConnectionView& view, const CanonicalRequest& request,
                                WallTime now, DecisionScratch& scratch) const noexcept {
  ScratchState* state = scratch.state_.get();
  if (view.state_ != nullptr) {
    view.state_->Soon(*program_);
  }
  if (state == nullptr || state->program != program_->id || view.state_ == nullptr ||
      !view.state_->IsOf(*program_, request)) {
    return Decide(request, now, scratch);
  }
  try {
    state->lookup.Begin();
    return engine::DecideOnView(*program_, view.state_->view(), request,
                                now.time_since_epoch().count(), *state);
  } catch (...) {
    return Decision();
  }
}

ConnectionView CompiledPolicy::ViewConnection(const CanonicalRequest& request,
                                              DecisionScratch& scratch) const {
  scratch.Fit(*this);
  ConnectionView view;
  engine::BuildView(*program_, request, *scratch.state_);
  if (!scratch.state_->lookup.fault) {
    view.state_ = ViewState::Keep(*program_, request, *scratch.state_);
  }
  return view;
}

bool CompiledPolicy::NamesHeader(std::string_view lower_case_name) const {
  uint16_t slot = 0;
  return program_->http.headers.Find(lower_case_name, &slot);
}

bool CompiledPolicy::NamesQuery(std::string_view key) const {
  uint16_t slot = 0;
  return program_->http.queries.Find(key, &slot);
}

bool CompiledPolicy::NamesAnyClaim() const { return !program_->http.claims.numbers.empty(); }

bool CompiledPolicy::NamesAnyQuery() const { return !program_->http.queries.numbers.empty(); }

const std::string& CompiledPolicy::digest() const { return program_->digest; }
const PolicySets& CompiledPolicy::sets() const { return program_->sets; }
size_t CompiledPolicy::rule_count() const { return program_->rules.size(); }
size_t CompiledPolicy::box_count() const { return program_->http.box_count(); }

std::string CompiledPolicy::RuleName(uint32_t rule) const {
  const engine::RuleInfo& info = program_->rules.at(rule);
  const PolicySet& set = *program_->sets[info.set];
  const AccessPolicy& policy = set.policies[info.policy];
  return Concat(set.name, "/", policy.name, "/", policy.rules[info.rule].name);
}

const PolicySet& CompiledPolicy::RuleSet(uint32_t rule) const {
  return *program_->sets[program_->rules.at(rule).set];
}

std::string_view CompiledPolicy::InternedKey(Field field, std::string_view key) const {
  const engine::KeySlots& keys = field == Field::kHeader  ? program_->http.headers
                                 : field == Field::kQuery ? program_->http.queries
                                                          : program_->http.claims;
  auto found = keys.numbers.find(key);
  return found == keys.numbers.end() ? std::string_view() : std::string_view(found->first);
}

const SourcePosition& CompiledPolicy::RuleWhere(uint32_t rule) const {
  const engine::RuleInfo& info = program_->rules.at(rule);
  return program_->sets[info.set]->policies[info.policy].rules[info.rule].where;
}

}  // namespace countersign::authz
