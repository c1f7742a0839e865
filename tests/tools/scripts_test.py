#!/usr/bin/env python3
"""The scripts that people and CI start: what is missing is said first, what is long shows progress, and clang-tidy
reads what changed. Needs root, to become a user who has to ask `sudo`."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SOMEBODY = 65500
failures = []


def check(good, text, said=""):
    print(f"{'ok ' if good else 'BAD'}  {text}{'' if good else f': {said}'}", flush=True)
    if not good:
        failures.append(text)


def program(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def programs_without(folder, *names):
    """A folder to be the whole PATH: everything that the host has, without the given names."""
    folder.mkdir()
    for source in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for entry in os.listdir(source):
            if entry not in names and not os.path.lexists(folder / entry):
                (folder / entry).symlink_to(f"{source}/{entry}")
    return str(folder)


def first_words(path, *words):
    """(exit status, what was printed) of ./check, which must end before it does anything that takes time."""
    child = subprocess.Popen([TOP / "check", *words], env={"PATH": path, "HOME": "/nonexistent"}, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        said = child.communicate(timeout=30)[0]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        said = "it went on\n" + child.communicate()[0]
    return child.returncode, said


def what_is_missing_is_said_first(folder):
    without_go = programs_without(folder / "without-go", "go")
    for level in ("--all", "--nightly"):
        status, said = first_words(without_go, level)
        check(status == 1 and said == "error: conformance needs Go 1.24 or newer; none is in PATH\n",
              f"check {level} without Go ends at once with a sentence", f"{status} {said}")
    old = pathlib.Path(without_go) / "go"
    program(old, "echo go1.19.8\n")
    status, said = first_words(without_go, "--all")
    check(status == 1 and said == "error: conformance needs Go 1.24 or newer; this is 1.19.8\n", "nor is an old one enough",
          f"{status} {said}")
    program(old, "echo go1.24.1\n")
    python = pathlib.Path(without_go) / "python3"
    python.unlink()
    program(python, '[ "$*" = "-m pip --version" ] && exit 1; exec /usr/bin/python3 "$@"\n')
    status, said = first_words(without_go, "--all")
    check(status == 1 and said == "error: conformance needs pip for python3 (package python3-pip)\n",
          "and without pip as well", f"{status} {said}")


# Apt's words, cut short; "missing" for dpkg-query: nothing is installed.
SUDO = """[ "$1" != env ] || { shift; shift; }
case "$1 $2" in
  "apt-get update") ;;
  "apt-get install")
    echo "0 upgraded, 120 newly installed, 0 to remove and 0 not upgraded."
    for n in $(seq 120); do echo "Get:$n mirror p$n [1 kB]"; done
    for n in $(seq 120); do echo "Unpacking p$n (1) ..."; done
    for n in $(seq 120); do echo "Setting up p$n (1) ..."; done
    [ ! -e "$(dirname "$0")/broken" ] || { echo "E: Unable to fetch some archives" >&2; exit 100; } ;;
  tee*) cat >/dev/null ;;
