#include "authz/import/istio_values.h"

#include <algorithm>
#include <charconv>

#include "authz/import/path_template.h"
#include "authz/import/text_pattern.h"
#include "authz/kinds/path_text.h"
#include "authz/model/ip_text.h"
#include "base/status.h"

namespace countersign::authz::import {
namespace {

using Kind = TextForm::Kind;

Matcher Present() { return {Matcher::Kind::kPresent, "", {}, 0}; }

bool IsMethodByte(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

StatusOr<Matcher> ReadMethod(std::string_view value) {
  TextForm form = ReadForm(value);
  if (form.kind == Kind::kPresent) {
    return Present();
  }
  if (form.kind != Kind::kExact || !std::ranges::all_of(form.text, IsMethodByte)) {
    return InvalidArgument("method ", Quoted(value), " cannot be imported: methods are listed one ",
                           "by one, in upper case");
  }
  return ToMatcher(form);
}

StatusOr<Matcher> ReadPath(std::string_view value) {
  if (value.find_first_of("{}") != std::string_view::npos) {
    ASSIGN_OR_RETURN(std::string pattern, TemplatePattern(value));
    return Matcher{Matcher::Kind::kRe2, pattern, {}, 0};
  }
  TextForm form = ReadForm(value);
  Matcher matcher = ToMatcher(form);
  switch (form.kind) {
    case Kind::kPresent:
      return matcher;
    case Kind::kExact:
      RETURN_IF_ERROR(CheckLiteralPath(form.text));
      return matcher;
    case Kind::kPrefix:
      if (!form.text.starts_with('/')) {
        return InvalidArgument("path ", Quoted(value), " can never match: a path begins with '/'");
      }
      RETURN_IF_ERROR(CheckPathPart(form.text, PathPart::kPrefix));
      return matcher;
    default:
      RETURN_IF_ERROR(CheckPathPart(form.text, PathPart::kSuffix));
      return matcher;
  }
}

StatusOr<Matcher> ReadPort(std::string_view value) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), port);
  if (error != std::errc() || end != value.data() + value.size() || port == 0) {
    return InvalidArgument("port ", Quoted(value), " must be a number from 1 to 65535");
  }
  return Matcher{Matcher::Kind::kPort, "", {}, port};
}

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

StatusOr<Matcher> ReadSni(std::string_view value) {
  TextForm form = ReadForm(value);
  if (!std::ranges::all_of(form.text, IsNameByte) ||
      (form.kind == Kind::kExact && form.text.ends_with('.'))) {
    return InvalidArgument("server name ", Quoted(value), " can never match: a caller's TLS asks ",
                           "for a name in lower case, without a trailing dot");
  }
  return ToMatcher(form);
}

// IPv4 addresses are judged as IPv4-mapped ones, so a wide range of IPv6 would take them in.
bool CoversIpv4(const IpRange& range) {
  IpAddress first = *ParseIpAddress("0.0.0.0");
  for (unsigned bit = 0; bit < std::min<unsigned>(range.prefix_bits, 96); ++bit) {
    unsigned mask = 0x80U >> (bit % 8);
    if ((range.address[bit / 8] & mask) != (first.bytes[bit / 8] & mask)) {
      return false;
    }
  }
  return true;
}

StatusOr<Matcher> ReadAddress(std::string_view value, bool all_ipv4_listed) {
  ASSIGN_OR_RETURN(IpRange range, ParseIpRange(value));
  bool ipv6 = value.find(':') != std::string_view::npos;
  if (ipv6 && CoversIpv4(range) && !all_ipv4_listed) {
    return InvalidArgument(
        "address block ", Quoted(value),
        " would also mean IPv4 addresses here: ", "write 2000::/3, or list 0.0.0.0/0 beside it");
  }
  return Matcher{Matcher::Kind::kIp, "", range, 0};
}

// Whether `value` speaks of a port, or would if it went on: behind the last ']' of an address.
bool HasPort(std::string_view value) {
  size_t after = value.starts_with('[') ? std::min(value.find(']'), value.size()) : 0;
  return value.find(':', after) != std::string_view::npos;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

bool HostBytes(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return IsNameByte(c) || c == ':' || c == '[' || c == ']'; });
}

}  // namespace

