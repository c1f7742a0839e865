#include "tests/support/policy_generator.h"

#include "base/status.h"

namespace countersign::authz::testing {
namespace {

using Kind = Matcher::Kind;

const std::vector<std::string> kIds = {
    "spiffe://shop.example/ns/prod/sa/web",      "spiffe://shop.example/ns/prod/sa/orders",
    "spiffe://shop.example/ns/prod/sa/billing",  "spiffe://shop.example/ns/prod",
    "spiffe://shop.example/ns/prod-eu/sa/web",   "spiffe://shop.example/ns/stage/sa/mobile-ios",
    "spiffe://shop.example/ns/prod/sa/mobile-a", "spiffe://shop.example",
    "spiffe://partner.example/ns/prod/sa/web",   "spiffe://shop.example/ns/prod/sa/web/x",
    "spiffe://shop.example.org/ns/prod/sa/web",  "spiffe://shop.example/ns/prod/sa/mobile-",
};
const std::vector<std::string> kIdPatterns = {
    "spiffe://shop\\.example/ns/(prod|stage)/sa/mobile-[a-z]+",
    "spiffe://shop\\.example/ns/[^/]+/sa/web",
    "spiffe://[^/]+/ns/prod/.*",
    "spiffe://shop.example/ns/prod/sa/(orders|billing)",
    ".*/sa/web",
    "spiffe://shop\\.example/ns/prod/sa/mobile-.*",
    "spiffe://shop\\.example/ns/prod/sa/mobile-a",
    "spiffe://shop\\.example/ns/prod/sa/mobile-[a-f]",
    "spiffe://shop\\.example/ns/prod/sa/mobile-(a|b)?",
    "spiffe://shop\\.example/ns/prod/sa/mobile-\\w{1,2}",
    "spiffe://shop\\.example/ns/prod/sa/mobile-a+",
};
const std::vector<std::string> kPaths = {
    "/",
    "/orders",
    "/orders/",
    "/orders/7",
    "/orders/7/items",
    "/orders-admin",
    "/admin",
    "/admin/x",
    "/refunds/1/a/b",
    "/api/v1/users",
    "/api/v1",
    "/api/v2/users/9",
    "/a.b",
    "/aXb",
    "/orders/%C3%A9",
    "/api/v1/users/admin",
    "/ordersX",
};
const std::vector<std::string> kPathPatterns = {
    "/orders/[0-9]+",
    "/admin(/.*)?",
    "/api/v[12]/.*",
    ".*/admin",
    "/a.b",
    "/a\\.b",
    "(/orders|/refunds)/.*",
    "/orders/[^/]+/items",
    "(?i)/ORDERS",
    "",
    "/orders.*",
    "/+",
    "/api/v1/users",
    "/api/v1/.*x?",
    "/api/v1/[a-z]*",
    "/api/v1/users(/.+)?",
    "/api/v1/u.*",
};
// Patterns that only RE2 runs, most of them without a literal beginning: enough of them in one
// place go into an automaton together.
const std::vector<std::string> kHardPathPatterns = {
    ".*/admin", "(?i)/Orders.*", "^/orders$",   "/orders|/admin.*",
    ".*[0-9]",  ".*s",           "(/[a-z]+)+",  "(?:/orders)*.*",
    "[^x]*/?",  "(?m)^/orders$", "\\A/.*\\z",   ".*\\b",
    "^/+.*",    "/o.*s",         "(a|/a.*)*b?", ".*r.*",
};
const std::vector<std::string> kHardWordPatterns = {
    "(?i)acme",    "a|acme.*",      ".*m.*",   "^a.*$",  ".*a",     "[^b]*c?",
    "(a|ac)(me)?", "(?i)[a-f].*z?", ".*-1|eu", "a?a?.*", "\\w*\\b", "(?-s).*",
};
const std::vector<std::string> kTemplates = {
    "/orders/{id}",
    "/orders/{id}/items",
    "/{tenant}/7",
    "/{a}/{b}",
    "/orders/**",
    "/api/{v}/**",
    "/**",
    "/{a}/{b}/{c}/**",
    "/api/v1/{x}",
    "/{x}",
    "/orders",
    "/{a}/",
    "/orders/{id}/**",
    "/{a}/{b}/",
};
const std::vector<std::string> kMethods = {"GET", "HEAD", "POST", "DELETE", "get", "PATCH"};
const std::vector<std::string> kHosts = {"orders", "orders.shop.internal", "shop.internal",
                                         "a.shop.internal", "[::1]"};
const std::vector<std::string> kSnis = {"orders", "orders.shop", "shop"};
const std::vector<std::string> kDomains = {"shop.example", "partner.example", "shop.example.org"};
const std::vector<std::string> kHeaderNames = {"x-tenant", "x-role", "x-env"};
// The last two differ by what looks like the end of a key.
const std::vector<std::string> kQueryKeys = {"page", "role", "a", "a\nb"};
const std::vector<std::string> kClaimPaths = {"iss", "groups", "realm.roles"};
const std::vector<std::string> kWords = {"acme", "acme-1", "a",     "admin", "",
                                         "eu",   "ACME",   "a\xff", "b\na",  "b\n"};
const uint16_t kPorts[] = {443, 8443, 5432};
constexpr int64_t kSecond = 1'000'000'000;
const WallTime kDates[] = {WallTime(std::chrono::nanoseconds(1000 * kSecond)),
                           WallTime(std::chrono::nanoseconds(2000 * kSecond))};

IpAddress V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  IpAddress address;
  address.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
  return address;
}

const IpAddress kAddresses[] = {V4(10, 0, 0, 1),  V4(10, 9, 0, 1),    V4(10, 9, 255, 255),
                                V4(10, 10, 0, 0), V4(192, 168, 1, 1), IpAddress{{0x20, 0x01}}};
const uint8_t kPrefixes[] = {0, 1, 16, 95, 96, 97, 104, 112, 119, 120, 127, 128};

Matcher TextMatcher(Kind kind, std::string text) {
  Matcher matcher;
  matcher.kind = kind;
  matcher.text = std::move(text);
  return matcher;
}

}  // namespace

