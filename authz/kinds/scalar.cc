// Scalars of every type but predicates: from what stands in the file to one canonical spelling.
#include <algorithm>
#include <charconv>

#include "authz/kinds/nearest_word.h"
#include "authz/kinds/value.h"
#include "authz/model/ip_text.h"
#include "base/clock.h"
#include "base/status.h"
#include "identity/spiffe_id.h"

namespace countersign::authz {
namespace {

constexpr size_t kNameBytesMax = 63;       // As a DNS label: names become file and metric names.
constexpr size_t kUnixPathBytesMax = 107;  // sun_path.
constexpr size_t kDefaultTextBytesMax = 1024;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

// A plain decimal number: no sign, no leading zero, so that 010 and 0x10 are errors.
std::optional<int64_t> ParseDecimal(std::string_view text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  bool whole = error == std::errc() && end == text.data() + text.size();
  bool plain = !text.empty() && IsDigit(text.front()) && (text.size() == 1 || text.front() != '0');
  return whole && plain ? std::optional<int64_t>(number) : std::nullopt;
}

Status CheckBool(const yaml::Node& node, Value& out) {
  if (node.quoted || (node.text != "true" && node.text != "false")) {
    return InvalidArgument("must be true or false, not ", Quoted(node.text));
  }
  out.truth = node.text == "true";
  out.json = node.text;
  return absl::OkStatus();
}

Status CheckInteger(const yaml::Node& node, const FieldRow& row, Value& out) {
  size_t dots = row.detail.find("..");
  int64_t low = *ParseDecimal(row.detail.substr(0, dots));
  int64_t high = *ParseDecimal(row.detail.substr(dots + 2));
  std::optional<int64_t> number = ParseDecimal(node.text);
  if (node.quoted || !number.has_value() || *number < low || *number > high) {
    return InvalidArgument("must be a decimal number from ", low, " to ", high,
                           node.quoted ? " without quotes" : "", ", not ", Quoted(node.text));
  }
  out.number = *number;
  out.matcher = {.kind = Matcher::Kind::kPort, .text = {}, .range = {}, .port = 0};
  out.matcher.port = static_cast<uint16_t>(*number & 0xffff);
  out.json = Concat(*number);
  return absl::OkStatus();
}

Status CheckName(std::string_view text) {
  bool good =
      !text.empty() && text.size() <= kNameBytesMax && text.front() != '-' && text.back() != '-' &&
      std::ranges::all_of(text, [](char c) { return IsLower(c) || IsDigit(c) || c == '-'; });
  return good ? absl::OkStatus()
              : InvalidArgument("must be a name of lower-case letters, digits and '-', at most ",
                                kNameBytesMax, ", not ", Quoted(text));
}

Status CheckText(std::string_view text, const FieldRow& row) {
  size_t most =
      row.detail.empty() ? kDefaultTextBytesMax : static_cast<size_t>(*ParseDecimal(row.detail));
  return text.size() <= most
             ? absl::OkStatus()
             : InvalidArgument("has ", text.size(), " bytes: at most ", most, " are allowed");
}

Status CheckWord(std::string_view text, const FieldRow& row) {
  std::vector<std::string_view> words = SplitWords(row.detail);
  return std::ranges::find(words, text) != words.end()
             ? absl::OkStatus()
             : InvalidArgument("unknown word ", Quoted(text), DidYouMean(text, words));
}

Status CheckMethod(std::string_view text) {
  // RFC 9110 section 9.1: method names are case-sensitive tokens.
  bool good = !text.empty() && text.size() <= 32 && std::ranges::all_of(text, [](char c) {
    return IsUpper(c) || IsDigit(c) || c == '-' || c == '_';
  });
  if (good) {
    return absl::OkStatus();
  }
  if (text.find('*') != std::string_view::npos) {
    return InvalidArgument("'*' is no method: omit methods to mean every method");
  }
  return InvalidArgument("must be a method in upper case, not ", Quoted(text));
}

Status CheckDuration(std::string_view text, const FieldRow& row, Value& out) {
  ASSIGN_OR_RETURN(std::chrono::nanoseconds duration, ParseDuration(text));
  size_t dots = row.detail.find("..");
  std::chrono::nanoseconds low = *ParseDuration(row.detail.substr(0, dots));
  std::chrono::nanoseconds high = *ParseDuration(row.detail.substr(dots + 2));
  if (duration < low || duration > high) {
    return InvalidArgument("must be from ", FormatDuration(low), " to ", FormatDuration(high),
                           ", not ", Quoted(text));
  }
  out.number = duration.count();
  out.text = FormatDuration(duration);
  return absl::OkStatus();
}

StatusOr<int64_t> ParsePort(std::string_view text) {
  std::optional<int64_t> port = ParseDecimal(text);
  if (!port.has_value() || *port < 1 || *port > 65535) {
    return InvalidArgument("bad port ", Quoted(text), " (1 to 65535)");
  }
  return *port;
}

// ADDRESS:PORT with IPv6 in brackets, or unix:/PATH where the row says so.
Status CheckListen(std::string_view text, const FieldRow& row, Value& out) {
  if (text.starts_with("unix:")) {
    std::string_view path = text.substr(5);
    if (row.detail != "unix") {
      return InvalidArgument("must be ADDRESS:PORT, not ", Quoted(text));
    }
    return path.starts_with('/') && path.size() > 1 && path.size() <= kUnixPathBytesMax
               ? absl::OkStatus()
               : InvalidArgument("must be unix: and an absolute path of at most ",
                                 kUnixPathBytesMax, " bytes, not ", Quoted(text));
  }
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return InvalidArgument("must be ADDRESS:PORT, not ", Quoted(text));
  }
  std::string_view host = text.substr(0, colon);
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  std::string_view literal = bracketed ? host.substr(1, host.size() - 2) : host;
  StatusOr<IpAddress> address = ParseIpAddress(literal);
  if (!address.ok() || bracketed != (literal.find(':') != std::string_view::npos)) {
    return InvalidArgument("must be ADDRESS:PORT with an IP address (IPv6 in brackets), not ",
                           Quoted(text));
  }
  ASSIGN_OR_RETURN(int64_t port, ParsePort(text.substr(colon + 1)));
  std::string spelled = FormatIpAddress(*address);
  bool is_v6 = spelled.find(':') != std::string::npos;
  out.text = Concat(is_v6 ? "[" : "", spelled, is_v6 ? "]:" : ":", port);
  return absl::OkStatus();
}

// A DNS name in lower case: letters, digits, '-' in labels of at most 63 bytes.
Status CheckDnsName(std::string_view text) {
  size_t label = 0;
  bool good = !text.empty() && text.size() <= 253;
  for (char c : text) {
    label = c == '.' ? 0 : label + 1;
    good = good && (IsLower(c) || IsDigit(c) || (c == '-' && label > 1) || c == '.') && label <= 63;
  }
  good = good && label > 0 && !text.starts_with('.') && text.find("..") == std::string_view::npos;
  return good ? absl::OkStatus()
              : InvalidArgument("must be a DNS name in lower case, not ", Quoted(text));
}

Status CheckHostPort(std::string_view text) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return InvalidArgument("must be NAME:PORT, not ", Quoted(text));
  }
  RETURN_IF_ERROR(CheckDnsName(text.substr(0, colon)));
  return ParsePort(text.substr(colon + 1)).status();
}

