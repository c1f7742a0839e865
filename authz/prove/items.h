// Items: what policies and assertions say, as boxes over coordinates. An item matches a request if
// all of its predicates hold and none of its exceptions' predicates all hold.
//
// Everything that the semantics say about absent and repeated values, dates, trials and guards is
// decided here, once, so that exploring knows nothing of it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "authz/engine/naive_authorizer.h"
#include "authz/model/policy.h"
#include "authz/model/request.h"
#include "authz/prove/space.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Roles is a set of parts that items play in a question: one bit a part.
using Roles = uint8_t;

// Conjunct is an AND of predicates, by their numbers in the Space, ascending.
using Conjunct = std::vector<uint32_t>;

struct Item {
  Roles roles = 0;
  Conjunct all;
  std::vector<Conjunct> except;
  const Rule* rule = nullptr;  // The first that said it; nothing for what no rule says.
};

// Items is a set: an item that is said twice is kept once, with all of its roles.
class Items {
 public:
  void Add(Item item);
  const std::vector<Item>& list() const { return list_; }

 private:
  std::vector<Item> list_;
  std::map<std::vector<uint32_t>, size_t> numbers_;
};

// PolicyRoles are the roles of one version of the policies: a request is allowed if an allow item
// matches and no deny item does.
struct PolicyRoles {
  Roles deny = 0;
  Roles allow = 0;
};

// ItemMaker turns rules into items. `sets` given to it must outlive the items.
class ItemMaker {
 public:
  ItemMaker(Space& space, RequestKind kind, WallTime now) : space_(space), kind_(kind), now_(now) {}

  // AddPolicies adds what the enforced policies of `sets` say at the given time: rules that have
  // not expired, `unmatched` trials as allows, and named keys that occur twice as denies.
  Status AddPolicies(const PolicySets& sets, const PolicyRoles& roles, Items& items);

  // AddRule adds one rule with its policy's guard. Sets and policies may be null: no guard.
  struct Place {
    const PolicySet* set = nullptr;
    const AccessPolicy* policy = nullptr;
  };
  Status AddRule(const Rule& rule, const Place& place, Roles roles, Items& items);

  // Guard is what must hold of the callee so that the policy is asked at all.
  Conjunct Guard(const Place& place);

  // AddAssertion adds the requests that an assertion speaks of: those in `region` and in no item of
  // `outside` are meant. `rules` keeps what the items point to.
  struct RegionRoles {
    Roles region = 0;
    Roles outside = 0;
  };
  Status AddAssertion(const PolicyAssertion& assertion, const PolicySet& set,
                      const RegionRoles& roles, std::deque<Rule>& rules, Items& items);

 private:
  enum class Stands : uint8_t { kInEntry, kInExcept };
  Status AddBoxes(const Rule& rule, const Conjunct& guard, Roles roles, Items& items);
  Conjunct Conditions(const std::vector<Condition>& conditions, Effect effect, Stands stands);
  uint32_t PredicateOf(const Condition& condition, Effect effect, Stands stands);
  uint32_t CalleePredicate(const std::vector<Matcher>& any_of);
  void AddRepeatedKeys(const Rule& rule, const Conjunct& guard, Roles roles, Items& items);

  Space& space_;
  const RequestKind kind_;
  const WallTime now_;
};

}  // namespace countersign::authz::prove