const CanonicalRequest& OwnedRequest::view() {
  header_views_.clear();
  for (const auto& [name, value] : headers) {
    header_views_.push_back({name, value});
  }
  query_views_.clear();
  for (const auto& [name, value] : query) {
    query_views_.push_back({name, value});
  }
  claim_views_.clear();
  for (const auto& [name, value] : claims) {
    claim_views_.push_back({name, value});
  }
  view_ = {.kind = kind,
           .callee = callee,
           .caller = caller,
           .peer_ip = peer_ip,
           .port = port,
           .sni = sni,
           .method = method,
           .path = path,
           .host = host,
           .headers = header_views_,
           .query = query_views_,
           .claims = claim_views_};
  return view_;
}

std::string OwnedRequest::Describe() const {
  std::string text =
      Concat(kind == RequestKind::kHttp ? "http" : "tcp", " callee=", callee, " caller=", caller,
             " sni=", sni, " port=", port, " ", method, " ", host, " ", Quoted(path));
  if (peer_ip) {
    text += " ip=";
    for (uint8_t byte : peer_ip->bytes) {
      text += Concat(static_cast<unsigned>(byte), ".");
    }
  }
  for (const auto& [name, value] : headers) {
    text += Concat(" h:", name, "=", Quoted(value));
  }
  for (const auto& [name, value] : query) {
    text += Concat(" q:", name, "=", Quoted(value));
  }
  for (const auto& [name, value] : claims) {
    text += Concat(" c:", name, "=", Quoted(value));
  }
  return text;
}

std::string PolicyGenerator::Mutate(std::string value) {
  switch (Below(5)) {
    case 0:
      return value + Pick(std::vector<std::string>{"/", "x", "/x", "\n", "\xff"});
    case 1:
      return value.empty() ? value : value.substr(0, value.size() - 1);
    case 2:
      return value.substr(0, Below(value.size() + 1));
    case 3:
      if (!value.empty()) {
        value[Below(value.size())] = static_cast<char>(Below(256));
      }
      return value;
    default:
      return value.empty() ? value : value.substr(1);
  }
}

