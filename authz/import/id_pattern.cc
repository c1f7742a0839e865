#include "authz/import/id_pattern.h"

#include <re2/re2.h>

#include <algorithm>

#include "identity/spiffe_id.h"

namespace countersign::authz::import {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr size_t kServiceAccountBytesMax = 320;  // Istio's own limit.

std::string Escaped(std::string_view text) {
  return RE2::QuoteMeta(re2::StringPiece(text.data(), text.size()));
}

// As Escaped, but slashes and the like, which mean themselves, stay readable.
std::string Readable(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '/' || c == '-' || c == '_' || c == ':';
    out += plain ? std::string(1, c) : Escaped(std::string_view(&c, 1));
  }
  return out;
}

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (size_t start = 0; start <= text.size();) {
    size_t end = std::min(text.find(at, start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

bool FullMatch(std::string_view text, const std::string& pattern) {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_log_errors(false);
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), RE2(pattern, options));
}

// The trust domains that a principal's own stands for: aliases mean the mesh's domain, and so does
// "cluster.local". Other domains, patterns and texts that are no principal mean themselves.
std::vector<std::string> Expanded(std::string_view value, const ImportOptions& options) {
  std::vector<std::string_view> parts = Split(value, '/');
  if (parts.size() != 5 || parts[0] == "*") {
    return {std::string(value)};
  }
  std::vector<std::string> domains = {options.trust_domain};
  std::ranges::copy(options.trust_domain_aliases, std::back_inserter(domains));
  std::string_view own = parts[0];
  // "*-td" means all domains that end so, and is kept for them.
  auto covers = [own](std::string_view domain) {
    return own.starts_with('*') ? domain.ends_with(own.substr(1)) : domain == own;
  };
  bool ours = own == "cluster.local" || std::ranges::any_of(domains, covers);
  if (!ours) {
    return {std::string(value)};
  }
  std::vector<std::string> out;
  for (const std::string& domain : domains) {
    std::string principal =
        covers(domain) ? std::string(value) : domain + std::string(value.substr(own.size()));
    if (std::ranges::find(out, principal) == out.end()) {
      out.push_back(std::move(principal));
    }
  }
  return out;
}

}  // namespace

StatusOr<std::vector<IdPattern>> IdPattern::FromPrincipal(std::string_view value,
                                                          const ImportOptions& options) {
  std::vector<IdPattern> out;
  for (const std::string& text : Expanded(value, options)) {
    if (text == "*") {
      out.push_back(IdPattern(Kind::kAny, ""));
    } else if (text.starts_with('*')) {
      // A tail that begins with '/' must not take the scheme's last slash for its own.
      out.push_back(IdPattern(Kind::kRe2, Concat(kScheme, ".*", Readable(text.substr(1)))));
    } else if (text.ends_with('*')) {
      std::string prefix = Concat(kScheme, text.substr(0, text.size() - 1));
      if (prefix.find('*') != std::string::npos) {
        return InvalidArgument("principal ", Quoted(value), " can never match: no ID has a '*'");
      }
      out.push_back(IdPattern(Kind::kPrefix, prefix));
    } else {
      std::string id = Concat(kScheme, text);
      if (Status status = identity::SpiffeId::Parse(id).status(); !status.ok()) {
        return InvalidArgument("principal ", Quoted(value), " can never match: ", Message(status));
      }
      out.push_back(IdPattern(Kind::kExact, id));
    }
  }
  return out;
}

IdPattern IdPattern::FromNamespace(std::string_view value) {
  std::string name;
  for (char c : value) {
    name += c == '*' ? ".*" : Readable(std::string_view(&c, 1));
  }
  return IdPattern(Kind::kRooted, ".*", Concat("/ns/", name, "/.*"));
}

StatusOr<IdPattern> IdPattern::FromServiceAccount(std::string_view value, std::string_view ns) {
  if (value.size() > kServiceAccountBytesMax || value.find('*') != std::string_view::npos) {
    return InvalidArgument("service account ", Quoted(value), " must be NAMESPACE/NAME or NAME of ",
                           "at most ", kServiceAccountBytesMax, " bytes, without '*'");
  }
  std::vector<std::string_view> parts = Split(value, '/');
  if (parts.size() > 2 || parts.front().empty() || parts.back().empty()) {
    return InvalidArgument("service account ", Quoted(value), " must be NAMESPACE/NAME or NAME");
  }
  std::string_view own_ns = parts.size() == 2 ? parts[0] : ns;
  return IdPattern(
      Kind::kRooted, "spiffe://.+",
      Concat("/ns/", Readable(own_ns), "/(.+/|)sa/", Readable(parts.back()), "(/.+)?"));
}

