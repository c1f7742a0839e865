#include "authz/prove/witness.h"

#include <algorithm>
#include <array>

#include "authz/language/search.h"
#include "authz/language/trust_domain_language.h"
#include "authz/model/ip_text.h"
#include "identity/spiffe_id.h"

namespace countersign::authz::prove {
namespace {

using language::Constraint;
using language::Language;
using language::Side;

// Picker chooses the values of one witness.
class Picker {
 public:
  Picker(const Region& region, Space& space, const ValueTable& values)
      : region_(region), space_(space), values_(values) {}

  StatusOr<Witness> Run() {
    Witness witness;
    PolicyTestCase::Request& request = witness.request;
    request.http = region_.http;
    request.workload = FamiliarValues(Axis::kCallee)[0];
    if (request.http) {
      request.method = "GET";
      request.path = "/";
    }
    for (const auto& [coordinate, number] : region_.sets) {
      Take(space_.coordinate(coordinate), values_.at(number), request);
    }
    if (auto mesh = region_.sets.find(space_.CoordinateNumber({Axis::kMesh, ""}));
        mesh != region_.sets.end()) {
      RETURN_IF_ERROR(TakeMesh(*values_.at(mesh->second).mesh, request));
    }
    return witness;
  }

 private:
  static void Take(const Coordinate& coordinate, const ValueSet& set,
                   PolicyTestCase::Request& request) {
    // The shortest request reads best; but a caller says more than none.
    std::vector<std::string> texts;
    if (!set.absent || (coordinate.axis == Axis::kCaller && !set.once.empty())) {
      texts = set.once.empty() ? set.several : set.once;
    }
    std::string text = texts.empty() ? "" : texts[0];
    switch (coordinate.axis) {
      case Axis::kCallee:
        request.workload = text;
        break;
      case Axis::kCaller:
        request.caller = text;
        break;
      case Axis::kPeerIp:
        if (!text.empty()) {
          IpAddress address;
          std::ranges::copy(text, address.bytes.begin());
          request.peer_ip = FormatIpAddress(address);
        }
        break;
      case Axis::kPort:
        request.port = text.empty() ? uint16_t{0} : PortOf(text);
        break;
      case Axis::kSni:
        request.sni = text;
        break;
      case Axis::kMethod:
        request.method = text;
        break;
      case Axis::kPath:
        request.path = text;
        break;
      case Axis::kHost:
        request.host = text;
        break;
      case Axis::kHeader:
      case Axis::kQuery:
        for (const std::string& value : texts) {
          auto& list = coordinate.axis == Axis::kHeader ? request.headers : request.query;
          list.emplace_back(coordinate.key, value);
        }
        break;
      case Axis::kMesh:
        break;
    }
  }

  StatusOr<const Language*> LanguageOn(Axis axis) {
    auto set = region_.sets.find(space_.CoordinateNumber({axis, ""}));
    if (set != region_.sets.end() && values_.at(set->second).language != ValueSet::kNone) {
      return &values_.language(values_.at(set->second).language);
    }
    ASSIGN_OR_RETURN(const language::CanonicalValues* all, space_.Values(axis));
    return &all->language;
  }

  // Callee and caller in one trust domain, or in two.
  Status TakeMesh(bool same, PolicyTestCase::Request& request) {
    ASSIGN_OR_RETURN(const Language* callees, LanguageOn(Axis::kCallee));
    ASSIGN_OR_RETURN(const Language* callers, LanguageOn(Axis::kCaller));
    Language callee_domains = language::TrustDomainsOf(*callees);
    Language caller_domains = language::TrustDomainsOf(*callers);
    std::optional<std::string> first = language::Witness(callee_domains);
    std::optional<std::string> second = first;
    if (same) {
      Constraint both[] = {{.language = &callee_domains}, {.language = &caller_domains}};
      ASSIGN_OR_RETURN(first, language::FindText(both));
      second = first;
    } else if (first) {
      ASSIGN_OR_RETURN(second, AnyBut(caller_domains, *first));
      if (!second) {
        second = language::Witness(caller_domains);
        ASSIGN_OR_RETURN(first, AnyBut(callee_domains, second.value_or("")));
      }
    }
    if (!first || !second) {
      return Internal("a region of callers by trust domain is empty");
    }
    ASSIGN_OR_RETURN(request.workload, IdIn(*callees, *first));
    ASSIGN_OR_RETURN(request.caller, IdIn(*callers, *second));
    return absl::OkStatus();
  }

  static StatusOr<std::optional<std::string>> AnyBut(const Language& language,
                                                     const std::string& text) {
    Language one = Language::Literal(text);
    return language::FindOutside({.inner = language, .outer = one});
  }