// More names than a mask has bits.
std::string PolicyGenerator::Method() {
  return Chance(50) ? Pick(kMethods) : Concat("M", Below(80));
}

Matcher PolicyGenerator::IdMatcher() {
  switch (Below(7)) {
    case 0:
      return TextMatcher(Kind::kRe2, Pick(kIdPatterns));
    case 1:
    case 2:
      return TextMatcher(Kind::kUnder, Pick(kIds));
    case 3: {
      std::string id = Pick(kIds);
      return TextMatcher(Kind::kPrefix, id.substr(0, 9 + Below(id.size() - 9) + 1));
    }
    case 4: {
      std::string id = Pick(kIds);
      return TextMatcher(Kind::kSuffix, id.substr(Below(id.size())));
    }
    default:
      return TextMatcher(Kind::kExact, Pick(kIds));
  }
}

Matcher PolicyGenerator::PathMatcher() {
  if (hard_) {
    return TextMatcher(Kind::kRe2, Pick(kHardPathPatterns));
  }
  switch (Below(7)) {
    case 0:
      return TextMatcher(Kind::kRe2, Pick(kPathPatterns));
    case 1:
    case 2:
      return TextMatcher(Kind::kTemplate, Pick(kTemplates));
    case 3: {
      std::string path = Pick(kPaths);
      return TextMatcher(Kind::kUnder, path.size() > 1 && path.ends_with('/') ? "/" : path);
    }
    case 4: {
      std::string path = Pick(kPaths);
      return TextMatcher(Kind::kPrefix, path.substr(0, Below(path.size()) + 1));
    }
    case 5: {
      std::string path = Pick(kPaths);
      return TextMatcher(Kind::kSuffix, path.substr(Below(path.size())));
    }
    default:
      return TextMatcher(Kind::kExact, Pick(kPaths));
  }
}

Matcher PolicyGenerator::WordMatcher(const std::vector<std::string>& words) {
  std::string word = Pick(words);
  if (hard_) {
    return TextMatcher(Kind::kRe2, Pick(kHardWordPatterns));
  }
  switch (Below(6)) {
    case 0:
      return TextMatcher(Kind::kPrefix,
                         word.empty() ? "a" : word.substr(0, Below(word.size()) + 1));
    case 1:
      return TextMatcher(Kind::kSuffix, word.empty() ? "a" : word.substr(Below(word.size())));
    case 2:
      return TextMatcher(Kind::kRe2,
                         Pick(std::vector<std::string>{"[a-z]+", "a.*", ".*", "a?cme", "b\n[a-z]+",
                                                       "(?i)[a-z]*", "b\n(?i)[a-z]*"}));
    default:
      return TextMatcher(Kind::kExact, word.empty() ? "a" : word);
  }
}

Matcher PolicyGenerator::CalleeMatcher() {
  switch (Below(6)) {
    case 0:
      return TextMatcher(Kind::kRe2, Pick(kIdPatterns));
    case 1:
    case 2:
      return TextMatcher(Kind::kUnder, Pick(kIds));
    case 3:
      return TextMatcher(Kind::kPrefix, "spiffe://shop.example/ns/prod");
    default:
      return TextMatcher(Kind::kExact, kIds[Below(3)]);
  }
}

