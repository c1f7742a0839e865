#!/usr/bin/env python3
"""The shop mesh under steady load for a long time: rotations all the while, and a kill at seeded moments.

No permitted request may fail, no forbidden one may pass, and no process may grow. Needs root; see --help.
"""
import argparse
import os
import pathlib
import random
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "examples/shop"))
sys.dont_write_bytecode = True

from story.load import Load  # noqa: E402
from story.mesh import Failed, Mesh, wait_until  # noqa: E402

WATCHED = ("server", "agent", "web", "orders-1", "orders-2", "billing")
# What may die without a failed request: web's own proxy is the one door that its application has.
MORTAL = ("server", "agent", "orders-1", "orders-2", "billing")
READY = {"orders-1": 15021, "orders-2": 15022, "billing": 15023}
RSS_GROWTH_KIB = 24 << 10  # The allocator's and gRPC's slack; a leak of 1 KiB a request shows in minutes.
FDS_GROWTH = 40            # Pools that the load fills.


def facts(pid):
    """(open descriptors, private memory in KiB)"""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Clean", "Private_Dirty")))
    return len(os.listdir(f"/proc/{pid}/fd")), private


class Soak:
    def __init__(self, mesh, seed):
        self.mesh, self.random, self.begun = mesh, random.Random(seed), {}
        self.kills = 0

    def look(self):
        """Compares each process with what it was a while after its start."""
        for name in WATCHED:
            pid = self.mesh.pid(name)
            now = facts(pid)
            first = self.begun.get(name)
            if first is None or first[0] != pid:
                self.begun[name] = (pid, time.monotonic(), now)
            elif time.monotonic() - first[1] < 45:
                self.begun[name] = (pid, first[1], now)  # Still warming up: pools, caches, rings.
            elif now[0] > first[2][0] + FDS_GROWTH or now[1] > first[2][1] + RSS_GROWTH_KIB:
                raise Failed(f"{name} (pid {pid}) grew from {first[2]} to {now} (descriptors, private KiB)")

    def kill_one(self):
        name = self.random.choice(MORTAL)
        old = self.mesh.kill(name)
        self.mesh.wait_restarted(name, old)
        if name in READY:
            wait_until(f"{name} is ready again", lambda: self.mesh.ready(READY[name]), 30)
        self.kills += 1

    def run(self, minutes, kill_every):
        allowed, forbidden = Load(self.mesh, 200), Load(self.mesh, 20, method="DELETE")
        stranger = Load(self.mesh, 20, uid=70099)
        end = time.monotonic() + minutes * 60
        next_kill = time.monotonic() + kill_every
        told = time.monotonic()
        while time.monotonic() < end:
            time.sleep(1)
            self.look()
            if time.monotonic() >= next_kill:
                self.kill_one()
                next_kill = time.monotonic() + self.random.uniform(0.5, 1.5) * kill_every
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{(end - told) / 60:.0f} minutes to go, {self.kills} kills", flush=True)
        counts, failures, slowest, seconds = allowed.stop()
        if set(counts) != {200} or failures:
            raise Failed(f"permitted requests failed: {counts} {len(failures)} {failures[:5]}")
        for load in (forbidden, stranger):
            refused, _, _, _ = load.stop()
            if any(status < 400 for status in refused) or not refused.get(403):
                raise Failed(f"forbidden requests: {refused}")
        self.mesh.run("audit", "verify")
        print(f"{counts[200]} permitted requests in {seconds:.0f} s, none failed (slowest {slowest * 1000:.0f} ms); "
              f"{self.kills} kills; nothing forbidden passed; the log verifies; nothing grew")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--kill-every", type=float, default=25, help="seconds between kills, on average")
    parser.add_argument("--seed", type=int, default=None, help="of the kills; printed, so that a run can be repeated")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("error: the soak runs programs under several users, and needs root for that", file=sys.stderr)
        return 1
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    mesh = Mesh(arguments.bin, print)
    keep = True
    try:
        mesh.start()
        Soak(mesh, seed).run(arguments.minutes, arguments.kill_every)
        keep = False
        return 0
    except Failed as error:
        print(f"FAILED  {error}\nlogs: {mesh.folder}/log", file=sys.stderr)
        return 1
    finally:
        mesh.stop(keep)


sys.exit(main())
