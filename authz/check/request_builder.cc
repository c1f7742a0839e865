#include "authz/check/request_builder.h"

#include <algorithm>
#include <charconv>

#include "authz/check/boundary_values.h"
#include "authz/check/test_request.h"
#include "authz/model/ip_text.h"
#include "identity/spiffe_id.h"

namespace countersign::authz {
namespace {

using Request = PolicyTestCase::Request;
using NamedValues = std::vector<std::pair<std::string, std::string>>;

constexpr size_t kTriesPerCondition = 4;  // Values of one condition that are tried in turn.

bool SetCaller(const std::string& value, Request& request) {
  request.caller = value;
  return value.empty() || identity::SpiffeId::Parse(value).ok();
}

bool SetPort(const std::string& value, Request& request) {
  request.port = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), request.port);
  return value.empty() ||
         (error == std::errc() && end == value.data() + value.size() && request.port != 0);
}

bool SetNamed(const std::string& key, const std::string& value, NamedValues& list) {
  std::erase_if(list, [&key](const auto& each) { return each.first == key; });
  if (!value.empty()) {
    list.emplace_back(key, value);
  }
  return true;
}

bool SetProtocol(const std::string& value, Request& request) {
  if (value == "tcp") {
    request.http = false;
    request.method = request.path = request.host = "";
    request.headers.clear();
    request.query.clear();
  } else if (!request.http) {
    request.http = true;
    request.method = "GET";
    request.path = "/";
  }
  return !value.empty();
}

// Gives every condition of an entry the first of its near values that it holds for by itself: the
// caller tries the whole.
bool Satisfy(const std::vector<Condition>& conditions, size_t attempt, Request& request) {
  for (const Condition& condition : conditions) {
    const Matcher& matcher = condition.any_of[attempt % condition.any_of.size()];
    std::vector<std::string> values = NearValues(matcher, condition.field);
    bool absent = matcher.kind == Matcher::Kind::kAbsent;
    std::erase_if(values, [absent](const std::string& value) { return value.empty() != absent; });
    if (values.empty()) {
      return false;
    }
    std::string value = values[(attempt / 2) % values.size()];
    if (matcher.kind == Matcher::Kind::kExact) {
      value = matcher.text;
    }
    if (!SetCoordinate(condition, value, request)) {
      return false;
    }
  }
  return true;
}

// Gives what exceptions speak of a value: where there is none, an allow is excluded. Which value is
// outside of the exception, the tries tell.
void Avoid(const Entry& entry, size_t attempt, Request& request) {
  for (const std::vector<Condition>& exception : entry.except) {
    for (const Condition& condition : exception) {
      std::vector<std::string> values = NearValues(condition.any_of.front(), condition.field);
      std::erase(values, "");
      Request changed = request;
      if (!values.empty() && SetCoordinate(condition, values[attempt % values.size()], changed)) {
        request = std::move(changed);
      }
    }
  }
}

bool SatisfyOne(const std::vector<Entry>& entries, size_t attempt, Request& request) {
  if (entries.empty()) {
    return true;
  }
  const Entry& entry = entries[attempt % entries.size()];
  Avoid(entry, attempt, request);
  return Satisfy(entry.all_of, attempt, request);
}

// An id of the workloads that the policy guards.
std::vector<std::string> WorkloadsOf(const RuleVariants::Variant& variant) {
  std::vector<Matcher> matchers = variant.policy->applies_to;
  if (variant.policy->applies_to_all) {
    matchers.push_back(variant.policy_set->scope);
  }
  std::vector<std::string> ids;
  for (const Matcher& matcher : matchers) {
    for (std::string& id : NearValues(matcher, Field::kId)) {
      if (identity::SpiffeId::Parse(id).ok()) {
        ids.push_back(std::move(id));
      }
    }
    ids.emplace_back("spiffe://mesh.example/workload");
  }
  return ids;
}

bool Matches(const RuleVariants& variants, uint32_t number, const Request& source, WallTime now) {
  TestRequest request(source);
  if (request.error() != CanonicalError::kNone) {
    return false;
  }
  std::vector<bool> truths = variants.Truths(request.canonical(), now);
  return !truths.empty() && truths[number];
}

std::optional<Request> Try(const Rule& rule, const std::string& workload, size_t attempt) {
  Request request;
  request.workload = workload;
  request.method = "GET";
  request.path = "/";
  if (rule.subject == Subject::kAuthenticated || rule.subject == Subject::kMesh) {
    std::string_view id = workload;
    request.caller = Concat(id.substr(0, id.find('/', std::string_view("spiffe://").size())), "/x");
  }
  if (!SatisfyOne(rule.from, attempt, request) || !SatisfyOne(rule.to, attempt, request)) {
    return std::nullopt;
  }
  return Satisfy(rule.when, attempt, request) ? std::optional<Request>(std::move(request))
                                              : std::nullopt;
}

}  // namespace

bool SetCoordinate(const Condition& condition, const std::string& value, Request& request) {
  if (IsHttpOnly(condition.field)) {
    SetProtocol("http", request);
  }
  switch (condition.field) {
    case Field::kId:
      return SetCaller(value, request);
    case Field::kTrustDomain:
      return SetCaller(value.empty() ? "" : Concat("spiffe://", value, "/x"), request);
    case Field::kPeerIp:
      request.peer_ip = value;
      return value.empty() || ParseIpAddress(value).ok();
    case Field::kPort:
      return SetPort(value, request);
    case Field::kSni:
      request.sni = value;
      return true;
    case Field::kProtocol:
      return SetProtocol(value, request);
    case Field::kMethod:
      request.method = value;
      return !value.empty();
    case Field::kPath:
      request.path = value;
      return !value.empty();
    case Field::kHost:
      request.host = value;
      return true;
    case Field::kHeader:
      return SetNamed(condition.key, value, request.headers);
    case Field::kQuery:
      return SetNamed(condition.key, value, request.query);
    case Field::kClaim:
      break;
  }
  return false;
}

std::optional<Request> FindMatching(const RuleVariants& variants,
                                    const RuleVariants::Variant& variant, const Wanted& wanted,
                                    WallTime now) {
  for (const std::string& workload : WorkloadsOf(variant)) {
    for (size_t attempt = 0; attempt < 2 * kTriesPerCondition; ++attempt) {
      std::optional<Request> request = Try(*wanted.rule, workload, attempt);
      if (request.has_value() && Matches(variants, wanted.number, *request, now)) {
        return request;
      }
    }
  }
  return std::nullopt;
}

bool SameRequest(const Request& a, const Request& b) {
  return a.http == b.http && a.caller == b.caller && a.workload == b.workload &&
         a.peer_ip == b.peer_ip && a.port == b.port && a.sni == b.sni && a.method == b.method &&
         a.host == b.host && a.path == b.path && a.headers == b.headers && a.query == b.query;
}

}  // namespace countersign::authz