Condition PolicyGenerator::FieldCondition(Field field) {
  Condition condition;
  condition.field = field;
  if (field == Field::kHeader || field == Field::kQuery) {
    condition.key = Pick(field == Field::kHeader ? kHeaderNames : kQueryKeys);
    condition.many = Chance(40);
  } else if (field == Field::kClaim) {
    condition.key = Pick(kClaimPaths);
  }
  // Long lists are kept differently from short ones.
  size_t count = Chance(8) || (hard_ && Chance(30)) ? 8 + Below(4) : 1 + Below(2);
  for (size_t i = 0; i < count; ++i) {
    Matcher matcher;
    switch (field) {
      case Field::kId:
        matcher = IdMatcher();
        break;
      case Field::kTrustDomain:
        matcher = WordMatcher(kDomains);
        break;
      case Field::kPeerIp:
        matcher.kind = Kind::kIp;
        matcher.range = {Pick(kAddresses).bytes, Pick(kPrefixes)};
        for (unsigned bit = matcher.range.prefix_bits; bit < 128; ++bit) {
          matcher.range.address[bit / 8] =
              static_cast<uint8_t>(matcher.range.address[bit / 8] & ~(0x80U >> (bit % 8)));
        }
        break;
      case Field::kPort:
        matcher.kind = Kind::kPort;
        matcher.port = Pick(kPorts);
        break;
      case Field::kSni:
        matcher = WordMatcher(kSnis);
        break;
      case Field::kProtocol:
        matcher = TextMatcher(Kind::kExact, Chance(50) ? "http" : "tcp");
        break;
      case Field::kMethod:
        matcher = Chance(85) ? TextMatcher(Kind::kExact, Method()) : WordMatcher(kMethods);
        break;
      case Field::kPath:
        matcher = PathMatcher();
        break;
      case Field::kHost:
        matcher = WordMatcher(kHosts);
        break;
      default:
        matcher = WordMatcher(kWords);
    }
    if (Chance(6)) {
      matcher = Matcher();
      matcher.kind = Chance(50) ? Kind::kPresent : Kind::kAbsent;
    }
    condition.any_of.push_back(std::move(matcher));
  }
  return condition;
}

std::vector<Condition> PolicyGenerator::Conditions(const std::vector<Field>& fields,
                                                   size_t count_max) {
  std::vector<Condition> conditions;
  size_t count = 1 + Below(count_max);
  for (size_t i = 0; i < count; ++i) {
    conditions.push_back(FieldCondition(Pick(fields)));
  }
  return conditions;
}

Entry PolicyGenerator::FromEntry() {
  const std::vector<Field> fields = {Field::kId,     Field::kId,   Field::kId, Field::kTrustDomain,
                                     Field::kPeerIp, Field::kPort, Field::kSni};
  Entry entry;
  entry.all_of = Conditions(fields, 2);
  for (size_t i = Chance(25) ? 1 + Below(2) : 0; i > 0; --i) {
    entry.except.push_back(Conditions(fields, 2));
  }
  return entry;
}

Entry PolicyGenerator::ToEntry() {
  std::vector<Field> fields = {Field::kMethod, Field::kMethod,   Field::kPath, Field::kPath,
                               Field::kPath,   Field::kProtocol, Field::kHost, Field::kPort,
                               Field::kSni,    Field::kHeader,   Field::kQuery};
  std::vector<Field> excepted = {Field::kMethod, Field::kPath, Field::kHost,     Field::kHeader,
                                 Field::kQuery,  Field::kPort, Field::kProtocol, Field::kSni};
  if (claims_ == Claims::kDrawn) {
    fields.push_back(Field::kClaim);
    excepted.push_back(Field::kClaim);
  }
  Entry entry;
  entry.all_of = Conditions(fields, 3);
  for (size_t i = Chance(20) ? 1 + Below(2) : 0; i > 0; --i) {
    entry.except.push_back(Conditions(excepted, 2));
  }
  return entry;
}

Rule PolicyGenerator::NewRule(const std::string& name, bool guardrail) {
  Rule rule;
  rule.name = name;
  rule.effect = guardrail || Chance(25) ? Effect::kDeny : Effect::kAllow;
  size_t subject = Below(10);
  rule.subject = subject == 0   ? Subject::kAnyone
                 : subject == 1 ? Subject::kAuthenticated
                 : subject == 2 ? Subject::kMesh
                                : Subject::kEntries;
  for (size_t i = rule.subject == Subject::kEntries ? 1 + Below(3) : 0; i > 0; --i) {
    rule.from.push_back(FromEntry());
  }
  for (size_t i = Below(4); i > 0; --i) {
    rule.to.push_back(ToEntry());
  }
  if (Chance(30)) {
    Field last = claims_ == Claims::kDrawn ? Field::kClaim : Field::kHeader;
    rule.when = Conditions({Field::kHeader, last, Field::kQuery, Field::kHost}, 2);
  }
  if (rule.effect == Effect::kAllow && Chance(15)) {
    rule.expires = Pick(kDates);
  }
  return rule;
}

