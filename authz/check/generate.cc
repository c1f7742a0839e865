#include "authz/check/generate.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "authz/check/boundary_values.h"
#include "authz/check/policy_test_runner.h"
#include "authz/check/request_builder.h"
#include "authz/check/rule_parts.h"
#include "authz/check/test_request.h"
#include "authz/kinds/field_table.h"
#include "authz/kinds/printer.h"

namespace countersign::authz {
namespace {

using Json = nlohmann::ordered_json;
using Request = PolicyTestCase::Request;

constexpr size_t kNameBytesMax = 200;  // Of a case, as the loader has it.

Json NamedValuesJson(const std::vector<std::pair<std::string, std::string>>& list) {
  Json out = Json::object();
  for (const auto& [name, value] : list) {
    out[name].push_back(value);
  }
  return out;
}

Json RequestJson(const Request& request) {
  Json out = Json::object();
  auto add = [&out](const char* key, const std::string& value) {
    if (!value.empty()) {
      out[key] = value;
    }
  };
  if (!request.http) {
    out["kind"] = "tcp";
  }
  add("caller", request.caller);
  add("workload", request.workload);
  add("peerIp", request.peer_ip);
  if (request.port != 0) {
    out["port"] = request.port;
  }
  add("sni", request.sni);
  add("method", request.method);
  add("host", request.host);
  add("path", request.path);
  if (!request.headers.empty()) {
    out["headers"] = NamedValuesJson(request.headers);
  }
  if (!request.query.empty()) {
    out["query"] = NamedValuesJson(request.query);
  }
  return out;
}

// People review what is generated: only what a page shows as it is.
bool IsReadable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}
bool IsReadable(const Request& request) {
  auto readable = [](const auto& named) {
    return IsReadable(named.first) && IsReadable(named.second);
  };
  return IsReadable(request.caller) && IsReadable(request.workload) && IsReadable(request.sni) &&
         IsReadable(request.host) && IsReadable(request.path) &&
         std::ranges::all_of(request.headers, readable) &&
         std::ranges::all_of(request.query, readable);
}

// SetGenerator gathers the cases of one set.
class SetGenerator {
 public:
  SetGenerator(const RuleVariants& variants, const PolicySet& set, const PolicySets& sets,
               WallTime now)
      : variants_(variants), set_(set), sets_(sets), now_(now) {}

  void AddRule(const RuleVariants::Variant& variant) {
    std::optional<Request> base = BaseOf(variant, {variant.source, variant.first});
    if (!base.has_value()) {
      without_request_.push_back(variant.rule);
      return;
    }
    Keep(*base, Concat(variant.rule, " matches"));
    for (size_t part = 0; part < variant.parts.size() && !Full(); ++part) {
      // Another entry than the one that the request so far is of needs a request of its own.
      Wanted whole = {&variant.parts[part].whole, RuleVariants::Whole(variant, part)};
      std::optional<Request> of_part = BaseOf(variant, whole);
      if (of_part.has_value()) {
        Keep(*of_part, Concat(variant.rule, ", ", variant.parts[part].label, ": inside"));
        AddPart(variant, part, *of_part);
      } else {
        without_request_.push_back(Concat(variant.rule, ", ", variant.parts[part].label));
      }
    }
  }

  // Judges the cases and writes the document.
  StatusOr<GeneratedTests> Finish() {
    GeneratedTests out;
    out.set = set_.name;
    out.cases = cases_.size();
    out.without_request = std::move(without_request_);
    auto judged = std::make_shared<PolicySet>(set_);
    judged->tests = cases_;
    PolicySets sets;
    for (const auto& set : sets_) {
      auto copy = std::make_shared<PolicySet>(*set);
      copy->tests.clear();
      sets.push_back(set->name == set_.name ? judged : copy);
    }
    TestReport report = RunPolicyTests(sets, now_);
    if (report.cases.size() != cases_.size()) {
      return Internal("the cases of policy set ", Quoted(set_.name), " could not be judged");
    }
    Json list = Json::array();
    for (size_t i = 0; i < cases_.size(); ++i) {
      const TestCaseResult& result = report.cases[i];
      Json one = {{"name", cases_[i].name},
                  {"request", RequestJson(cases_[i].request)},
                  {"expect", result.actual == Effect::kAllow ? "allow" : "deny"}};
      if (!result.deciding_rule.empty()) {
        one["rule"] = result.deciding_rule;
      }
      list.push_back(std::move(one));
    }
    Json document = {{"apiVersion", kApiVersion},
                     {"kind", "PolicyTest"},
                     {"metadata", {{"name", "generated-borders"}}},
                     {"spec", {{"cases", list}}}};
    ASSIGN_OR_RETURN(out.yaml, ToYaml(document.dump()));
    return out;
  }

