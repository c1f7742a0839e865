#!/usr/bin/env python3
"""./quickstart and the story without root, interrupted, failed and staying: what is said, and that nothing is left.
Needs root, and the release build in build/release, which ./quickstart runs."""
import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SOMEBODY = 65500  # A user without a name, who owns nothing.
WEB_APPLICATION = 70010
SOON = 5.0  # Seconds from ./quickstart on a built tree to the story's first line.


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


def fails(copy, what, sentence):
    """The story where something is wrong: exit status 1, what failed, and logs that are there; nothing runs on."""
    before = meshes()
    said = copy.start().communicate(timeout=120)[0]
    kept = meshes() - before
    try:
        logs = re.search(r"^logs: (.*)$", said, re.M)
        assert "   FAILED  " in said and sentence in said and logs, said
        assert pathlib.Path(logs.group(1)).is_dir() and any(pathlib.Path(logs.group(1)).iterdir()), said
        assert len(kept) == 1 and logs.group(1).startswith(*kept), (kept, said)
        assert not running_from(copy.folder), running_from(copy.folder)
    finally:
        for folder in kept:
            shutil.rmtree(folder)
    print(f"ok  {what}: FAILED, and the logs are where it says")


def failures(copy):
    with socket.create_server(("127.0.0.1", 18443)):
        fails(copy, "a port is in use", "127.0.0.1:18443, for orders-1: python3")
    order = copy.folder / "examples/shop/applications/order-7.json"
    text = order.read_text()
    order.write_text(text.replace("kettle", "teapot"))
    try:
        fails(copy, "the order is another", "GET /orders/7 is 200")
    finally:
        order.write_text(text)


def quickstart(*words):
    """In a session of its own, as from a terminal: Ctrl-C reaches every process of its group."""
    return subprocess.Popen([TOP / "quickstart", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, start_new_session=True)


def begins_soon():
    """On a built tree the story begins at once; the best of three, since the machine may have other things to do."""
    took = []
    while len(took) < 3 and min(took, default=SOON) >= SOON:
        before, started = meshes(), time.monotonic()
        story = quickstart()
        first = next((line for line in story.stdout if line.startswith("1.")), "")
        took.append(time.monotonic() - started)
        next((line for line in story.stdout if line.startswith("   ok  server")), "")  # There is something to stop.
        os.killpg(story.pid, signal.SIGINT)
        rest = story.communicate(timeout=60)[0]
        assert first and story.returncode == 130, (first, story.returncode, rest)
        assert not meshes() - before, meshes() - before
    assert min(took) < SOON, took
    print(f"ok  ./quickstart on a built tree: the story begins after {min(took):.1f} s")


def printed(exports, command):
    """What a command that --stay prints says in a shell that has the printed exports."""
    done = subprocess.run(["bash", "-euc", "\n".join([*exports, command])], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, cwd="/", env={"PATH": "/usr/bin:/bin"})
    # The record of what was just asked may not be in the log yet.
    assert done.returncode == 0 and done.stderr in ("", "no decision matches\n"), (command, done)
    return done.stdout


def stays():
    """The mesh that --stay leaves running: what it prints works as printed, and Ctrl-C takes everything away."""
    stay, said = quickstart("--stay"), []
    try:
        for line in stay.stdout:
            said.append(line.rstrip())
            if line.startswith("  4. "):
                break
        text = "\n".join(said)
        exports = [line.strip() for line in said if line.startswith("  export ")]
        tries = [line.strip() for line in said if line.startswith("  countersign ")]
        assert len(exports) == 4 and tries == ["countersign get proxies", "countersign audit search --effect deny"], text
        steps = re.search(r"docs/walkthrough.md:\n  1. your program.*\n  2. .*Registration\n  3. .*Service\n  4. .*AccessPolicy", text)
        assert steps and (TOP / "docs/walkthrough.md").exists(), text
        folder = pathlib.Path(re.search(r"Ctrl-C stops it and removes (\S+)", text).group(1))
        assert folder.is_dir() and running_from(folder)
        table = printed(exports, tries[0])
        assert all(f"\n{name} " in table for name in ("web", "orders-1", "orders-2", "billing")), table
        done = subprocess.run(["curl", "-s", "-w", "%{http_code}", "-o", "/dev/null", "-X", "DELETE", "http://127.0.0.1:18080/orders/7"],
                              capture_output=True, text=True, user=WEB_APPLICATION, group=WEB_APPLICATION, extra_groups=[], cwd="/")
        assert done.stdout == "403", done
        deadline = time.monotonic() + 30
        while "shop/orders/nobody-purges" not in printed(exports, tries[1]):
            assert time.monotonic() < deadline, printed(exports, tries[1])
            time.sleep(0.1)
    finally:
        os.killpg(stay.pid, signal.SIGINT)
        rest = stay.communicate(timeout=60)[0]
    assert stay.returncode == 0, (stay.returncode, rest)
    assert not folder.exists() and not running_from(folder), running_from(folder)
    print("ok  ./quickstart --stay: what it prints works, and Ctrl-C leaves no process and no folder")


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
    if arguments.bin.resolve() != TOP / "build/release/bin":
        print(f"error: ./quickstart runs {TOP}/build/release/bin; give that folder as --bin", file=sys.stderr)
        return 1
    copy = Copy(arguments.bin.resolve())
    try:
        begins_soon()
        stays()
        failures(copy)
        interrupted(copy, signal.SIGINT, 130)
        interrupted(copy, signal.SIGTERM, 130)
        without_root(copy)
        stopped_while_building(signal.SIGINT, 130)
        stopped_while_building(signal.SIGTERM, 143)
    finally:
        copy.remove()
    return 0


sys.exit(main())
