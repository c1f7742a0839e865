#include "cli/completion.h"

#include <CLI/CLI.hpp>

#include "authz/kinds/field_table.h"

namespace countersign::cli {
namespace {

std::vector<std::string> Words(const CLI::Option& option) {
  std::vector<std::string> words;
  for (const std::string& name : option.get_lnames()) {
    words.push_back("--" + name);
  }
  for (const std::string& name : option.get_snames()) {
    words.push_back("-" + name);
  }
  return words;
}

// What the script knows of the verbs: `path` of "audit search" is "audit/search".
struct Tables {
  std::string paths = " ";   // Every verb.
  std::string valued = " ";  // Every option that takes a value.
  std::string cases;         // One arm a verb: the verbs below it and its options.
};

void Append(const CLI::App& app, const std::string& path, Tables& tables) {
  std::string verbs;
  std::string options;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& word : Words(*option)) {
      options += word + " ";
      if (option->get_items_expected_max() > 0) {
        tables.valued += word + " ";
      }
    }
  }
  for (const CLI::App* sub : app.get_subcommands({})) {
    verbs += sub->get_name() + " ";
  }
  tables.cases += "    \"" + path + "\") verbs=\"" + verbs + "\" options=\"" + options + "\" ;;\n";
  for (const CLI::App* sub : app.get_subcommands({})) {
    std::string below = path.empty() ? sub->get_name() : path + "/" + sub->get_name();
    tables.paths += below + " ";
    Append(*sub, below, tables);
  }
}

// Names come from the server and are only ever compared: compgen -W would expand what they hold.
constexpr const char* kNames = R"sh(_countersign_names() {
  timeout 2 "$command" "${server[@]}" get "$1" -o name 2>/dev/null | sed 's,^[^/]*/,,'
}
)sh";

// Reads the words before the cursor: `place` is the verb, `given` its arguments, `option` the
// option whose value is being typed. (`path` would be PATH to zsh.)
constexpr const char* kRead = R"sh(
  local line="${COMP_LINE:0:$COMP_POINT}" command="" place="" option="" word verbs options choices=""
  local server=() given=()
  local typed="${line##*[[:space:]]}"
  set -f
  for word in ${line%"$typed"}; do
    if [[ -z $command ]]; then
      command="$word"
    elif [[ -n $option ]]; then
      [[ $option == --server-socket ]] && server=(--server-socket "$word")
      option=""
    elif [[ $valued == *" $word "* ]]; then
      option="$word"
    elif [[ $word == --server-socket=* ]]; then
      server=("$word")
    elif [[ $word != -* && ${#given[@]} -eq 0 && $paths == *" ${place:+$place/}$word "* ]]; then
      place="${place:+$place/}$word"
    elif [[ $word != -* ]]; then
      given+=("$word")
    fi
  done
  set +f
)sh";

// Without a choice of its own the shell offers files. A word after a ':' is one of its own to bash.
constexpr const char* kChoose = R"sh(
  case "$option" in
    "") ;;
    -o | --output) choices="table wide json yaml name" ;;
    --effect) choices="allow deny" ;;
    --signal) choices="HUP USR1 USR2 TERM" ;;
    *) COMPREPLY=(); return ;;
  esac
  if [[ -z $option && $typed == -* ]]; then
    choices="$options"
  elif [[ -z $option ]]; then
    case "$place:${#given[@]}" in
      get:0) choices="registrations services routes policysets bundles proxies agents" ;;
      delete:0) choices="registration service route policyset agent" ;;
      get:1 | delete:1) choices="$(_countersign_names "${given[0]}")" ;;
      history:0 | rollback:0) choices="$(_countersign_names policysets)" ;;
      explain:0) choices="$kinds" ;;
      completion:0) choices="bash zsh" ;;
      *) choices="$verbs" ;;
    esac
  fi
  COMPREPLY=()
  set -f
  for word in $choices; do
    if [[ $word == "$typed"* ]]; then
      [[ $COMP_WORDBREAKS == *:* ]] && word="${word#"${typed%"${typed##*:}"}"}"
      COMPREPLY+=("$word")
    fi
  done
  set +f
}
complete -o default -F _countersign countersign
)sh";

std::string Script(const CLI::App& app) {
  Tables tables;
  Append(app, "", tables);
  std::string kinds;
  for (const authz::KindRow& kind : authz::AllKinds()) {
    kinds += kind.refused.empty() ? std::string(kind.name) + " " : "";
  }
  return Concat(kNames, "_countersign() {\n  local kinds=\"", kinds, "\"\n  local paths=\"",
                tables.paths, "\"\n  local valued=\"", tables.valued, "\"", kRead,
                "  case \"$place\" in\n", tables.cases, "  esac", kChoose);
}

}  // namespace

void AddCompletionCommand(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("completion", "print a completion script for a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  command->footer(
      "It offers verbs, options, kinds and, from the server, names.\n"
      "Example:\n  source <(countersign completion bash)");
  command->callback([&app, &context, shell] {
    if (*shell == "zsh") {
      context.out << "autoload -U +X bashcompinit && bashcompinit\n";
    }
    context.out << Script(app);
  });
}

}  // namespace countersign::cli
