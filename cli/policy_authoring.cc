#include "cli/policy_authoring.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "authz/kinds/json_schema.h"
#include "authz/kinds/loader.h"
#include "authz/yaml/format.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/policy_output.h"

namespace countersign::cli {
namespace {

struct FmtOptions {
  std::vector<std::string> paths;
  bool check = false;
  bool write = false;
};

// The set of good documents must not change: their digests and canonical texts are compared.
bool SameMeaning(const authz::SourceFile& before, const std::string& after) {
  std::vector<authz::SourceFile> old_file = {before};
  std::vector<authz::SourceFile> new_file = {{before.path, after}};
  authz::LoadResult was = authz::Load(old_file);
  authz::LoadResult is = authz::Load(new_file);
  auto digests = [](const authz::LoadResult& result) {
    std::vector<std::string> all;
    for (const auto& set : result.sets) {
      all.push_back(set->digest);
    }
    return all;
  };
  return digests(was) == digests(is) && was.diagnostics.size() == is.diagnostics.size();
}

// A file keeps its permissions.
Status Rewrite(const std::string& path, const std::string& text) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) {
    return ErrnoError(errno, path);
  }
  return WriteFileAtomically(path, text, info.st_mode & 0777);
}

// Formats one file. Returns whether it was laid out already.
StatusOr<bool> FormatFile(Context& context, const authz::SourceFile& file,
                          const FmtOptions& options) {
  StatusOr<std::string> text = authz::yaml::FormatText(file.content);
  if (!text.ok()) {
    return InvalidArgument(file.path, ":", Message(text.status()));
  }
  if (!SameMeaning(file, *text)) {
    return Internal(file.path,
                    ": the formatted text would mean something else; it is left as it is");
  }
  bool same = *text == file.content;
  if (options.write && !same) {
    RETURN_IF_ERROR(Rewrite(file.path, *text));
  }
  if (!options.write && !options.check) {
    context.out << *text;
  } else if (!same) {
    context.out << EscapeForTerminal(file.path) << "\n";
  }
  return same;
}

void Fmt(Context& context, const FmtOptions& options) {
  StatusOr<std::vector<authz::SourceFile>> files = ReadPaths(options.paths);
  if (!files.ok()) {
    context.Fail(files.status());
    return;
  }
  if (files->size() > 1 && !options.write && !options.check) {
    context.Fail(InvalidArgument("one file is printed; for ", files->size(),
                                 " files say -w (rewrite them) or --check (name them)"));
    return;
  }
  bool all_same = true;
  for (const authz::SourceFile& file : *files) {
    if (options.write && file.path == "-") {
      context.Fail(InvalidArgument("-w cannot rewrite standard input"));
      return;
    }
    StatusOr<bool> same = FormatFile(context, file, options);
    if (!same.ok()) {
      context.Fail(same.status());  // The others are still formatted.
      continue;
    }
    all_same = all_same && *same;
  }
  if (context.exit_code == kGood && options.check && !all_same) {
    context.exit_code = kFindings;
  }
}

}  // namespace

void AddPolicyFmt(CLI::App& policy, Context& context) {
  CLI::App* fmt = policy.add_subcommand("fmt", "lay policy files out in the one usual way");
  auto options = std::make_shared<FmtOptions>();
  fmt->add_option("paths", options->paths, "files or folders; - is standard input")->required();
  auto* check = fmt->add_flag("--check", options->check,
                              "name the files that are laid out otherwise, change nothing");
  fmt->add_flag("-w,--write", options->write, "rewrite the files, and name those that changed")
      ->excludes(check);
  fmt->footer(
      "Examples:\n  countersign policy fmt policies/shop/orders.yaml\n"
      "  countersign policy fmt --check policies\n  countersign policy fmt -w policies\n"
      "Only white space changes: comments, quotes and the order of keys stay, and so does the\n"
      "digest. Ends with 1 if --check names a file, with 2 if a file cannot be formatted.");
  fmt->callback([&context, options] { Fmt(context, *options); });
}

void AddSchema(CLI::App& app, Context& context) {
  CLI::App* schema = app.add_subcommand("schema", "print the JSON Schema of documents");
  auto kind = std::make_shared<std::string>();
  schema->add_option("kind", *kind, "one kind; none: all, told apart by `kind`");
  schema->footer(
      "Examples:\n  countersign schema > countersign.schema.json\n"
      "  countersign schema accesspolicy\n"
      "For editors: draft 7, made from the table that the loader itself reads.");
  schema->callback([&context, kind] {
    StatusOr<std::string> text =
        kind->empty() ? StatusOr<std::string>(authz::JsonSchema()) : authz::JsonSchemaOf(*kind);
    if (!text.ok()) {
      context.Fail(text.status());
      return;
    }
    context.out << *text;
  });
}

}  // namespace countersign::cli
