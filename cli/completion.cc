#include "cli/completion.h"

#include <CLI/CLI.hpp>

namespace countersign::cli {
namespace {

void AppendWords(const CLI::App& app, std::string& words) {
  for (const CLI::App* sub : app.get_subcommands({})) {
    words += sub->get_name() + " ";
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      words += "--" + name + " ";
    }
    for (const std::string& name : option->get_snames()) {
      words += "-" + name + " ";
    }
  }
}

// One `case` arm a verb: the words on the line that are verbs, joined by spaces, choose it.
void AppendCases(const CLI::App& app, const std::string& path, std::string& out) {
  std::string words;
  AppendWords(app, words);
  out += "    \"" + path + "\") words=\"" + words + "\" ;;\n";
  for (const CLI::App* sub : app.get_subcommands({})) {
    AppendCases(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), out);
  }
}

void AppendVerbs(const CLI::App& app, std::string& out) {
  for (const CLI::App* sub : app.get_subcommands({})) {
    out += " " + sub->get_name();
    AppendVerbs(*sub, out);
  }
}

std::string Script(const CLI::App& app) {
  std::string cases;
  AppendCases(app, "", cases);
  std::string verbs;
  AppendVerbs(app, verbs);
  return "_countersign() {\n"
         "  local words path=\"\" word known=\"" +
         verbs +
         " \"\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    [[ $known == *\" $word \"* ]] && path=\"${path:+$path }$word\"\n"
         "  done\n"
         "  case \"$path\" in\n" +
         cases +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
         "}\n"
         "complete -o default -F _countersign countersign\n";
}

}  // namespace

void AddCompletionCommand(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("completion", "print a completion script for a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  command->footer("Example:\n  source <(countersign completion bash)");
  command->callback([&app, &context, shell] {
    if (*shell == "zsh") {
      context.out << "autoload -U +X bashcompinit && bashcompinit\n";
    }
    context.out << Script(app);
  });
}

}  // namespace countersign::cli
