#include "authz/engine/explain_text.h"

#include <algorithm>

#include "authz/engine/explain.h"
#include "authz/engine/program.h"
#include "authz/model/ip_text.h"

namespace countersign::authz {
namespace {

constexpr size_t kListedMax = 5;  // More would hide the sentence that they stand in.

std::string DescribeMatcher(const Matcher& matcher) {
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
    case Matcher::Kind::kTemplate:
      return matcher.text;
    case Matcher::Kind::kUnder:
      return Concat("under ", matcher.text);
    case Matcher::Kind::kPrefix:
      return Concat("prefix ", matcher.text);
    case Matcher::Kind::kSuffix:
      return Concat("suffix ", matcher.text);
    case Matcher::Kind::kRe2:
      return Concat("re2 ", matcher.text);
    case Matcher::Kind::kIp:
      return FormatIpRange(matcher.range);
    case Matcher::Kind::kPort:
      return Concat(matcher.port);
    case Matcher::Kind::kPresent:
      return "present";
    case Matcher::Kind::kAbsent:
      return "absent";
  }
  return "unknown";
}

std::string_view EffectName(Effect effect) { return effect == Effect::kAllow ? "allow" : "deny"; }

std::string Where(const SourcePosition& where) {
  return where.file.empty() ? "" : Concat(" (", where.file, ":", where.line, ")");
}

std::string FieldWithKey(Field field, const std::string& key) {
  return key.empty() ? std::string(FieldName(field)) : Concat(FieldName(field), " ", key);
}

// JSON string: everything that is not printable ASCII is escaped, so that any byte survives.
std::string JsonString(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20 || byte >= 0x7F) {
      out.append("\\u00");
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

std::string RuleJson(const RuleReference& rule) {
  return Concat("{\"rule\":", JsonString(rule.Name()),
                ",\"setDigest\":", JsonString(rule.set_digest),
                ",\"file\":", JsonString(rule.where.file), ",\"line\":", rule.where.line, "}");
}

}  // namespace

std::string DescribePredicate(const std::vector<Matcher>& any_of) {
  std::string text = any_of.size() > 1 ? "one of " : "";
  for (size_t i = 0; i < std::min(any_of.size(), kListedMax); ++i) {
    text += Concat(i > 0 ? ", " : "", DescribeMatcher(any_of[i]));
  }
  if (any_of.size() > kListedMax) {
    text += Concat(" and ", any_of.size() - kListedMax, " more");
  }
  return text;
}

std::string DescribeActual(const CanonicalRequest& request, const Condition& condition) {
  if (condition.field == Field::kPeerIp) {
    return request.peer_ip ? FormatIpAddress(*request.peer_ip) : "absent";
  }
  if (condition.field == Field::kPort) {
    return request.port != 0 ? Concat(request.port) : "absent";
  }
  std::vector<std::string_view> values = engine::ValuesOf(request, condition);
  std::string text = values.empty() ? "absent" : Quoted(values.front());
  return values.size() > 1 ? Concat(text, " and ", values.size() - 1, " more") : text;
}

namespace engine {

std::vector<std::string_view> ValuesOf(const CanonicalRequest& request,
                                       const Condition& condition) {
  auto one = [](std::string_view value) {
    return value.empty() ? std::vector<std::string_view>() : std::vector{value};
  };
  auto lines = [&](std::span<const NameValue> list) {
    std::vector<std::string_view> values;
    for (const NameValue& line : list) {
      if (line.name == condition.key) {
        values.push_back(line.value);
      }
    }
    return values;
  };
  switch (condition.field) {
    case Field::kId:
      return one(request.caller);
    case Field::kTrustDomain:
      return one(TrustDomainOf(request.caller));
    case Field::kSni:
      return one(request.sni);
    case Field::kProtocol:
      return one(request.kind == RequestKind::kHttp ? "http" : "tcp");
    case Field::kMethod:
      return one(request.method);
    case Field::kPath:
      return one(request.path);
    case Field::kHost:
      return one(request.host);
    case Field::kHeader:
      return lines(request.headers);
    case Field::kQuery:
      return lines(request.query);
    case Field::kClaim:
      return lines(request.claims);
    default:
      return {};
  }
}

}  // namespace engine

std::string Explanation::Text() const {
  std::string text;
  switch (reason) {
    case Reason::kNoPolicy:
      text = "Denied: no policy guards the workload";
      break;
    case Reason::kNoRuleMatched:
      text = "Denied: no rule matched";
      break;
    case Reason::kDenyRule:
    case Reason::kAllowRule:
      text = effect == Effect::kAllow ? "Allowed by rule " : "Denied by rule ";
      text += deciding ? Concat(deciding->Name(), Where(deciding->where)) : "unknown";
      break;
    case Reason::kUnmatchedTrial:
      text = "Let through although no rule matched: a policy has `unmatched` on trial";
      break;
    case Reason::kAmbiguousField:
      text = "Denied: a header or query key that a rule names occurs more than once";
      break;
    case Reason::kEngineFault:
      text = "Denied: a fault while judging";
      break;
    default:
      text = Concat(effect == Effect::kAllow ? "Allowed: " : "Denied: ", ReasonName(reason));
  }
  text += ".";
  if (matched.size() > 1) {
    text += " All matched rules: ";
    for (size_t i = 0; i < matched.size(); ++i) {
      text += Concat(i > 0 ? ", " : "", matched[i].Name());
    }
    text += ".";
  }
  if (nearest_miss) {
    text += Concat(" The nearest allow is ", nearest_miss->rule.Name(),
                   Where(nearest_miss->rule.where), ", which failed at ",
                   FieldWithKey(nearest_miss->field, nearest_miss->key), ": expected ",
                   nearest_miss->expected, ", the request has ", nearest_miss->actual, ".");
  }
  if (would_be != effect) {
    text += Concat(" With all trials ended it would be: ", EffectName(would_be), ".");
  }
  return Concat(text, " Policy version ", policy_digest.substr(0, 12), ".");
}

std::string Explanation::Json() const {
  std::string json = Concat(
      "{\"effect\":\"", EffectName(effect), "\",\"reason\":\"", ReasonName(reason),
      "\",\"wouldBe\":\"", EffectName(would_be), "\",\"policyDigest\":", JsonString(policy_digest),
      ",\"deciding\":", deciding ? RuleJson(*deciding) : "null", ",\"matched\":[");
  for (size_t i = 0; i < matched.size(); ++i) {
    json += Concat(i > 0 ? "," : "", RuleJson(matched[i]));
  }
  json += "],\"nearestMiss\":";
  if (nearest_miss) {
    json += Concat("{\"rule\":", RuleJson(nearest_miss->rule),
                   ",\"field\":", JsonString(FieldName(nearest_miss->field)),
                   ",\"key\":", JsonString(nearest_miss->key),
                   ",\"expected\":", JsonString(nearest_miss->expected),
                   ",\"actual\":", JsonString(nearest_miss->actual), "}");
  } else {
    json += "null";
  }
  return json + "}";
}

}  // namespace countersign::authz