  static StatusOr<std::string> IdIn(const Language& ids, const std::string& domain) {
    Language in = language::IdsIn(Language::Literal(domain));
    Constraint both[] = {{.language = &ids}, {.language = &in}};
    ASSIGN_OR_RETURN(std::optional<std::string> id, language::FindText(both));
    if (!id) {
      return Internal("no caller in a trust domain that has one");
    }
    return *std::move(id);
  }

  const Region& region_;
  Space& space_;
  const ValueTable& values_;
};

bool IsPlain(std::string_view text) {
  auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-").find(c) != std::string_view::npos;
  };
  bool id = text.starts_with("spiffe://");
  bool slash = text.starts_with('/');
  bool word = !text.empty() && text[0] >= 'A' && text[0] <= 'Z' && text.size() > 2;
  std::string_view rest = id ? text.substr(9) : text;
  return (id || slash || word) && std::ranges::all_of(rest, plain) && !text.ends_with('.');
}

std::string Scalar(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  if (IsPlain(text)) {
    return std::string(text);
  }
  std::string out = "\"";
  for (char c : text) {
    auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out += Concat("\\", std::string_view(&c, 1));
    } else if (byte < 0x20 || byte == 0x7f) {
      out += Concat("\\x", kHex.substr(byte >> 4, 1), kHex.substr(byte & 15, 1));
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

// Two values of one name are written as a list.
std::string Lines(const std::vector<std::pair<std::string, std::string>>& lines) {
  std::string out = "{ ";
  for (size_t i = 0; i < lines.size();) {
    size_t end = i;
    std::string values;
    for (; end < lines.size() && lines[end].first == lines[i].first; ++end) {
      values += Concat(end == i ? "" : ", ", Scalar(lines[end].second));
    }
    out += Concat(i == 0 ? "" : ", ", Scalar(lines[i].first), ": ",
                  end - i > 1 ? Concat("[", values, "]") : values);
    i = end;
  }
  return out + " }";
}

}  // namespace

StatusOr<Witness> MakeWitness(const Region& region, Space& space, const ValueTable& values) {
  ASSIGN_OR_RETURN(Witness witness, Picker(region, space, values).Run());
  for (const std::string& id : {witness.request.workload, witness.request.caller}) {
    if (!id.empty() && !identity::SpiffeId::Parse(id).ok()) {
      return ResourceExhausted("the only request found needs an ID that is too long: ", Quoted(id));
    }
  }
  auto odd = [](std::string_view text) {
    return std::ranges::any_of(text, [](char c) {
      auto byte = static_cast<uint8_t>(c);
      return byte < 0x20 || byte >= 0x7f;
    });
  };
  const PolicyTestCase::Request& request = witness.request;
  witness.replayable = !odd(request.path) && !odd(request.sni);
  for (const auto* lines : {&request.headers, &request.query}) {
    for (const auto& [name, value] : *lines) {
      witness.replayable = witness.replayable && !odd(name) && !odd(value);
    }
  }
  return witness;
}

std::string RequestText(const PolicyTestCase::Request& request) {
  std::string out = "{ ";
  auto add = [&](std::string_view name, std::string_view value) {
    out += Concat(out.size() > 2 ? ", " : "", name, ": ", value);
  };
  if (!request.http) {
    add("kind", "tcp");
  }
  if (!request.caller.empty()) {
    add("caller", Scalar(request.caller));
  }
  add("workload", Scalar(request.workload));
  if (!request.peer_ip.empty()) {
    add("peerIp", Concat("\"", request.peer_ip, "\""));
  }
  if (request.port != 0) {
    add("port", Concat(request.port));
  }
  if (!request.sni.empty()) {
    // The dot at a name's end says nothing and is taken off: one that is to stay needs another.
    add("sni", Scalar(Concat(request.sni, request.sni.ends_with('.') ? "." : "")));
  }
  if (request.http) {
    add("method", Scalar(request.method));
    add("path", Scalar(request.path));
  }
  if (!request.host.empty()) {
    add("host", Scalar(request.host));
  }
  if (!request.headers.empty()) {
    add("headers", Lines(request.headers));
  }
  if (!request.query.empty()) {
    add("query", Lines(request.query));
  }
  return out + " }";
}

OwnedView::OwnedView(const PolicyTestCase::Request& request) {
  view_.kind = request.http ? RequestKind::kHttp : RequestKind::kTcp;
  view_.callee = request.workload;
  view_.caller = request.caller;
  if (!request.peer_ip.empty()) {
    if (StatusOr<IpAddress> address = ParseIpAddress(request.peer_ip); address.ok()) {
      view_.peer_ip = *address;
    }
  }
  view_.port = request.port;
  view_.sni = request.sni;
  view_.method = request.method;
  view_.path = request.path;
  view_.host = request.host;
  for (const auto& [name, value] : request.headers) {
    headers_.push_back({name, value});
  }
  for (const auto& [name, value] : request.query) {
    query_.push_back({name, value});
  }
  view_.headers = headers_;
  view_.query = query_;
}

}  // namespace countersign::authz::prove