Status CheckPercent(std::string_view text, Value& out) {
  std::optional<int64_t> number =
      text.ends_with('%') ? ParseDecimal(text.substr(0, text.size() - 1)) : std::nullopt;
  if (!number.has_value() || *number > 100) {
    return InvalidArgument("must be a percentage such as 20%, not ", Quoted(text));
  }
  out.number = *number;
  return absl::OkStatus();
}

Status CheckAbsolutePath(std::string_view text) {
  bool good = text.starts_with('/') && text.size() <= 1024 &&
              std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; }) &&
              text.find_first_of("*?#") == std::string_view::npos;
  return good ? absl::OkStatus()
              : InvalidArgument("must be one exact path that begins with /, not ", Quoted(text));
}

Status CheckHex(std::string_view text, Value& out) {
  auto is_hex = [](char c) {
    return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  if (text.size() != 64 || !std::ranges::all_of(text, is_hex)) {
    return InvalidArgument("must be 64 hexadecimal digits, not ", Quoted(text));
  }
  for (char& c : out.text) {
    c = IsUpper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return absl::OkStatus();
}

Status CheckGrpcName(std::string_view text, const FieldRow& row) {
  bool dots = row.detail == "service";
  bool good = !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [dots](char c) {
    return IsLower(c) || IsUpper(c) || IsDigit(c) || c == '_' || (dots && c == '.');
  });
  good = good && text.front() != '.' && text.back() != '.';
  return good ? absl::OkStatus()
              : InvalidArgument("must be the name of a gRPC ", row.detail, ", not ", Quoted(text));
}

Status CheckTyped(const yaml::Node& node, const FieldRow& row, Value& out) {
  switch (row.type) {
    case FieldType::kBool:
      return CheckBool(node, out);
    case FieldType::kInteger:
      return CheckInteger(node, row, out);
    case FieldType::kName:
      return CheckName(node.text);
    case FieldType::kText:
      return CheckText(node.text, row);
    case FieldType::kWord:
      return CheckWord(node.text, row);
    case FieldType::kSpiffeId:
      return identity::SpiffeId::Parse(node.text).status();
    case FieldType::kTrustDomain:
      return identity::TrustDomain::Parse(node.text).status();
    case FieldType::kDnsName:
      return CheckDnsName(node.text);
    case FieldType::kMethod:
      return CheckMethod(node.text);
    case FieldType::kCidr: {
      ASSIGN_OR_RETURN(out.matcher.range, ParseIpRange(node.text));
      out.text = FormatIpRange(out.matcher.range);
      return absl::OkStatus();
    }
    case FieldType::kIp: {
      ASSIGN_OR_RETURN(IpAddress address, ParseIpAddress(node.text));
      out.text = FormatIpAddress(address);
      return absl::OkStatus();
    }
    case FieldType::kDuration:
      return CheckDuration(node.text, row, out);
    case FieldType::kTime: {
      ASSIGN_OR_RETURN(WallTime time, ParseTime(node.text));
      out.number = time.time_since_epoch().count();
      out.text = FormatTime(time);
      return absl::OkStatus();
    }
    case FieldType::kListen:
      return CheckListen(node.text, row, out);
    case FieldType::kHostPort:
      return CheckHostPort(node.text);
    case FieldType::kPercent:
      return CheckPercent(node.text, out);
    case FieldType::kAbsolutePath:
      return CheckAbsolutePath(node.text);
    case FieldType::kHex64:
      return CheckHex(node.text, out);
    case FieldType::kGrpcName:
      return CheckGrpcName(node.text, row);
    default:
      break;
  }
  return Internal("the table has no scalar type for ", row.path);
}

}  // namespace

bool CheckScalar(const yaml::Node& node, const FieldRow& row, LoadContext& context, Value& out) {
  if (node.kind != yaml::Node::Kind::kScalar) {
    context.reporter.Error(
        node.where, Concat(KeyOf(row), " must be a single value, not ", KindName(node.kind)));
    return false;
  }
  if (node.text.empty() && (row.flags & kMayBeEmpty) == 0) {
    context.reporter.Error(node.where, Concat(KeyOf(row), " must not be empty"));
    return false;
  }
  out.text = node.text;
  if (Status status = CheckTyped(node, row, out); !status.ok()) {
    context.reporter.Error(node.where, Concat(KeyOf(row), ": ", Message(status)));
    return false;
  }
  if (out.json.empty()) {
    out.json = JsonText(out.text);
  }
  if (row.type == FieldType::kCidr) {
    out.matcher.kind = Matcher::Kind::kIp;
  } else if (row.type == FieldType::kMethod || row.type == FieldType::kWord) {
    out.matcher.kind = Matcher::Kind::kExact;
    out.matcher.text = out.text;
  }
  return true;
}

}  // namespace countersign::authz
