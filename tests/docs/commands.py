#!/usr/bin/env python3
"""Every command that the documentation, the units and --help show: verbs and options exist; scripts answer --help."""
import argparse
import pathlib
import re
import shlex
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAMS = ("countersign", "countersign-server", "countersign-agent", "countersign-proxy")
# Scripts that a page tells people to run and that take minutes or install things: their --help must work.
SCRIPTS_WITH_HELP = ("./quickstart", "./check", "bench/run", "tests/soak/soak.py")
SCRIPTS = ("tools/install_packages", "tools/build", "tools/fuzz", "tools/coverage", "tests/conformance/run",
           "tools/make_unicode_groups", "tools/changed_sources")


class Programs:
    def __init__(self, folder):
        self.folder, self.known = folder, {}

    def help(self, words):
        """The help of a verb, or None if there is no such verb."""
        if words not in self.known:
            done = subprocess.run([self.folder / words[0], *words[1:], "--help"], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=30)
            self.known[words] = done.stdout if done.returncode == 0 else None
        return self.known[words]

    def verbs(self, words):
        text = self.help(words) or ""
        _, _, below = text.partition("Subcommands:\n")
        return re.findall(r"^  (\S+)", below.partition("\n\n")[0], re.M)

    def faults(self, words):
        """What is wrong with one command line."""
        path, rest = (words[0],), list(words[1:])
        options = [word.partition("=")[0] for word in rest if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)]
        while True:
            verbs = self.verbs(path)
            at = next((i for i, word in enumerate(rest) if word in verbs), None)
            if at is None:
                break
            path, rest = (*path, rest[at]), rest[at + 1:]
        if self.verbs(path) and any(not word.startswith("-") for word in rest[:1]):
            yield f"no verb {rest[0]!r} of {' '.join(path)}"
        helps = [self.help(path[:n]) for n in range(1, len(path) + 1)]
        for option in options:
            if not any(re.search(rf"(^|[\s,]){re.escape(option)}([\s,=:]|$)", text, re.M) for text in helps):
                yield f"no option {option} of {' '.join(path)}"


def command_lines(text):
    """Shell text to commands: pipes, lists, continued lines and command substitutions apart."""
    text = re.sub(r"\\\n", " ", text)
    for line in text.splitlines():
        line = line.split(" # ")[0].strip()
        for part in re.split(r"&&|\|\||[|;&]|\bdo\b|\buntil\b|\$\(|\)", line):
            try:
                yield shlex.split(part.replace("...", ""))
            except ValueError:
                yield part.split()


def shown(path):
    """(how it stands there, the words) of every command of a page or a unit."""
    text = path.read_text()
    if path.suffix == ".service":
        blocks = re.findall(r"^ExecStart=(?:/usr/bin/)?((?:.*\\\n)*.*)$", text, re.M)
        spans = re.findall(r"`([^`\n]+)`", text)
    else:
        blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S) + re.findall(r"^    (\S.*)$", text, re.M)
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    for words in (words for block in (*blocks, *spans) for words in command_lines(block)):
        for at, word in enumerate(words):
            if word in PROGRAMS or word in SCRIPTS_WITH_HELP or word in SCRIPTS:
                yield words[at:]
                break


def examples(programs, words):
    """Every command that the help of a program shows, verb by verb."""
    for line in re.findall(r"^  ((?:\w+=\S+ )?countersign\S* .*)$", programs.help(words) or "", re.M):
        for found in command_lines(line):
            for at, word in enumerate(found):
                if word in PROGRAMS:
                    yield " ".join(words), found[at:]
                    break
    for verb in programs.verbs(words):
        yield from examples(programs, (*words, verb))


def run_script(script, *words):
    interpreter = [sys.executable] if script.endswith(".py") else []
    return subprocess.run([*interpreter, TOP / script, *words], capture_output=True, text=True, cwd=TOP, timeout=60,
                          stdin=subprocess.DEVNULL)


def script_faults():
    for script in SCRIPTS_WITH_HELP:
        for words, wanted in (["--help"], 0), (["--nonsense"], 2):
            done = run_script(script, *words)
            said = done.stdout if wanted == 0 else done.stderr
            if done.returncode != wanted or "usage" not in said.lower():
                yield f"{script} {words[0]}: exit status {done.returncode}, printed {said[:200]!r}"
    for script in SCRIPTS:
        if not (TOP / script).is_file() or not (TOP / script).stat().st_mode & 0o100:
            yield f"{script} is no program"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    programs = Programs(parser.parse_args().bin.resolve())
    pages = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md")),
             *sorted((TOP / "deploy").rglob("*.service"))]
    errors, count = list(script_faults()), 0
    for program in PROGRAMS:
        for where, words in examples(programs, (program,)):
            count += 1
            errors += [f"{where} --help: {' '.join(words)[:120]}: {fault}" for fault in programs.faults(tuple(words))]
    for path in pages:
        for words in shown(path):
            count += 1
            if words[0] in PROGRAMS:
                errors += [f"{path.name}: {' '.join(words)[:120]}: {fault}" for fault in programs.faults(tuple(words))]
            elif words[0] in SCRIPTS_WITH_HELP:
                text = run_script(words[0], "--help").stdout
                errors += [f"{path.name}: {words[0]} has no {word}" for word in words[1:]
                           if word.startswith("-") and not re.search(rf"(^|[\s,|\[]){re.escape(word)}\b", text, re.M)]
    print("\n".join(errors))
    print(f"{len(pages)} pages, {count} commands looked up, {len(errors)} faults")
    return 1 if errors or count < 80 else 0


sys.exit(main())
