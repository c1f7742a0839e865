// CompiledPolicy judges requests in well under a microsecond whatever the number of rules.
// Compile() is its only entry point; nothing here performs I/O.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/engine/limits.h"
#include "authz/engine/matcher_plan.h"
#include "authz/model/decision.h"
#include "authz/model/policy.h"
#include "authz/model/request.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::authz {

namespace engine {
struct Program;
struct ScratchState;
struct ViewState;
}  // namespace engine

using PolicySets = std::vector<std::shared_ptr<const PolicySet>>;

struct CompileOptions {
  EngineLimits limits;
};

class CompiledPolicy;

// DecisionScratch is one thread's working memory for decisions. Fit allocates what a policy needs;
// Decide with a scratch that was not fitted to its policy denies with engine_fault.
class DecisionScratch {
 public:
  DecisionScratch();
  explicit DecisionScratch(const CompiledPolicy& policy);
  DecisionScratch(DecisionScratch&&) noexcept;
  DecisionScratch& operator=(DecisionScratch&&) noexcept;
  ~DecisionScratch();
  void Fit(const CompiledPolicy& policy);

 private:
  friend class CompiledPolicy;
  std::unique_ptr<engine::ScratchState> state_;
};

// ConnectionView is what one policy says about one connection: the boxes that its callee, caller,
// peer address, port and SNI leave over. It spares a kept connection's requests these fields.
// Belongs to one thread. A view of another policy or another connection is never used: Decide
// compares, and judges such a request in full.
class ConnectionView {
 public:
  ConnectionView();
  ConnectionView(ConnectionView&&) noexcept;
  ConnectionView& operator=(ConnectionView&&) noexcept;
  ~ConnectionView();
  // MadeBy says whether the view is of this policy, and so still of use.
  bool MadeBy(const CompiledPolicy& policy) const;

 private:
  friend class CompiledPolicy;
  std::unique_ptr<engine::ViewState> state_;
};

// CompiledPolicy is immutable and content-addressed; all threads share it.
class CompiledPolicy {
 public:
  // Compile fails on a limit (which it names), on a pattern that RE2 refuses, and on what no loader
  // lets through; then the running policy stays.
  static StatusOr<std::shared_ptr<const CompiledPolicy>> Compile(
      PolicySets sets, const CompileOptions& options = {});
  ~CompiledPolicy();
  CompiledPolicy(const CompiledPolicy&) = delete;
  CompiledPolicy& operator=(const CompiledPolicy&) = delete;

  // Decide is total: it cannot fail, and a fault inside is a deny with reason engine_fault. It
  // takes no lock and allocates nothing. One exception: a pattern whose automaton is over its
  // budget stays with RE2, which may wait for its cache's lock and build a state; Plan().re2 names
  // them.
  Decision Decide(const CanonicalRequest& request, WallTime now,
                  DecisionScratch& scratch) const noexcept;
  // The same verdict, faster, for a request on a connection whose view is at hand.
  Decision Decide(const ConnectionView& view, const CanonicalRequest& request, WallTime now,
                  DecisionScratch& scratch) const noexcept;
  // ViewConnection reads only the connection's fields of `request`. It allocates.
  ConnectionView ViewConnection(const CanonicalRequest& request, DecisionScratch& scratch) const;

  // NamesHeader and NamesQuery say whether any rule reads such a key: a record keeps only those.
  bool NamesHeader(std::string_view lower_case_name) const;
  bool NamesQuery(std::string_view key) const;
  bool NamesAnyQuery() const;
  // NamesAnyClaim says whether a request's token is worth verifying.
  bool NamesAnyClaim() const;

  // digest is the lower-case hex SHA-256 that stands for all sets together, whatever their order.
  const std::string& digest() const;
  const PolicySets& sets() const;
  size_t rule_count() const;
  size_t box_count() const;
  // Plan says how the policy finds its rules. It reads the whole policy and allocates.
  MatcherPlan Plan() const;
  // RuleName is "set/policy/rule"; RuleWhere is where its file defines it. `rule` < rule_count().
  std::string RuleName(uint32_t rule) const;
  const SourcePosition& RuleWhere(uint32_t rule) const;
  const PolicySet& RuleSet(uint32_t rule) const;
  // InternedKey is the policy's own copy of a header, query key or claim that some rule names, else
  // empty.
  std::string_view InternedKey(Field field, std::string_view key) const;

 private:
  friend class DecisionScratch;
  friend class ConnectionView;
  explicit CompiledPolicy(std::unique_ptr<const engine::Program> program);
  std::unique_ptr<const engine::Program> program_;
};

}  // namespace countersign::authz