void ValueReader::Report(const Text& value, const Status& status) {
  findings_.Error(value.where, std::string(Message(status)));
}

namespace {

// Each value through `read`, equal ones once; an error is reported at its value.
template <class Read, class Report>
Matchers ReadEach(const Texts& values, Read read, Report report) {
  Matchers out;
  for (const Text& value : values) {
    if (StatusOr<Matcher> matcher = read(value.text); matcher.ok()) {
      if (std::ranges::find(out, *matcher) == out.end()) {
        out.push_back(*std::move(matcher));
      }
    } else {
      report(value, matcher.status());
    }
  }
  return out;
}

}  // namespace

Matchers ValueReader::Methods(const Texts& values) {
  return ReadEach(values, ReadMethod, [this](auto& v, const Status& s) { Report(v, s); });
}
Matchers ValueReader::Paths(const Texts& values) {
  return ReadEach(values, ReadPath, [this](auto& v, const Status& s) { Report(v, s); });
}
Matchers ValueReader::Ports(const Texts& values) {
  return ReadEach(values, ReadPort, [this](auto& v, const Status& s) { Report(v, s); });
}
Matchers ValueReader::Snis(const Texts& values) {
  return ReadEach(values, ReadSni, [this](auto& v, const Status& s) { Report(v, s); });
}
Matchers ValueReader::Addresses(const Texts& values) {
  bool all_ipv4 = std::ranges::any_of(values, [](const Text& v) { return v.text == "0.0.0.0/0"; });
  auto read = [all_ipv4](std::string_view value) { return ReadAddress(value, all_ipv4); };
  return ReadEach(values, read, [this](auto& v, const Status& s) { Report(v, s); });
}

// A request's host has no port here. `name` and `name:*` together say "with any port", which is the
// same; `name` alone is without one, which may be said only where it does not admit more.
std::optional<Matcher> ValueReader::Host(const Text& value, const Texts& all, Polarity polarity) {
  TextForm form = ReadForm(Lower(value.text));
  auto listed = [&](std::string_view text) {
    return std::ranges::any_of(all, [&](const Text& v) { return Lower(v.text) == text; });
  };
  if (form.kind == Kind::kPresent) {
    return Present();
  }
  if (form.text.empty() || !HostBytes(form.text) || form.text.find("..") != std::string::npos ||
      (form.kind != Kind::kPrefix && form.text.ends_with('.'))) {
    findings_.Error(value.where, Concat("host ", Quoted(value.text), " can never match: a host is ",
                                        "a name without trailing dot"));
    return std::nullopt;
  }
  if (HasPort(form.text)) {
    std::string name = form.text.substr(0, form.text.rfind(':'));
    bool any_port = form.kind == Kind::kPrefix && form.text.ends_with(':') && !HasPort(name);
    if (any_port && listed(name)) {
      return std::nullopt;  // Said by `name`.
    }
    findings_.Error(value.where,
                    Concat("host ", Quoted(value.text), " cannot be imported: a host is judged ",
                           "without its port here; list ", Quoted(name), " and ",
                           Quoted(name + ":*"), ", and say the port with ports"));
    return std::nullopt;
  }
  bool exact =
      form.kind == Kind::kPrefix || (form.kind == Kind::kExact && listed(form.text + ":*"));
  if (!exact && !options_.hosts_with_any_port) {
    if (polarity == Polarity::kAdmits) {
      findings_.Error(
          value.where,
          Concat("host ", Quoted(value.text), " means it without a port, and a host is ",
                 "judged without its port here, so more would be let in: ",
                 form.kind == Kind::kExact
                     ? Concat("list ", Quoted(form.text + ":*"), " too, or give ")
                     : "give ",
                 "--hosts-with-any-port if any port is meant"));
      return std::nullopt;
    }
    findings_.Warn(value.where, Concat("host ", Quoted(value.text), " now means it with any port: ",
                                       "more is refused than by the source"));
  }
  return ToMatcher(form);
}

Matchers ValueReader::Hosts(const Texts& values, Polarity polarity) {
  Matchers out;
  for (const Text& value : values) {
    if (std::optional<Matcher> matcher = Host(value, values, polarity)) {
      out.push_back(*std::move(matcher));
    }
  }
  return out;
}

