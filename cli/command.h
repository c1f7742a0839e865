// What every verb of the `countersign` command shares: its output, its exit codes and its sockets.
//
// Each group of verbs is a function `void AddXCommands(CLI::App& app, Context& context)` in a file
// of its own; a verb's callback ends by setting context.exit_code.
#pragma once

#include <cstdlib>
#include <iosfwd>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace CLI {
class App;
}

namespace countersign::cli {

// Exit codes, the same for every verb; `countersign --help` prints them.
enum ExitCode : int {
  kGood = 0,
  kFindings = 1,  // Differs, denied, or a check found something.
  kError = 2,     // Wrong use, or it could not be done.
  kGaveUp = 3,    // A stated limit was reached before an answer.
};

enum class OutputFormat { kTable, kWide, kJson, kYaml, kName };

// Context is made by main and lives as long as the command. Not thread-safe.
struct Context {
  std::ostream& out = std::cout;
  std::ostream& err = std::cerr;
  std::istream& in = std::cin;
  int exit_code = kGood;
  std::string server_socket;  // --server-socket, COUNTERSIGN_SERVER_SOCKET
  std::string agent_socket;   // --agent-socket, COUNTERSIGN_AGENT_SOCKET, SPIFFE_ENDPOINT_SOCKET
  std::string audit_dir;      // --audit-dir, COUNTERSIGN_AUDIT_DIR

  // Fail prints "error: ..." and sets the exit code.
  void Fail(const Status& status, ExitCode code = kError);
};

// ParseOutputFormat reads the value of -o: table (the default), wide, json, yaml or name.
StatusOr<OutputFormat> ParseOutputFormat(std::string_view text);

// EscapeForTerminal makes a value from elsewhere safe to print: bytes that are not printable ASCII
// become \xNN.
std::string EscapeForTerminal(std::string_view value);

// Table prints columns as kubectl does: upper-case heads, two spaces between.
class Table {
 public:
  explicit Table(std::vector<std::string> heads) : heads_(std::move(heads)) {}
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void Print(std::ostream& out) const;

 private:
  std::vector<std::string> heads_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace countersign::cli
