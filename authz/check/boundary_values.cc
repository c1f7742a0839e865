#include "authz/check/boundary_values.h"

#include <array>

#include "authz/language/canonical_language.h"
#include "authz/language/matcher_language.h"
#include "authz/language/search.h"
#include "authz/model/ip_text.h"

namespace countersign::authz {
namespace {

using Values = std::vector<std::string>;

std::string WithoutLast(std::string_view text) {
  return std::string(text.substr(0, text.empty() ? 0 : text.size() - 1));
}

// A text itself and its nearest neighbours.
Values Around(const std::string& text) {
  Values values = {text, text + "x", text + "-x", text + "/x", WithoutLast(text)};
  if (!text.empty()) {
    std::string changed = text;
    changed.back() = changed.back() == 'x' ? 'y' : 'x';
    values.push_back(changed);
    values.push_back(text.substr(0, text.rfind('/')));
    values.push_back("x" + text);
  }
  return values;
}

// A suffix needs something in front of it, which is what the field begins with.
Values AroundSuffix(const std::string& text, Field field) {
  std::string lead = field == Field::kId     ? "spiffe://mesh.example/x"
                     : field == Field::kPath ? "/x"
                                             : "x";
  return {lead + text, text, lead + text + "x", lead + text.substr(1), lead + WithoutLast(text)};
}

// "/orders/{id}/**": the variables filled, with and without something below.
Values AroundTemplate(std::string_view pattern) {
  bool below = pattern.ends_with("/**");
  std::string path;
  for (std::string_view rest = below ? pattern.substr(0, pattern.size() - 3) : pattern;
       !rest.empty();) {
    size_t end = rest.find('/', 1);
    std::string_view segment = rest.substr(0, end);
    path += segment.starts_with("/{") ? std::string_view("/7") : segment;
    rest = end == std::string_view::npos ? "" : rest.substr(end);
  }
  return Around(path.empty() ? "/" : path);
}

std::string Step(const std::array<uint8_t, 16>& address, int step) {
  IpAddress moved{address};
  for (size_t i = moved.bytes.size(); i-- > 0;) {
    int byte = moved.bytes[i] + step;
    moved.bytes[i] = static_cast<uint8_t>(byte & 0xff);
    if (byte >= 0 && byte <= 0xff) {
      break;
    }
  }
  return FormatIpAddress(moved);
}

Values AroundRange(const IpRange& range) {
  std::array<uint8_t, 16> last = range.address;
  for (size_t bit = range.prefix_bits; bit < 128; ++bit) {
    last[bit / 8] = static_cast<uint8_t>(last[bit / 8] | (0x80U >> (bit % 8)));
  }
  return {Step(range.address, 0), Step(last, 0), Step(range.address, -1), Step(last, 1)};
}

// The shortest value that the pattern matches and a request can carry, and its neighbours.
Values AroundPattern(const Matcher& matcher, Field field) {
  StatusOr<language::Language> inside = language::LanguageOf(matcher);
  StatusOr<language::CanonicalValues> canonical = language::CanonicalValuesOf(field);
  if (!inside.ok() || !canonical.ok()) {
    return {};
  }
  std::array<language::Constraint, 2> both = {
      {{&*inside, language::Side::kInside}, {&canonical->language, language::Side::kInside}}};
  auto found = language::FindText(both, canonical->bytes_max);
  return found.ok() && found->has_value() ? Around(**found) : Values();
}

Values OfMethods(const std::string& text) {
  Values values = {text};
  for (const char* method : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}) {
    if (method != text) {
      values.emplace_back(method);
    }
  }
  return values;
}

}  // namespace

std::vector<std::string> NearValues(const Matcher& matcher, Field field) {
  switch (matcher.kind) {
    case Matcher::Kind::kIp:
      return AroundRange(matcher.range);
    case Matcher::Kind::kPort:
      return {Concat(matcher.port), Concat(matcher.port + 1), Concat(matcher.port - 1)};
    case Matcher::Kind::kTemplate:
      return AroundTemplate(matcher.text);
    case Matcher::Kind::kRe2:
      return AroundPattern(matcher, field);
    case Matcher::Kind::kSuffix:
      return AroundSuffix(matcher.text, field);
    case Matcher::Kind::kPresent:
    case Matcher::Kind::kAbsent:
      return {"", field == Field::kId       ? "spiffe://other.example/x"
                  : field == Field::kPath   ? "/x"
                  : field == Field::kMethod ? "GET"
                                            : "x"};
    case Matcher::Kind::kExact:
      if (field == Field::kProtocol) {
        return {"http", "tcp"};
      }
      if (field == Field::kMethod) {
        return OfMethods(matcher.text);
      }
      break;
    default:
      break;
  }
  return Around(matcher.text);
}

}  // namespace countersign::authz
