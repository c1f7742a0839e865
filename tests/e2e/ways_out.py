#!/usr/bin/env python3
"""The story without root, and the story interrupted: each leaves no process and no file. Needs root to start with."""
import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SOMEBODY = 65500  # A user without a name, who owns nothing.


class Copy:
    """The programs and the example where any user may read them; a folder for what the run makes."""

    def __init__(self, programs):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cs-ways-out-"))
        self.folder.chmod(0o755)
        for name in ("countersign", "countersign-server", "countersign-agent", "countersign-proxy"):
            (self.folder / "bin").mkdir(exist_ok=True)
            shutil.copy2(programs / name, self.folder / "bin" / name)
        shutil.copytree(TOP / "examples", self.folder / "examples")
        shutil.copytree(TOP / "policies", self.folder / "policies")
        subprocess.run(["chmod", "-R", "a+rX", self.folder], check=True)

    def start(self, **options):
        return subprocess.Popen(["/usr/bin/python3", "-u", self.folder / "examples/shop/story.py", "--bin", self.folder / "bin"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}, **options)

    def remove(self):
        shutil.rmtree(self.folder)


def meshes():
    return {str(p) for p in pathlib.Path("/tmp").glob("cs-shop-*")}


def running_from(folder):
    """Processes of any user whose program lies in the folder, or that were started with it in their words."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if os.readlink(entry / "exe").startswith(str(folder)) or f"{folder}/" in words:
                found.append(f"{entry.name} {words}")
        except OSError:
            continue  # Ended meanwhile.
    return found


def left(copy, before):
    return sorted(meshes() - before) + running_from(copy.folder)


def without_root(copy):
    before = meshes()
    story = copy.start(user=SOMEBODY, group=SOMEBODY, extra_groups=[])
    said, _ = story.communicate(timeout=200)
    assert story.returncode == 0, said
    assert "isolates nothing" in said and "checks hold" in said, said
    assert not left(copy, before), left(copy, before)
    print("ok  without root: " + said.strip().splitlines()[-1])


def interrupted(copy, signal_number, status):
    before = meshes()
    story = copy.start()
    for line in story.stdout:
        if line.startswith("3."):  # All programs run, and a step is under way.
            break
    assert meshes() - before and running_from(copy.folder)
    story.send_signal(signal_number)
    rest = story.communicate(timeout=60)[0]
    assert story.returncode == status, (story.returncode, rest)
    assert "stopped" in rest, rest
    assert not left(copy, before), left(copy, before)
    print(f"ok  {signal.Signals(signal_number).name} in the middle of the story: exit status {status}, nothing is left")


def stopped_while_building(signal_number, status):
    """./quickstart of a fresh copy of the tree, stopped as soon as it configures: no compiler, no cmake goes on."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cs-fresh-"))
    tree = folder / "tree"
    try:
        shutil.copytree(TOP, tree, symlinks=True,
                        ignore=lambda at, names: {"build", ".git"} & set(names) if pathlib.Path(at) == TOP else set())
        quickstart = subprocess.Popen([tree / "quickstart", "--build-only"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, start_new_session=True)
        said = [next(line for line in quickstart.stdout if line.startswith("configuring"))]
        quickstart.send_signal(signal_number)
        rest = quickstart.communicate(timeout=30)[0]
        assert quickstart.returncode == status, (quickstart.returncode, said, rest)
        assert not running_from(tree), running_from(tree)
    finally:
        shutil.rmtree(folder)
    print(f"ok  {signal.Signals(signal_number).name} while it builds: exit status {status}, nothing goes on")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("error: this test becomes another user, and needs root for that", file=sys.stderr)
        return 1
    copy = Copy(arguments.bin.resolve())
    try:
        interrupted(copy, signal.SIGINT, 130)
        interrupted(copy, signal.SIGTERM, 130)
        without_root(copy)
        stopped_while_building(signal.SIGINT, 130)
        stopped_while_building(signal.SIGTERM, 143)
    finally:
        copy.remove()
    return 0


sys.exit(main())
