#include "authz/prove/describe.h"

#include "authz/model/ip_text.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Longer lists are not read.
constexpr size_t kMatchersNamed = 32;

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
      return Concat("re2 '", matcher.text, "'");
    case Matcher::Kind::kIp:
      return FormatIpRange(matcher.range);
    case Matcher::Kind::kPort:
      return Concat(matcher.port);
    case Matcher::Kind::kPresent:
      return "any";
    case Matcher::Kind::kAbsent:
      return "none";
  }
  return "";
}

std::string DescribeCondition(const Condition& condition) {
  std::string text = condition.field == Field::kTrustDomain ? "in trust domain " : "";
  bool first = true;
  for (size_t i = 0; i < condition.any_of.size(); ++i) {
    const Matcher& matcher = condition.any_of[i];
    if (i == kMatchersNamed) {
      return Concat(text, " or one of ", condition.any_of.size() - i, " others");
    }
    if (matcher.kind == Matcher::Kind::kAbsent && condition.any_of.size() > 1) {
      continue;  // No value is meant by it.
    }
    text += Concat(first ? "" : " or ", DescribeMatcher(matcher));
    first = false;
  }
  return text;
}

}  // namespace countersign::authz::prove