StatusOr<std::vector<IdPattern>> IdPattern::FromTrustDomain(std::string_view value,
                                                            const ImportOptions& options) {
  if (value == "*") {
    return std::vector<IdPattern>{IdPattern(Kind::kAny, "")};
  }
  size_t star = value.find('*');
  if (value.find('/') != std::string_view::npos ||
      (star != std::string_view::npos && value.find('*', star + 1) != std::string_view::npos)) {
    return InvalidArgument("trust domain ", Quoted(value), " may have one '*' and no '/'");
  }
  if (star != std::string_view::npos) {
    return std::vector<IdPattern>{
        IdPattern(Kind::kRe2, Concat(kScheme, Readable(value.substr(0, star)), "[^/]*",
                                     Readable(value.substr(star + 1)), "/.*"))};
  }
  std::vector<std::string> domains = {std::string(value)};
  bool ours =
      value == options.trust_domain ||
      std::ranges::find(options.trust_domain_aliases, value) != options.trust_domain_aliases.end();
  if (ours) {
    domains = {options.trust_domain};
    std::ranges::copy(options.trust_domain_aliases, std::back_inserter(domains));
  }
  std::vector<IdPattern> out;
  for (const std::string& domain : domains) {
    RETURN_IF_ERROR(identity::TrustDomain::Parse(domain).status());
    out.push_back(IdPattern(Kind::kTrustDomain, domain));
  }
  return out;
}

std::string IdPattern::PrefixText() const {
  return kind_ == Kind::kTrustDomain ? Concat(kScheme, first_, "/") : first_;
}

std::string IdPattern::Pattern() const { return first_ + second_; }

Matcher IdPattern::ToMatcher() const {
  switch (kind_) {
    case Kind::kAny:
      return {Matcher::Kind::kPresent, "", {}, 0};
    case Kind::kExact:
      return {Matcher::Kind::kExact, first_, {}, 0};
    case Kind::kPrefix:
    case Kind::kTrustDomain:
      return {Matcher::Kind::kPrefix, PrefixText(), {}, 0};
    default:
      return {Matcher::Kind::kRe2, Pattern(), {}, 0};
  }
}

bool IdPattern::Matches(std::string_view id) const {
  switch (kind_) {
    case Kind::kAny:
      return true;
    case Kind::kExact:
      return id == first_;
    case Kind::kPrefix:
    case Kind::kTrustDomain:
      return id.starts_with(PrefixText());
    default:
      return FullMatch(id, Pattern());
  }
}

StatusOr<std::vector<IdPattern>> IdPattern::Both(const IdPattern& a, const IdPattern& b) {
  using Result = std::vector<IdPattern>;
  if (a.kind_ == Kind::kAny || a == b) {
    return Result{b};
  }
  if (b.kind_ == Kind::kAny) {
    return Result{a};
  }
  if (a.kind_ == Kind::kExact) {
    return b.Matches(a.first_) ? Result{a} : Result{};
  }
  if (b.kind_ == Kind::kExact) {
    return Both(b, a);
  }
  bool a_begins = a.kind_ == Kind::kPrefix || a.kind_ == Kind::kTrustDomain;
  bool b_begins = b.kind_ == Kind::kPrefix || b.kind_ == Kind::kTrustDomain;
  if (a_begins && b_begins) {
    bool longer = a.PrefixText().size() >= b.PrefixText().size();
    const IdPattern& more = longer ? a : b;
    const IdPattern& less = longer ? b : a;
    return more.PrefixText().starts_with(less.PrefixText()) ? Result{more} : Result{};
  }
  // The beginning of a rooted pattern stands for a trust domain and perhaps more, up to a '/'. A
  // domain called "ns" could itself be what follows.
  if (a.kind_ == Kind::kTrustDomain && b.kind_ == Kind::kRooted && a.first_ != "ns") {
    return Result{IdPattern(Kind::kRe2, Concat(kScheme, Readable(a.first_), "(/.*)?", b.second_))};
  }
  if (b.kind_ == Kind::kTrustDomain && a.kind_ == Kind::kRooted) {
    return Both(b, a);
  }
  return FailedPrecondition("no one pattern");
}

namespace {

// The list of what both lists match, or an error where two patterns cannot be joined.
StatusOr<IdPatterns> JoinTwo(const IdPatterns& a, const IdPatterns& b) {
  IdPatterns joined;
  for (const IdPattern& left : a) {
    for (const IdPattern& right : b) {
      ASSIGN_OR_RETURN(std::vector<IdPattern> both, IdPattern::Both(left, right));
      for (IdPattern& pattern : both) {
        if (std::ranges::find(joined, pattern) == joined.end()) {
          joined.push_back(std::move(pattern));
        }
      }
      if (joined.size() > ImportLimits::kJoinedValuesMax) {
        return ResourceExhausted("two lists of callers that must both hold make more than ",
                                 ImportLimits::kJoinedValuesMax, " together");
      }
    }
  }
  return joined;
}

}  // namespace

StatusOr<std::vector<IdPatterns>> JoinAll(std::vector<IdPatterns> lists) {
  for (IdPatterns& list : lists) {
    auto any = std::ranges::find(list, IdPattern::Kind::kAny, &IdPattern::kind);
    if (any != list.end()) {
      list = {IdPattern(*any)};  // The others say nothing beside it.
    }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < lists.size() && !changed; ++i) {
      for (size_t j = i + 1; j < lists.size() && !changed; ++j) {
        StatusOr<IdPatterns> joined = JoinTwo(lists[i], lists[j]);
        if (joined.ok()) {
          lists[i] = *std::move(joined);
          lists.erase(lists.begin() + static_cast<std::ptrdiff_t>(j));
          changed = true;
        } else if (joined.status().code() != StatusCode::kFailedPrecondition) {
          return joined.status();
        }
      }
    }
  }
  return lists;
}

}  // namespace countersign::authz::import