IdPatterns ValueReader::Principals(const Texts& values) {
  IdPatterns out;
  for (const Text& value : values) {
    auto patterns = IdPattern::FromPrincipal(value.text, options_);
    if (patterns.ok()) {
      std::ranges::move(*patterns, std::back_inserter(out));
    } else {
      Report(value, patterns.status());
    }
  }
  return out;
}

IdPatterns ValueReader::Namespaces(const Texts& values) {
  IdPatterns out;
  for (const Text& value : values) {
    out.push_back(IdPattern::FromNamespace(value.text));
  }
  return out;
}

IdPatterns ValueReader::ServiceAccounts(const Texts& values, std::string_view ns) {
  IdPatterns out;
  for (const Text& value : values) {
    auto pattern = IdPattern::FromServiceAccount(value.text, ns);
    if (pattern.ok()) {
      out.push_back(*std::move(pattern));
    } else {
      Report(value, pattern.status());
    }
  }
  return out;
}

IdPatterns ValueReader::TrustDomains(const Texts& values) {
  IdPatterns out;
  for (const Text& value : values) {
    auto patterns = IdPattern::FromTrustDomain(value.text, options_);
    if (patterns.ok()) {
      std::ranges::move(*patterns, std::back_inserter(out));
    } else {
      Report(value, patterns.status());
    }
  }
  return out;
}

std::optional<Condition> ValueReader::Header(const WhenItem& item) {
  constexpr std::string_view kStart = "request.headers[";
  Condition condition;
  condition.field = Field::kHeader;
  condition.key = Lower(item.key.substr(kStart.size(), item.key.size() - kStart.size() - 1));
  condition.where = item.where;
  auto forms = [](const Texts& values) {
    std::vector<TextForm> out;
    for (const Text& value : values) {
      out.push_back(ReadForm(value.text));
    }
    return out;
  };
  std::vector<TextForm> wanted = forms(item.choice.values);
  std::vector<TextForm> unwanted = forms(item.choice.not_values);
  bool any_wanted = std::ranges::count(wanted, Kind::kPresent, &TextForm::kind) != 0;
  bool none_wanted = std::ranges::count(unwanted, Kind::kPresent, &TextForm::kind) != 0;
  if (!wanted.empty() && !unwanted.empty()) {
    findings_.Error(item.where,
                    Concat(item.key, " has values and notValues: one predicate stands on a header ",
                           "here; write those of the values that are meant"));
    return std::nullopt;
  }
  if (any_wanted) {
    condition.any_of = {Present()};
  } else if (none_wanted) {
    condition.any_of = {{Matcher::Kind::kAbsent, "", {}, 0}};
  } else if (!wanted.empty()) {
    std::ranges::transform(wanted, std::back_inserter(condition.any_of), ToMatcher);
    condition.many = true;  // Each line is judged by itself.
  } else {
    StatusOr<std::string> pattern = ComplementPattern(unwanted);
    if (!pattern.ok()) {
      findings_.Error(item.where, Concat(item.key, ": ", Message(pattern.status())));
      return std::nullopt;
    }
    condition.any_of = {{Matcher::Kind::kAbsent, "", {}, 0},
                        {Matcher::Kind::kRe2, *pattern, {}, 0}};
  }
  return condition;
}

Matchers BothAddresses(const Matchers& a, const Matchers& b) {
  auto covers = [](const IpRange& wide, const IpRange& narrow) {
    if (wide.prefix_bits > narrow.prefix_bits) {
      return false;
    }
    for (unsigned bit = 0; bit < wide.prefix_bits; ++bit) {
      unsigned mask = 0x80U >> (bit % 8);
      if ((wide.address[bit / 8] & mask) != (narrow.address[bit / 8] & mask)) {
        return false;
      }
    }
    return true;
  };
  Matchers both;
  for (const Matcher& left : a) {
    for (const Matcher& right : b) {
      const Matcher* narrow = covers(left.range, right.range)   ? &right
                              : covers(right.range, left.range) ? &left
                                                                : nullptr;
      if (narrow != nullptr && std::ranges::find(both, *narrow) == both.end()) {
        both.push_back(*narrow);
      }
    }
  }
  return both;
}

}  // namespace countersign::authz::import
