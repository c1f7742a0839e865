#!/usr/bin/env python3
"""What people see at the command line, on a real mesh: exit codes of every verb, `dev up` on a host that is in the way,
what `get` prints fed to `apply`, `doctor` on a good host. Needs root."""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "examples/shop"))
sys.dont_write_bytecode = True

from story.mesh import Failed, Mesh, wait_until  # noqa: E402
from story.steps_trouble import copy_log  # noqa: E402

WEB = "spiffe://shop.example/ns/prod/sa/web"
ORDERS = "spiffe://shop.example/ns/prod/sa/orders"
NO_DECISION = "0" * 32
failures = []


def check(good, text, said=""):
    print(f"{'ok ' if good else 'BAD'}  {text}{'' if good else ': ' + said}", flush=True)
    if not good:
        failures.append(text)


class Host:
    """A running mesh, a folder for files, and the command."""

    def __init__(self, mesh):
        self.mesh, self.folder = mesh, mesh.top / "files"
        self.folder.mkdir(mode=0o755)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def run(self, *words, stdin="", uid=None, env=None):
        account = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
        done = subprocess.run([self.mesh.cli_for_users(), *map(str, words)], env=env or self.mesh.env(), input=stdin,
                              capture_output=True, text=True, timeout=60, cwd=self.folder, **account)
        return done.returncode, done.stdout, done.stderr

    def ends(self, status, *words, **options):
        got, out, err = self.run(*words, **options)
        check(got == status, f"exit status {status}: {' '.join(map(str, words))[:100]}", f"{got}: {out[-300:]}{err[-300:]}")
        if status == 2:
            check(err.startswith("error: ") and not out, "  and says why on standard error alone", err + out)
        return out

    def dev_up(self, *words):
        """(exit status, what was printed, seconds) of a `dev up` that is expected to end by itself."""
        started = time.monotonic()
        done = subprocess.run([self.mesh.programs / "countersign", "dev", "up", *map(str, words)], env=self.mesh.env(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90)
        return done.returncode, done.stdout, time.monotonic() - started


BROKEN_SET = """apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: {name: shop}
spec: {owner: {id: spiffe://shop.example/people/ana}, scope: {under: spiffe://shop.example}}
---
apiVersion: countersign.dev/v1alpha1
kind: PolicyTest
metadata: {name: t}
spec:
  cases:
    - {name: c, request: {workload: spiffe://shop.example/ns/prod/sa/orders, method: GET, path: /}, expect: allow}
"""


def denied_request(host):
    """The id of a decision that is in the log."""
    status, body = host.mesh.curl("-X", "DELETE", "http://127.0.0.1:18080/orders/7")
    check(status == 403, "a request is denied", f"{status} {body}")
    decision = json.loads(body)["decision"]
    wait_until("the record is in the log", lambda: host.run("audit", "show", decision)[0] == 0)
    return decision


def exit_codes_of_the_server_verbs(host):
    shop = TOP / "examples/shop"
    changed = host.file("changed.yaml", host.run("get", "service", "orders", "-o", "yaml")[1].replace(
        "/healthz", "/healthy"))
    broken = host.file("broken.yaml", BROKEN_SET)
    for words in (["get", "proxies"], ["get", "agents"], ["agents"], ["history", "shop"], ["bundle", "show"],
                  ["token", "generate", "--node", "node-9"], ["diff", "-f", shop], ["apply", "-f", shop]):
        host.ends(0, *words)
    host.ends(1, "diff", "-f", changed)
    host.ends(1, "apply", "-f", broken)
    for words in (["get", "nonsense"], ["get", "service", "none"], ["history", "none"], ["rollback", "none"],
                  ["rollback", "shop"], ["delete", "service", "none"], ["delete", "proxy", "web"],
                  ["token", "generate", "--node", "a b"], ["apply", "-f", "/nonexistent"], ["get", "proxies", "-o", "xml"],
                  ["get", "agents", "none"], ["bundle"], ["--server-socket", "/nonexistent", "get", "proxies"]):
        host.ends(2, *words)
    status, out, err = host.run("diff", "-f", host.file("nonsense.yaml", "kind: Nonsense\n"))
    check(status == 2 and "nonsense.yaml:1:" in err, "exit status 2: diff of documents that do not load", out + err)


def exit_codes_of_the_local_verbs(host, decision):
    policies = TOP / "policies"
    request = f"caller: {WEB}\nworkload: {ORDERS}\nmethod: GET\npath: /orders/7\n"
    allowed, denied = host.file("allowed.yaml", request), host.file("denied.yaml", request.replace("GET", "PATCH"))
    for words in (["policy", "check", policies], ["policy", "test", policies], ["policy", "eval", policies, "-f", allowed],
                  ["explain"], ["explain", "service.spec"], ["completion", "bash"], ["audit", "search", "--effect", "deny"],
                  ["audit", "show", decision], ["audit", "explain", decision], ["audit", "verify"], ["audit", "export"],
                  ["--version"], ["--help"]):
        host.ends(0, *words)
    copy = host.mesh.top / "log-copy"
    copy_log(host.mesh, copy)
    entries = max((p for p in copy.rglob("*") if p.is_file() and "entries" in str(p)), key=lambda p: p.stat().st_size)
    data = bytearray(entries.read_bytes())
    data[len(data) // 2] ^= 1
    entries.write_bytes(data)
    host.ends(1, "audit", "verify", "--audit-dir", copy)
    host.ends(1, "policy", "eval", policies, "-f", denied)
    host.ends(1, "policy", "test", host.folder / "broken.yaml")
    host.ends(1, "policy", "check", host.folder / "nonsense.yaml")
    for words in (["policy", "check", "/nonexistent"], ["policy", "test"], ["policy", "eval", policies, "-f", "/nonexistent"],
                  ["explain", "nonsense"], ["completion", "fish"], ["audit", "search", "--effect", "maybe"],
                  ["audit", "show", NO_DECISION], ["audit", "explain", "zz"], ["audit", "verify", "--proof", "x"],
                  ["audit", "export", "--audit-dir", "/tmp"], ["audit", "search", "--audit-dir", "/nonexistent"],
                  ["doctor", "-o", "xml"], ["doctor", "-f", host.folder / "nonsense.yaml"], ["dev", "up", "/nonexistent"],
                  ["nonsense"], []):
        host.ends(2, *words)


def exit_codes_of_svid(host):
    own = host.folder / "svid"
    own.mkdir()
    os.chown(own, 70020, 70020)
    host.ends(0, "svid", "fetch", uid=70020)
    host.ends(0, "svid", "write", "--dir", own, "--once", uid=70020)
    host.ends(1, "svid", "fetch", uid=65500)
    host.ends(1, "svid", "write", "--dir", own, "--once", uid=65500)
    host.ends(2, "svid", "fetch", "--agent-socket", "/nonexistent")
    host.ends(2, "svid", "write", "--dir", "/nonexistent", "--once", uid=70020)
    host.ends(2, "svid", "fetch", "--timeout", "soon")
    silent = host.folder / "silent.sock"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(silent))
        agent.listen()
        host.ends(3, "svid", "fetch", "--agent-socket", silent, "--timeout", "1s")


def lists_go_round(host):
    for kind in ("registrations", "services", "routes", "policysets"):
        for form in ("json", "yaml"):
            _, shown, _ = host.run("get", kind, "-o", form)
            for verb in ("diff", "apply"):
                status, out, err = host.run(verb, "-f", "-", stdin=shown)
                check(status == 0 and "configured" not in out, f"get {kind} -o {form} | {verb} -f - changes nothing", out + err)


def doctor_on_a_good_host(host):
    mesh = host.mesh.folder
    words = ["doctor", "--server-data", mesh / "server/data", "--agent-data", mesh / "agent/data", "-o", "json"]
    status, out, err = host.run(*words)
    wrong = [f for f in json.loads(out) if f["health"] != "good" and not f["check"].startswith(("clock.", "kernel.", "limits."))]
    check(status == 0 and not wrong, "doctor finds nothing to mend in the mesh's folders, sockets and certificates", str(wrong) + err)
    _, services, _ = host.run("get", "services", "-o", "json")
    status, out, err = host.run("doctor", "-f", "-", "-o", "json", stdin=services)
    held = [f for f in json.loads(out) if f["check"] == "port.listen"]
    check(held and all(f["health"] == "good" for f in held), "doctor -f: the Services' ports are free or their proxies'", str(held))
    os.chmod(mesh / "server/data/server.key", 0o644)
    status, out, _ = host.run("doctor", "--server-data", mesh / "server/data")
    os.chmod(mesh / "server/data/server.key", 0o600)
    check(status == 1 and "mend: chmod 0600" in out, "exit status 1: doctor, of a key that others may read", out)


# What stands for a value in the pages, and the exit status that each command shown there must have. None: runs on.
VALUES = {"NAME": "node-8", "DIR": "written", "F": "reader.pid", "FILES": str(TOP / "examples/shop/services.yaml")}
SHOWN = {
    "countersign svid write --dir DIR --signal HUP --pid-file F": None,
    "countersign token generate --node NAME": 0,
    "countersign get proxies": 0,
    "countersign audit verify": 0,
    "countersign pdp run": 2,  # It says what is missing; docs/pdp.md runs it whole.
    "countersign doctor": 0,
    "countersign doctor -o wide": 0,
    "countersign doctor -f FILES": 0,
}
STARTED = "countersign dev up FOLDER"  # As this mesh was.


def what_the_pages_show_runs(host):
    pages = [(TOP / "docs" / name).read_text() for name in ("operations.md", "threat_model.md")]
    shown = {command for page in pages for command in re.findall(r"`(countersign (?:[^`\n]+))`", page)} - {STARTED}
    check(shown == SHOWN.keys(), "every command of operations.md and threat_model.md has its row here", str(shown ^ SHOWN.keys()))
    for text in sorted(shown & SHOWN.keys()):
        words = [VALUES.get(word, word) for word in text.split()[1:]]
        if SHOWN[text] is not None:
            host.ends(SHOWN[text], *words)
        else:
            writes_until_stopped(host, words)


def writes_until_stopped(host, words):
    """`svid write` for a program that reads certificates from disk: the files come, and the program is told of the next."""
    folder = host.folder / VALUES["DIR"]
    folder.mkdir()
    os.chown(folder, 70020, 70020)
    account = {"user": 70020, "group": 70020, "extra_groups": [], "cwd": host.folder}
    reader = subprocess.Popen(["sh", "-c", "trap 'exit 7' HUP; echo ready; while :; do sleep 0.1; done"], stdout=subprocess.PIPE,
                              **account)
    writer = None
    try:
        reader.stdout.readline()
        host.file(VALUES["F"], f"{reader.pid}\n")
        writer = subprocess.Popen([host.mesh.cli_for_users(), *words], env=host.mesh.env(), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, **account)
        wait_until("the SVID is written", lambda: all((folder / name).exists() for name in ("svid.pem", "key.pem", "bundle.pem")))
        wait_until("its reader is told of the next", lambda: reader.poll() is not None, 60)
        check(reader.returncode == 7, f"countersign {' '.join(words)}: writes, and signals", str(reader.returncode))
        check(writer.poll() is None, "and goes on", str(writer.returncode))
    finally:
        for child in (reader, writer):
            if child is not None and child.poll() is None:
                child.terminate()
                child.wait(20)


def a_baseline_beside_the_shop(host):
    """policies/baseline-deny-all in a mesh: it takes nothing that the shop allows, and opens nothing."""
    status, said, err = host.run("apply", "-f", TOP / "policies/baseline-deny-all")
    check(status == 0 and "policyset/baseline-deny-all created" in said, "the deny-all baseline is applied beside the shop", said + err)
    wait_until("every proxy acknowledges it", lambda: all(
        "baseline-deny-all" in [s["set"] for s in proxy["acknowledged"]] for proxy in host.mesh.proxies().values()))
    status, body = host.mesh.curl("http://127.0.0.1:18080/orders/7")
    check(status == 200, "with it web still reads an order", f"{status} {body}")
    denied_request(host)
    for caller, rule in (("", "baseline-deny-all/identity/no-anonymous-callers"),
                         ("caller: spiffe://elsewhere.example/ns/prod/sa/web\n", "baseline-deny-all/reach/known-trust-domains-only")):
        request = host.file("request.yaml", f"{caller}workload: {ORDERS}\nmethod: GET\npath: /orders/7\n")
        status, said, err = host.run("policy", "eval", TOP / "policies/shop", TOP / "policies/baseline-deny-all", "-f", request)
        check(status == 1 and rule in said, f"and denies by {rule}", said + err)
    host.ends(0, "delete", "policyset", "baseline-deny-all")


def bench_prints_figures(host):
    """The cheapest area of bench/run, as a table and for machines."""
    run = [TOP / "bench/run", "--bin", host.mesh.programs, "--only", "identity"]
    for form in ("json", "table"):
        done = subprocess.run([*run, "-o", form], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        check(done.returncode == 0, f"bench/run -o {form}", done.stdout + done.stderr)
        if form == "json" and done.returncode == 0:
            rows = json.loads(done.stdout)
            check(rows and all({"name", "value", "unit", "mark", "held", "command"} <= row.keys() and row["value"] > 0 and
                               row["name"].startswith("identity.") for row in rows), "its rows have name, value, unit, mark", str(rows))
        elif done.returncode == 0:
            check(re.search(r"^identity\.registration_to_svid +[\d.,]+ ms ", done.stdout, re.M), "its table has the same", done.stdout)


def meshes_in_each_others_way(host):
    shop, other = TOP / "examples/shop", host.mesh.top / "other"
    status, said, seconds = host.dev_up(shop, "--dir", host.mesh.folder)
    check(status == 2 and "another mesh runs" in said and "--dir" in said, "a second mesh in one folder is told so", said)
    status, said, seconds = host.dev_up(shop, "--dir", other)
    check(status == 2 and "127.0.0.1:18981, for server: countersign-server (pid " in said
          and f"of another `countersign dev up` (pid {host.mesh.process.pid})" in said and "mesh.json" in said,
          "a second mesh on the same ports is told which, and whose they are", said)
    check(seconds < 2, f"at once ({seconds:.2f} s)", said)
    check(not (other / "server").exists(), "and nothing was started")
    data = host.folder / "data"
    data.mkdir()
    (data / "thesis.txt").write_text("years of work")
    status, said, _ = host.dev_up(shop, "--dir", data)
    check(status == 2 and "thesis.txt" in said and (data / "thesis.txt").exists(), "a folder of somebody's is not taken", said)
    foreign, link = host.folder / "foreign", host.folder / "link"
    foreign.mkdir()
    os.chown(foreign, 65500, 65500)
    (host.folder / "empty").mkdir()
    link.symlink_to(host.folder / "empty")
    for folder in (foreign, link):
        status, said, _ = host.dev_up(shop, "--dir", folder)
        check(status == 2 and "is not a folder of this user" in said, f"nor is {folder.name}", said)


def proxy_and_agent_killed_together(host):
    mesh = host.mesh
    agent, proxy = mesh.kill("agent"), mesh.kill("orders-1")
    mesh.wait_restarted("agent", agent)
    mesh.wait_restarted("orders-1", proxy)
    wait_until("orders-1 serves again", lambda: mesh.ready(15021), 20)
    status, body = mesh.curl("http://127.0.0.1:18080/orders/7")
    check(status == 200, "proxy and agent killed together: both are restarted and serve", f"{status} {body}")
    wait_until("the log verifies", lambda: host.run("audit", "verify")[0] == 0)
    check(True, "and the log verifies, without what only the two of them held")


def a_port_of_a_service_in_use(host):
    with socket.create_server(("127.0.0.1", 18443)) as holder:
        status, said, seconds = host.dev_up(TOP / "examples/shop", "--dir", host.mesh.top / "flags")
        check(status == 2 and f"127.0.0.1:18443, for orders-1: python3" in said and f"(pid {os.getpid()}" in said,
              "a port in the plan's flags that is in use is named, with the program", said)
        holder.close()
    with socket.create_server(("127.0.0.1", 18543)):
        status, said, seconds = host.dev_up(TOP / "examples/shop", "--dir", host.mesh.top / "service")
        check(status == 2 and "billing refuses its configuration" in said and "127.0.0.1:18543 is held by python3" in said,
              "a Service's port that is in use is named, with the program", said)
        check(seconds < 15, f"soon ({seconds:.1f} s)", said)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("error: this test becomes other users, and needs root for that", file=sys.stderr)
        return 1
    mesh = Mesh(arguments.bin, print)
    keep = True
    try:
        host = Host(mesh)
        mesh.start()
        decision = denied_request(host)
        exit_codes_of_the_server_verbs(host)
        exit_codes_of_the_local_verbs(host, decision)
        exit_codes_of_svid(host)
        lists_go_round(host)
        doctor_on_a_good_host(host)
        what_the_pages_show_runs(host)
        a_baseline_beside_the_shop(host)
        meshes_in_each_others_way(host)
        proxy_and_agent_killed_together(host)
        mesh.stop(keep=True)
        a_port_of_a_service_in_use(host)
        bench_prints_figures(host)
        keep = bool(failures)
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(f"FAILED  {error}", file=sys.stderr)
        failures.append(str(error))
    finally:
        mesh.stop(keep)
    print(f"{len(failures)} failures" + (f", logs: {mesh.top}" if keep else ""))
    return 1 if failures else 0


sys.exit(main())
