"""Steps 7 and 8: programs are killed under load; the log is searched, verified and tampered with."""
import json
import os
import pathlib
import re
import shutil
import signal
import time

from .load import Load
from .mesh import wait_until
from .steps_traffic import DOOR, ORDERS, WEB


def denials(mesh, count):
    """Sends requests that policy denies; returns their decision ids."""
    ids = []
    for _ in range(count):
        status, body = mesh.curl("-X", "DELETE", f"{DOOR}/orders/7")
        if status != 403:
            raise RuntimeError(f"a deletion was answered with {status}")
        ids.append(json.loads(body)["decision"])
    return ids


def survives_kills(story):
    story.step(7, "Programs are killed; traffic goes on, and nothing is wider than policy at any moment")
    mesh = story.mesh
    forbidden = {"deletions by web": Load(mesh, 20, method="DELETE")}
    if mesh.root:
        forbidden["reads by a user that is not web's"] = Load(mesh, 20, uid=70099)
    for kill in (kill_server, kill_agent, kill_one_of_two, kill_own_proxy):
        kill(story, mesh)
        denials(mesh, 1)  # Still judged, and denied, after each of them.
    for name, load in forbidden.items():
        counts, failures, _, _ = load.stop()
        wide = {status: count for status, count in counts.items() if status < 400}
        story.check(not wide and counts.get(403, 0) > len(failures) + 40,
                    f"all the while, {counts.get(403, 0)} {name} were denied, and none was let through",
                    f"{counts} {len(failures)} {failures[:3]}")


def kill_server(story, mesh):
    load = Load(mesh, 100)
    os.kill(mesh.pid("server"), signal.SIGSTOP)  # Its supervisor would have it back in a moment.
    time.sleep(5)
    absent = load.sent()
    pid = mesh.kill("server")
    mesh.wait_restarted("server", pid)
    counts, failures, _, _ = load.stop()
    story.check(set(counts) == {200} and not failures and absent > 50,
                f"the server answers nothing for 5 s, then kill -9: {sum(counts.values())} requests, none failed",
                f"{counts} {failures[:3]} {absent} while it answered nothing")
    wait_until("the server answers again", lambda: mesh.run("get", "agents", ok=None).returncode == 0, 30)


def kill_agent(story, mesh):
    load = Load(mesh, 100)
    ids = denials(mesh, 20)
    pid = mesh.kill("agent")
    ids += denials(mesh, 20)
    mesh.wait_restarted("agent", pid)
    ids += denials(mesh, 20)
    counts, failures, _, _ = load.stop()
    story.check(set(counts) == {200} and not failures, f"kill -9 of the agent: {sum(counts.values())} requests, none failed",
                f"{counts} {failures[:3]}")

    def missing():
        found = [r["decision_id"] for r in mesh.json("audit", "search", "--caller", WEB, "--callee", ORDERS,
                                                     "--effect", "deny", "--since", "5m", "--limit", "10000")]
        if len(found) != len(set(found)):
            raise RuntimeError("a record stands in the log twice")
        return [i for i in ids if i not in found]

    wait_until("every denial is in the log", lambda: not missing(), 20)
    story.check(True, f"it recovers by itself, and all {len(ids)} denials around the kill are in the log, each once")


def kill_one_of_two(story, mesh):
    load = Load(mesh, 100)
    time.sleep(0.5)
    pid = mesh.kill("orders-1")
    application = mesh.kill("orders-app-1")
    mesh.wait_restarted("orders-1", pid)
    mesh.wait_restarted("orders-app-1", application)
    wait_until("orders-1 is ready again", lambda: mesh.ready(15021), 20)
    time.sleep(0.5)
    counts, failures, slowest, _ = load.stop()
    story.check(set(counts) == {200} and not failures,
                f"kill -9 of one of two orders: {sum(counts.values())} GETs, none failed (slowest {slowest * 1000:.0f} ms)",
                f"{counts} {failures[:3]} {len(failures)}")


def kill_own_proxy(story, mesh):
    pid = mesh.kill("web")
    mesh.wait_restarted("web", pid)
    wait_until("web's proxy is ready again", lambda: mesh.ready(15020), 20)
    status, _ = mesh.curl(f"{DOOR}/orders/7")
    story.check(status == 200, "kill -9 of web's own proxy: restarted by its supervisor, and serving")


def copy_log(mesh, copy):
    """Copies the log while the agent writes it; a tile that was renamed meanwhile asks for another try."""
    def copied():
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(mesh.folder / "audit", copy)
        except shutil.Error:
            return False
        return True

    wait_until("the log is copied", copied)


def audit_stands(story):
    story.step(8, "The log is searched, verified and tampered with")
    mesh = story.mesh
    found = wait_until("the denial is found", lambda: [
        r for r in mesh.json("audit", "search", "--caller", WEB, "--rule", "shop/orders/nobody-purges",
                             "--since", "1h", "--limit", "1000") if r["decision_id"] == mesh.denied])
    story.check(found[0]["callee"] == ORDERS, "countersign audit search finds the denial by caller, rule and time")
    done = mesh.run("audit", "verify")
    story.check(True, "countersign audit verify: " + done.stdout.strip().splitlines()[-1])
    copy = mesh.top / "audit-copy"
    copy_log(mesh, copy)
    bundle = max((p for p in copy.rglob("*") if p.is_file() and "entries" in str(p)), key=lambda p: p.stat().st_size)
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    env = dict(mesh.env(), COUNTERSIGN_AUDIT_DIR=str(copy))
    done = mesh.run("audit", "verify", ok=(1,), env=env)
    story.check(re.search(r"record \d+ ", done.stdout + done.stderr), "one byte flipped in a copy: it fails and names the record: "
                + (done.stdout + done.stderr).strip().splitlines()[-1])
    copy_log(mesh, copy)
    newest = max((p for p in copy.rglob("*") if p.is_file() and "entries" in str(p)), key=lambda p: str(p))
    os.truncate(newest, pathlib.Path(newest).stat().st_size // 2)
    done = mesh.run("audit", "verify", ok=(1,), env=env)
    story.check(True, "a truncated copy fails too: " + (done.stdout + done.stderr).strip().splitlines()[-1])


def leaves_nothing(story):
    mesh = story.mesh
    mesh.stop(keep=True)
    story.check(mesh.process.returncode == 0 and not mesh.left_running(),
                "the mesh stops, and none of its processes is left",
                f"exit status {mesh.process.returncode}, left: {mesh.left_running()}")