AccessPolicy PolicyGenerator::NewPolicy(const std::string& name, bool guardrail) {
  AccessPolicy policy;
  policy.name = name;
  hard_ = Chance(3);
  policy.applies_to_all = Chance(40);
  for (size_t i = policy.applies_to_all ? 0 : 1 + Below(2); i > 0; --i) {
    policy.applies_to.push_back(CalleeMatcher());
  }
  size_t count = hard_ ? 12 + Below(20) : Chance(15) ? 30 + Below(40) : Below(6);
  for (size_t i = 0; i < count; ++i) {
    policy.rules.push_back(NewRule(Concat("r", i), guardrail));
  }
  hard_ = false;
  policy.dry_run = Chance(15);
  if (!guardrail && Chance(10)) {
    policy.unmatched_dry_run_until = Pick(kDates);
  }
  return policy;
}

std::vector<std::shared_ptr<const PolicySet>> PolicyGenerator::Sets() {
  std::vector<std::shared_ptr<const PolicySet>> sets;
  size_t count = 1 + Below(3);
  for (size_t i = 0; i < count; ++i) {
    auto set = std::make_shared<PolicySet>();
    set->name = Concat("set", i);
    set->guardrail = Chance(15);
    set->scope = Chance(30) ? CalleeMatcher() : TextMatcher(Kind::kUnder, "spiffe://shop.example");
    if (set->guardrail) {
      set->scope = Matcher();
      set->scope.kind = Kind::kPresent;
    }
    for (size_t p = 1 + Below(3); p > 0; --p) {
      set->policies.push_back(NewPolicy(Concat("p", p), set->guardrail));
    }
    sets.push_back(std::move(set));
  }
  return sets;
}

OwnedRequest PolicyGenerator::Request() {
  OwnedRequest request;
  request.kind = Chance(80) ? RequestKind::kHttp : RequestKind::kTcp;
  auto draw = [this](const std::vector<std::string>& words, int absent) {
    if (Chance(absent)) {
      return std::string();
    }
    std::string word = Pick(words);
    return Chance(15) ? Mutate(word) : word;
  };
  request.callee = Chance(90) ? kIds[Below(3)] : draw(kIds, 20);
  request.caller = draw(kIds, 12);
  request.sni = draw(kSnis, 30);
  if (Chance(85)) {
    request.peer_ip = Pick(kAddresses);
    if (Chance(20)) {
      request.peer_ip->bytes[Below(16)] ^= static_cast<uint8_t>(1U << Below(8));
    }
  }
  request.port = Chance(85) ? Pick(kPorts) : uint16_t{0};
  if (request.kind == RequestKind::kTcp) {
    return request;
  }
  request.method = Chance(3) ? std::string() : Method();
  if (Chance(10)) {
    request.method = Mutate(request.method);
  }
  request.path = draw(kPaths, 3);
  request.host = draw(kHosts, 10);
  for (size_t i = Below(4); i > 0; --i) {
    request.headers.emplace_back(Chance(80) ? Pick(kHeaderNames) : "x-other", draw(kWords, 0));
  }
  for (size_t i = Below(4); i > 0; --i) {
    request.query.emplace_back(Pick(kQueryKeys), draw(kWords, 0));
  }
  for (size_t i = claims_ == Claims::kDrawn ? Below(6) : 0; i > 0; --i) {
    request.claims.emplace_back(Chance(80) ? Pick(kClaimPaths) : "other", draw(kWords, 0));
  }
  return request;
}

WallTime PolicyGenerator::Now() {
  int64_t offset = static_cast<int64_t>(Below(3)) - 1;
  return Pick(kDates) + std::chrono::nanoseconds(offset);
}

}  // namespace countersign::authz::testing
