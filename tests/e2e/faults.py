#!/usr/bin/env python3
"""Starts the real programs on hosts that are wrong, and looks for a sentence that says what to do. Needs root."""
import argparse
import contextlib
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

DOMAIN = "faults.example"
failures = []


def check(good, text, said=""):
    print(f"{'ok ' if good else 'BAD'}  {text}{'' if good else ': ' + said}", flush=True)
    if not good:
        failures.append(text)


@contextlib.contextmanager
def mounted(folder, options, fill=False):
    """A small file system of its own; full, if asked for."""
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "none", folder], check=True)
    try:
        if fill:
            with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as filler:
                while True:
                    filler.write(b"x" * 4096)
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Host:
    def __init__(self, programs, top):
        self.programs, self.top, self.children = programs, top, []
        self.clock, self.extra = None, {}  # What a program is started with.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.server_address = "127.0.0.1:%d" % probe.getsockname()[1]
        self.bundle_pin = ""

    def environment(self):
        return os.environ | self.extra | (self.clock.environment() if self.clock else {})

    def ends(self, program, *words):
        """(exit status, what was printed) of a program that is expected to end by itself."""
        done = subprocess.run([self.programs / program, *map(str, words)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, env=self.environment())
        return done.returncode, done.stdout + done.stderr

    def refuses(self, what, sentence, program, *words):
        status, said = self.ends(program, *words)
        last = (said.strip().splitlines() or [""])[-1]
        check(status == 2 and sentence in last, f"{program}, {what}: {last[-170:]}", f"exit status {status}: {said[-500:]}")

    def start(self, ready, program, *words):
        log = self.top / f"{program}.log"
        child = subprocess.Popen([self.programs / program, *map(str, words)], stdin=subprocess.DEVNULL,
                                 stdout=open(log, "wb"), stderr=subprocess.STDOUT, env=self.environment())
        self.children.append(child)
        deadline = time.monotonic() + 20
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{program} did not come up: {log.read_text()}")
            time.sleep(0.02)
        return child

    def stop(self):
        for child in reversed(self.children):
            child.terminate()
            child.wait(20)

    def server(self, data):
        return ("run", "--trust-domain", DOMAIN, "--data-dir", data, "--listen", self.server_address,
                "--admin-socket", self.top / "admin.sock")

    def agent(self, data, audit, token=None):
        words = ["run", "--trust-domain", DOMAIN, "--data-dir", data, "--server", self.server_address,
                 "--socket", self.top / "agent.sock", "--audit-socket", self.top / "audit.sock", "--audit-dir", audit]
        return words + (["--join-token-file", token, "--bundle-sha256", self.bundle_pin] if token else [])

    def token(self, node):
        """A join token in a file of its own; also learns the bundle's pin."""
        import json
        done = subprocess.run([self.programs / "countersign", "token", "generate", "--node", node, "-o", "json"],
                              env={"COUNTERSIGN_SERVER_SOCKET": str(self.top / "admin.sock")}, capture_output=True,
                              text=True, check=True, timeout=20)
        made = json.loads(done.stdout)
        self.bundle_pin = made["bundle_sha256"]
        file = self.top / f"{node}.token"
        file.write_text(made["token"])
        file.chmod(0o600)
        return file


class ShiftedClock:
    """The wall clock of the programs that are given it, which can be set while they run."""

    def __init__(self, library, file):
        self.library, self.file = library, file
        self.set(0)

    def set(self, seconds):
        with open(self.file, "r+b" if self.file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", seconds))

    def environment(self):
        return {"LD_PRELOAD": str(self.library), "COUNTERSIGN_CLOCK_SHIFT": str(self.file)}


def server_faults(host):
    with mounted(host.top / "server-ro", "ro,size=1m") as folder:
        host.refuses("data on a read-only mount", "mount that file system writable", "countersign-server", *host.server(folder))
    with mounted(host.top / "server-full", "size=64k", fill=True) as folder:
        host.refuses("data on a full disk", "make room", "countersign-server", *host.server(folder))


def agent_faults(host):
    data = host.top / "server"
    host.start((host.top / "admin.sock").exists, "countersign-server", *host.server(data))
    host.refuses("a second one on the same folder", "is in use by another process", "countersign-server", *host.server(data))
    token = host.token("node-1")
    with mounted(host.top / "agent-ro", "ro,size=1m") as folder:
        host.refuses("data on a read-only mount", "mount that file system writable", "countersign-agent",
                     *host.agent(folder, host.top / "audit", token))
    with mounted(host.top / "agent-full", "size=64k", fill=True) as folder:
        host.refuses("data on a full disk", "make room", "countersign-agent", *host.agent(folder, host.top / "audit", token))
    good = host.top / "agent"
    with mounted(host.top / "audit-full", "size=64k", fill=True) as folder:
        host.refuses("log on a full disk", "make room", "countersign-agent", *host.agent(good, folder, token))
    with mounted(host.top / "audit-ro", "ro,size=1m") as folder:
        host.refuses("log on a read-only mount", "mount that file system writable", "countersign-agent",
                     *host.agent(good, folder, token))
    agent = host.start((host.top / "agent.sock").exists, "countersign-agent", *host.agent(good, host.top / "audit", token))
    check(agent.poll() is None, "the one-use token was not spent by any of them: the agent attests and serves")
    host.refuses("a second one on the same folder", "is in use by another process", "countersign-agent",
                 *host.agent(good, host.top / "audit", token))


def proxy_faults(host):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        admin = "127.0.0.1:%d" % holder.getsockname()[1]
        host.refuses("its administration port in use", "choose another address", "countersign-proxy", "run",
                     "--agent-socket", host.top / "agent.sock", "--instance", "a", "--admin", admin)


PROXIED = """apiVersion: countersign.dev/v1alpha1
kind: Registration
metadata: {name: web}
spec:
  id: spiffe://faults.example/web
  nodes: [{id: spiffe://faults.example/agent/node-1}]
  selectors: {unix: {uid: 0}}
  proxy: {applicationUid: 65534}
---
apiVersion: countersign.dev/v1alpha1
kind: Service
metadata: {name: web}
spec:
  workload: {id: spiffe://faults.example/web}
  ports:
    - {name: http, protocol: http, listen: "PORT", application: 127.0.0.1:1}
  endpoints: ["PORT"]
"""


def is_open(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def registration_withdrawn(host):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = "127.0.0.1:%d" % probe.getsockname()[1]
    documents = host.top / "proxied.yaml"
    documents.write_text(PROXIED.replace("PORT", port))
    admin = ("--server-socket", host.top / "admin.sock")
    status, said = host.ends("countersign", *admin, "apply", "-f", documents)
    check(status == 0, "a proxy is registered", said)
    # --application has the proxy know an override of a port, as an instance of a real mesh does.
    host.start(lambda: is_open(port), "countersign-proxy", "run", "--agent-socket", host.top / "agent.sock", "--instance",
               "web", "--admin", "127.0.0.1:0", "--application", "http=127.0.0.1:2")
    check(True, "it takes its configuration and listens")
    status, said = host.ends("countersign", *admin, "delete", "registration", "web")
    check(status == 0 and within(10, lambda: not is_open(port)), "its registration is deleted: its ports close", said)
    status, said = host.ends("countersign", *admin, "apply", "-f", documents)
    check(status == 0 and within(10, lambda: is_open(port)), "it is registered again: it serves again, by itself", said)


WORKLOAD = """apiVersion: countersign.dev/v1alpha1
kind: Registration
metadata: {name: web}
spec:
  id: spiffe://faults.example/web
  nodes: [{id: spiffe://faults.example/agent/node-1}]
  selectors: {unix: {uid: 0}}
  svid: {ttl: 10s}
"""


def clock_faults(host, library):
    """Programs whose clock is wrong at the start, and whose clock jumps while they run."""
    day = 24 * 3600
    servers, agents = (ShiftedClock(library, host.top / name) for name in ("server.clock", "agent.clock"))

    def with_clock(clock):
        host.clock = clock
        return host

    server = with_clock(servers).start((host.top / "admin.sock").exists, "countersign-server", *host.server(host.top / "server"))
    token = with_clock(None).token("node-1")
    words = host.agent(host.top / "agent", host.top / "audit", token)
    agent = with_clock(agents).start((host.top / "agent.sock").exists, "countersign-agent", *words)
    host.clock = None
    documents = host.top / "workload.yaml"
    documents.write_text(WORKLOAD)
    status, said = host.ends("countersign", "--server-socket", host.top / "admin.sock", "apply", "-f", documents)
    check(status == 0, "a workload with SVIDs of 10 s is registered", said)

    def fetch():
        host.extra = {"SPIFFE_ENDPOINT_SOCKET": f"unix://{host.top / 'agent.sock'}"}
        status, _ = host.ends("countersign", "svid", "fetch", "--timeout", "2s")
        host.extra = {}
        return status == 0

    def logged(program, sentence):
        return sentence in (host.top / f"{program}.log").read_text()

    check(within(10, fetch), "it has its SVID")
    agents.set(-2 * day)
    check(within(9, lambda: logged("countersign-agent", "set the clock of whichever is wrong")),
          "the running agent's clock is set back two days: it renews in time all the same, takes nothing that is not "
          "valid by its clock, and says which clock to look at")
    check(within(10, lambda: not fetch()), "the SVID ends with the life it was given, not two days later")
    agents.set(0)
    check(within(15, fetch), "the clock is mended: the agent goes on by itself")
    servers.set(-2 * day)
    check(within(15, lambda: logged("countersign-server", "nothing is signed: the wall clock says")),
          "the running server's clock is set back two days: it signs nothing and says why")
    servers.set(0)
    check(within(20, fetch), "the clock is mended: the server signs again by itself")
    for child in (agent, server):
        child.terminate()
        child.wait(20)
    for seconds, when in ((-2 * day, "before the authority's beginning"), (400 * day, "after the authority's end")):
        servers.set(seconds)
        with_clock(servers).refuses(f"started with a clock {when}", "set the clock", "countersign-server",
                                    *host.server(host.top / "server"))
    for seconds, when in ((-2 * day, "before its SVID begins"), (30 * day, "after its SVID ended")):
        agents.set(seconds)
        with_clock(agents).refuses(f"started with a clock {when}", "set the clock", "countersign-agent", *words)
    host.clock = None


def socket_folder_faults(host):
    """Whoever can put another socket in the place of a program's can pass for the program."""
    shared = host.top / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link = host.top / "link"
    link.symlink_to(host.top)
    for folder, sentence in ((shared, f"chmod go-w {shared}"), (link, "is a symbolic link")):
        words = host.agent(host.top / "elsewhere", host.top / "elsewhere-audit")
        words[words.index("--socket") + 1] = folder / "agent.sock"
        host.refuses(f"its socket in {folder.name}", sentence, "countersign-agent", *words)
    words = list(host.server(host.top / "elsewhere-server"))
    words[words.index("--admin-socket") + 1] = shared / "admin.sock"
    host.refuses("its socket in shared", f"chmod go-w {shared}", "countersign-server", *words)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--clock-shift", required=True, type=pathlib.Path, help="clock_shift.so of the same build")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("error: this test mounts small file systems of its own, and needs root for that", file=sys.stderr)
        return 1
    top = pathlib.Path(tempfile.mkdtemp(prefix="cs-faults-"))
    host = Host(arguments.bin.resolve(), top)
    (top / "clocks").mkdir()
    clocked = Host(arguments.bin.resolve(), top / "clocks")
    try:
        server_faults(host)
        agent_faults(host)
        proxy_faults(host)
        registration_withdrawn(host)
        socket_folder_faults(host)
        clock_faults(clocked, arguments.clock_shift.resolve())
    finally:
        host.stop()
        clocked.stop()
        shutil.rmtree(top, ignore_errors=True)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
