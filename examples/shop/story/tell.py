"""Runs the steps in order, prints each check, and cleans up on every way out."""
import argparse
import pathlib
import signal
import subprocess
import sys
import time

from . import steps_policy, steps_traffic, steps_trouble
from .mesh import Failed, Mesh, wait_until


class Story:
    """What the steps share: the mesh, and how to say and check things."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.checks = 0

    def step(self, number, title):
        print(f"\n{number}. {title}", flush=True)

    def note(self, text):
        print(f"   {text}", flush=True)

    def check(self, good, text, why=""):
        if not good:
            raise Failed(f"{text}{': ' if why else ''}{why}")
        self.checks += 1
        print(f"   ok  {text}", flush=True)


def bring_up(story):
    story.step(1, "The mesh comes up")
    if not story.mesh.root:
        story.note("not root: all runs under one user, which isolates nothing; the checks that need users are named")
    for line in story.mesh.start():
        if line.split()[0] in ("server", "agent", "documents", "application", "proxy"):
            story.check(True, line)
    wait_until("the proxies report that they are ready",
               lambda: all(p["ready"] for p in story.mesh.proxies().values()))
    proxies = story.mesh.proxies()
    story.check(set(proxies) == {"web", "orders-1", "orders-2", "billing"}
                and all(p["svid_serial"] and p["acknowledged"] for p in proxies.values()),
                "countersign get proxies lists four proxies, each with the policy digest and SVID it acknowledged",
                str(proxies))


STEPS = [bring_up, steps_traffic.reads_an_order, steps_traffic.is_denied, steps_traffic.are_refused,
         steps_traffic.rotates_under_load, steps_policy.changes_live, steps_trouble.survives_kills,
         steps_trouble.audit_stands, steps_trouble.leaves_nothing]


def main():
    parser = argparse.ArgumentParser(prog="story.py", description=__doc__)
    parser.add_argument("--bin", required=True, help="folder with the programs, e.g. build/release/bin")
    parser.add_argument("--keep", action="store_true", help="leave the mesh's folder for looking at")
    arguments = parser.parse_args()
    if not (pathlib.Path(arguments.bin) / "countersign").exists():
        parser.error(f"no programs in {arguments.bin}; run ./quickstart --build-only")

    def interrupted(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    mesh = Mesh(arguments.bin, print)
    story = Story(mesh)
    started = time.monotonic()
    keep = arguments.keep
    try:
        for step in STEPS:
            step(story)
        print(f"\nall {story.checks} checks hold ({time.monotonic() - started:.0f} s)")
        return 0
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (Failed, OSError, subprocess.SubprocessError, KeyError, RuntimeError) as error:
        keep = True
        logs = mesh.folder / "log"
        print(f"   FAILED  {error if isinstance(error, Failed) else repr(error)}\n\nlogs: {logs if logs.is_dir() else mesh.top}",
              file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        mesh.stop(keep)
