#!/usr/bin/env python3
"""Starts the real programs on hosts that are wrong, and looks for a sentence that says what to do. Needs root."""
import argparse
import contextlib
import os
import pathlib
import shutil
import socket
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
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.server_address = "127.0.0.1:%d" % probe.getsockname()[1]
        self.bundle_pin = ""

    def ends(self, program, *words):
        """(exit status, what was printed) of a program that is expected to end by itself."""
        done = subprocess.run([self.programs / program, *map(str, words)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def refuses(self, what, sentence, program, *words):
        status, said = self.ends(program, *words)
        last = (said.strip().splitlines() or [""])[-1]
        check(status == 2 and sentence in last, f"{program}, {what}: {last[-170:]}", f"exit status {status}: {said[-500:]}")

    def start(self, ready, program, *words):
        log = self.top / f"{program}.log"
        child = subprocess.Popen([self.programs / program, *map(str, words)], stdin=subprocess.DEVNULL,
                                 stdout=open(log, "wb"), stderr=subprocess.STDOUT)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("error: this test mounts small file systems of its own, and needs root for that", file=sys.stderr)
        return 1
    top = pathlib.Path(tempfile.mkdtemp(prefix="cs-faults-"))
    host = Host(arguments.bin.resolve(), top)
    try:
        server_faults(host)
        agent_faults(host)
        proxy_faults(host)
        registration_withdrawn(host)
    finally:
        host.stop()
        shutil.rmtree(top, ignore_errors=True)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