esac
"""


def installing_shows_progress(folder):
    folder.chmod(0o755)
    stubs = folder / "stubs"
    stubs.mkdir(mode=0o755)
    program(stubs / "sudo", SUDO)
    program(stubs / "dpkg-query", "exit 0\n")
    tools = folder / "tools"
    tools.mkdir(mode=0o755)
    for name in ("install_packages", "packages.txt"):
        shutil.copy2(TOP / "tools" / name, tools / name)

    def install():
        done = subprocess.run([tools / "install_packages", "run"], env={"PATH": f"{stubs}:/usr/bin:/bin"}, cwd="/",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=30, user=SOMEBODY, group=SOMEBODY, extra_groups=[])
        return done.returncode, done.stdout
    status, said = install()
    lines = said.splitlines()
    check(status == 0 and lines[0].startswith("installing from Debian's packages: ") and
          [line for line in lines if line.startswith("  ")] ==
          [f"  {word} {n} of 120" for word in ("fetched", "unpacked", "set up") for n in (25, 50, 75, 100, 120)],
          "install_packages counts what apt does", f"{status} {said}")
    (stubs / "broken").touch()
    status, said = install()
    check(status == 1 and "E: Unable to fetch some archives\nerror: apt-get failed; the lines above say why\n" in said,
          "and ends with apt's own words when it fails", f"{status} {said}")


class Repository:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words):
        identity = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
        return subprocess.run(["git", *words], cwd=self.folder, check=True, capture_output=True, text=True,
                              env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1",
                                   **identity}).stdout.strip()

    def commit(self, **files):
        for name, text in files.items():
            path = self.folder / name.replace("__", ".").replace("_of_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-qm", "one")
        return self.git("rev-parse", "HEAD")

    def changed(self, *words, **env):
        done = subprocess.run([TOP / "tools/changed_sources", *words], cwd=self.folder, capture_output=True, text=True,
                              timeout=60, env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **env})
        return done.returncode, done.stdout.split(), done.stderr


def tidy_reads_what_changed(folder):
    tree = Repository(folder / "tree")
    (tree.folder / "tests/fuzz").mkdir(parents=True)
    (tree.folder / "tests/fuzz/f.cc").write_text("int f;")
    first = tree.commit(base_of_a__cc="int a;", base_of_b__cc="int b;", base_of_c__h="int c();", base_of_c__cc="int c();",
                        base_of_user__cc='#include "base/c.h"\n')
    check(tree.changed()[1] == ["base/a.cc", "base/b.cc", "base/c.cc", "base/user.cc"], "of a first commit all is read",
          tree.changed())
    tree.commit(base_of_a__cc="int a2;")
    tree.commit(base_of_b__cc="int b2;")
    check(tree.changed() == (0, ["base/b.cc"], ""), "without origin/main: the last commit", tree.changed())
    tree.git("update-ref", "refs/remotes/origin/main", first)
    check(tree.changed() == (0, ["base/a.cc", "base/b.cc"], ""), "with it: every commit since", tree.changed())
    tree.git("update-ref", "refs/remotes/origin/main", "HEAD")
    check(tree.changed() == (0, ["base/b.cc"], ""), "on origin/main itself: the last commit", tree.changed())
    check(tree.changed(CHECK_BASE=first) == (0, ["base/a.cc", "base/b.cc"], ""), "CHECK_BASE names another", tree.changed())
    tree.commit(base_of_c__h="long c();")
    check(tree.changed() == (0, ["base/c.cc", "base/user.cc"], ""), "a changed header: its source, and who includes it",
          tree.changed())
    tree.commit(**{f"base_of_user{n}__cc": '#include "base/c.h"\n' for n in range(60)})
    tree.git("update-ref", "-d", "refs/remotes/origin/main")
    tree.commit(base_of_c__h="short c();", base_of_a__cc="int a3;")
    status, read, said = tree.changed()
    check(status == 0 and read[:2] == ["base/a.cc", "base/c.cc"] and len(read) == 24 and
          said == "changed_sources: 39 sources of this change are left to --nightly\n",
          "of a header that many include, some, and it says how many are left", (status, read, said))
    tree.commit(README="text")
    check(tree.changed() == (0, [], ""), "no source, no output", tree.changed())
    shallow = Repository(folder / "shallow")
    shallow.git("fetch", "-q", "--depth", "1", f"file://{tree.folder}", "main")
    shallow.git("reset", "-q", "--hard", "FETCH_HEAD")
    status, read, said = shallow.changed()
    check(status == 0 and not read and said.startswith("changed_sources: a shallow clone does not say what changed; "),
          "a shallow clone knows nothing, and it says so", (status, read, said))
    check(len(tree.changed("--all")[1]) == 64, "--all: every source but the fuzzers'", tree.changed("--all"))


def main():
    if os.geteuid() != 0:
        print("error: this test becomes another user, and needs root for that", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="cs-scripts-") as name:
        folder = pathlib.Path(name)
        what_is_missing_is_said_first(folder)
        installing_shows_progress(folder)
        tidy_reads_what_changed(folder)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