  bool Full() const { return cases_.size() >= GenerateLimits::kCasesMax; }
  bool empty() const { return cases_.empty() && without_request_.empty(); }

 private:
  // A request of the tests that the rule matches reads best: it is the author's own.
  std::optional<Request> BaseOf(const RuleVariants::Variant& variant, const Wanted& wanted) const {
    for (const std::vector<PolicyTestCase>* tests : {&set_.tests, &cases_}) {
      for (const PolicyTestCase& test : *tests) {
        TestRequest request(test.request);
        if (request.error() != CanonicalError::kNone) {
          continue;
        }
        std::vector<bool> truths = variants_.Truths(request.canonical(), now_);
        if (!truths.empty() && truths[wanted.number]) {
          return test.request;
        }
      }
    }
    return FindMatching(variants_, variant, wanted, now_);
  }

  void AddPart(const RuleVariants::Variant& variant, size_t part, const Request& base) {
    const RulePart& what = variant.parts[part];
    if (what.kind == RulePart::Kind::kSubject) {
      Condition caller;
      caller.field = Field::kId;
      for (const char* value : {"", "spiffe://other.example/x"}) {
        TryValue(variant, part, base, caller, value);
      }
      return;
    }
    for (const Condition& condition : what.conditions) {
      size_t matchers = std::min(condition.any_of.size(), GenerateLimits::kMatchersPerPredicate);
      for (size_t i = 0; i < matchers; ++i) {
        kept_inside_ = kept_outside_ = 0;
        for (const std::string& value : NearValues(condition.any_of[i], condition.field)) {
          TryValue(variant, part, base, condition, value);
        }
        TryValue(variant, part, base, condition, "");
      }
    }
  }

  // Keeps the request with that value if it is on a side of the part's border.
  void TryValue(const RuleVariants::Variant& variant, size_t part, const Request& base,
                const Condition& condition, const std::string& value) {
    Request changed = base;
    if (!SetCoordinate(condition, value, changed)) {
      return;
    }
    TestRequest request(changed);
    if (request.error() != CanonicalError::kNone) {
      return;
    }
    std::vector<bool> truths = variants_.Truths(request.canonical(), now_);
    if (truths.empty()) {
      return;
    }
    bool whole = truths[RuleVariants::Whole(variant, part)];
    bool rest = truths[RuleVariants::Without(variant, part)];
    size_t& kept = whole ? kept_inside_ : kept_outside_;
    bool wanted =
        (whole || rest) && (value.empty() || kept < GenerateLimits::kCasesPerSideOfMatcher);
    if (!wanted) {
      return;
    }
    kept += value.empty() ? 0 : 1;  // Also if there is such a case already.
    Keep(changed,
         Concat(variant.rule, ", ", variant.parts[part].label,
                whole ? ": just inside, " : ": just outside, ", value.empty() ? "absent" : value));
  }

  // Leaves out what is there already, and what there is no room for.
  void Keep(const Request& request, std::string name) {
    auto same = [&request](const PolicyTestCase& test) {
      return SameRequest(test.request, request);
    };
    if (!IsReadable(request) || Full() || std::ranges::any_of(cases_, same) ||
        std::ranges::any_of(set_.tests, same)) {
      return;
    }
    name = name.substr(0, kNameBytesMax - 8);
    for (size_t number = 2; !names_.insert(name).second; ++number) {
      name = Concat(name.substr(0, name.rfind(" #")), " #", number);
    }
    PolicyTestCase test;
    test.name = std::move(name);
    test.request = request;
    cases_.push_back(std::move(test));
  }

  const RuleVariants& variants_;
  const PolicySet& set_;
  const PolicySets& sets_;
  WallTime now_;
  std::vector<PolicyTestCase> cases_;
  std::set<std::string> names_;
  std::vector<std::string> without_request_;
  size_t kept_inside_ = 0;  // Of the matcher at hand.
  size_t kept_outside_ = 0;
};

}  // namespace

StatusOr<std::vector<GeneratedTests>> GenerateTests(
    const std::vector<std::shared_ptr<const PolicySet>>& sets, WallTime now) {
  ASSIGN_OR_RETURN(RuleVariants variants, RuleVariants::Create(sets));
  std::vector<GeneratedTests> all;
  for (const auto& set : sets) {
    SetGenerator generator(variants, *set, sets, now);
    for (const RuleVariants::Variant& variant : variants.variants()) {
      if (variant.set == set->name && !generator.Full()) {
        generator.AddRule(variant);
      }
    }
    if (!generator.empty()) {
      ASSIGN_OR_RETURN(GeneratedTests tests, generator.Finish());
      all.push_back(std::move(tests));
    }
  }
  return all;
}

}  // namespace countersign::authz
