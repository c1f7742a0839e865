#include "cli/command.h"

#include <algorithm>
#include <array>
#include <ostream>

namespace countersign::cli {

void Context::Fail(const Status& status, ExitCode code) {
  // Messages may hold what files and peers sent, and some have several lines.
  std::string_view rest = Message(status);
  err << "error: ";
  for (;;) {
    size_t end = rest.find('\n');
    err << EscapeForTerminal(rest.substr(0, end)) << "\n";
    if (end == std::string_view::npos) {
      break;
    }
    rest.remove_prefix(end + 1);
  }
  exit_code = code;
}

StatusOr<OutputFormat> ParseOutputFormat(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, OutputFormat>, 6> kFormats = {
      {{"", OutputFormat::kTable},
       {"table", OutputFormat::kTable},
       {"wide", OutputFormat::kWide},
       {"json", OutputFormat::kJson},
       {"yaml", OutputFormat::kYaml},
       {"name", OutputFormat::kName}}};
  for (const auto& [name, format] : kFormats) {
    if (name == text) {
      return format;
    }
  }
  return InvalidArgument("unknown output format ", Quoted(text),
                         " (use table, wide, json, yaml or name)");
}

std::string EscapeForTerminal(std::string_view value) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out;
}

void Table::Print(std::ostream& out) const {
  std::vector<size_t> widths(heads_.size(), 0);
  auto measure = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < widths.size() && i < row.size(); ++i) {
      widths[i] = std::max(widths[i], EscapeForTerminal(row[i]).size());
    }
  };
  measure(heads_);
  std::for_each(rows_.begin(), rows_.end(), measure);
  auto print = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < widths.size() && i < row.size(); ++i) {
      std::string cell = EscapeForTerminal(row[i]);
      line += cell;
      if (i + 1 < row.size()) {
        line.append(widths[i] - cell.size() + 2, ' ');
      }
    }
    out << line << "\n";
  };
  print(heads_);
  std::for_each(rows_.begin(), rows_.end(), print);
}

}  // namespace countersign::cli
