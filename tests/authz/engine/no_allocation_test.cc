// Deciding allocates nothing: every operator new of this program is counted.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "tests/authz/engine/both_evaluators.h"
#include "tests/support/policy_builder.h"

namespace {
thread_local size_t allocations = 0;

void* Allocate(size_t size) {
  ++allocations;
  void* block = std::malloc(size == 0 ? 1 : size);
  if (block == nullptr) {
    throw std::bad_alloc();
  }
  return block;
}
}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
void operator delete[](void* block, size_t) noexcept { std::free(block); }

namespace countersign::authz::testing {
namespace {

// Rules of every kind: literals, borders, templates, code, automata, patterns found by a literal
// they need, long lists, keys that may occur more than once, exceptions, many rules that a
// connection leaves over.
PolicySets EveryMatcher() {
  std::vector<Rule> rules;
  for (int i = 0; i < 200; ++i) {
    std::vector<Matcher> words;
    for (int k = 0; k < 20; ++k) {
      words.push_back(Re2(Concat(".*w", i, "x", k, "(/.*)?")));
    }
    Entry from = Id(i % 2 == 0 ? Under("spiffe://shop.example") : Re2(".*/sa/web|.*/sa/none"));
    from.except.push_back({On(Field::kSni, Re2(Concat("(?i)sni", i)))});
    rules.push_back(R(Concat("r", i), i % 3 == 0 ? Effect::kDeny : Effect::kAllow, {from},
                      {Path(Re2(Concat(".*/admin", i, "(/.*)?"))), Path(Re2("(/[a-z]+)+")),
                       Path(Is(Concat("/p/", i)))},
                      {Many(Keyed(Field::kHeader, "x-tenant", words))}));
  }
  return OneSet(rules);
}

TEST(NoAllocationTest, DecidingAllocatesNothing) {
  auto compiled = CompiledPolicy::Compile(EveryMatcher());
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  // What RE2 does when it judges is RE2's: here it has nothing to judge.
  EXPECT_TRUE((*compiled)->Plan().re2.empty());
  DecisionScratch scratch(**compiled);
  const NameValue headers[] = {{"x-tenant", "w7x3/y"}, {"accept", "*/*"}, {"x-tenant", "w7x4"}};
  size_t matched = 0;
  for (int i = 0; i < 200; ++i) {
    std::string path = Concat("/a/admin", i, "/x");
    CanonicalRequest request = Get(path);
    request.headers = headers;
    ConnectionView view = (*compiled)->ViewConnection(request, scratch);
    size_t before = allocations;
    matched += (*compiled)->Decide(request, {}, scratch).matched.size();
    matched += (*compiled)->Decide(view, request, {}, scratch).matched.size();
    EXPECT_EQ(allocations, before) << path;
  }
  EXPECT_GT(matched, 0U);
  size_t before = allocations;
  operator delete(operator new(1));  // Calls: a new-expression may be left out by the compiler.
  EXPECT_EQ(allocations, before + 1) << "the counter counts";
}

}  // namespace
}  // namespace countersign::authz::testing
