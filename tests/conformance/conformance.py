#!/usr/bin/env python3
"""Conformance of the real mesh with programs that others wrote. Started by tests/conformance/run."""
import argparse
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "examples/shop"))
sys.dont_write_bytecode = True

from debian_peers import debian_peers  # noqa: E402
from pdp_envoy import pdp_envoy  # noqa: E402
from story.load import Load  # noqa: E402
from story.mesh import Failed, Mesh, wait_until  # noqa: E402

ENVOY_UID = 70030
GO_UID = 70040
GO_REGISTRATION = """apiVersion: countersign.dev/v1alpha1
kind: Registration
metadata: {name: go-spiffe}
spec:
  id: spiffe://shop.example/ns/prod/sa/go-spiffe
  nodes: [{id: spiffe://shop.example/agent/node-1}]
  selectors: {unix: {uid: 70040}}
  svid: {ttl: 10s}
"""


class Conformance:
    def __init__(self, mesh, work):
        self.mesh, self.work, self.count, self.children = mesh, work, 0, []

    def check(self, good, text, why=""):
        if not good:
            raise Failed(f"{text}: {why}")
        self.count += 1
        print(f"ok  {text}", flush=True)

    def start(self, name, command, uid):
        log = open(self.mesh.top / f"{name}.log", "w")
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd="/",
                                 env={"PATH": "/usr/bin:/bin",
                                      "SPIFFE_ENDPOINT_SOCKET": f"unix://{self.mesh.folder}/agent/agent.sock"},
                                 **self.mesh.as_user(uid))
        self.children.append(child)
        return child, self.mesh.top / f"{name}.log"

    def stop(self):
        for child in self.children:
            if child.poll() is None:
                child.terminate()  # nginx's master then ends its worker.
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def go_spiffe(c):
    """X509Source: PermissionDenied without a registration, the SVID when it appears, a rotation."""
    program = c.mesh.top / "go_spiffe"
    shutil.copy(c.work / "go_spiffe", program)
    program.chmod(0o755)
    child, log = c.start("go-spiffe", [str(program)], GO_UID)
    wait_until("go-spiffe is told PermissionDenied", lambda: "PermissionDenied" in log.read_text(), 20)
    c.check(True, "go-spiffe: PermissionDenied without a registration")
    document = c.mesh.top / "go.yaml"
    document.write_text(GO_REGISTRATION)
    c.mesh.run("apply", "-f", document)
    wait_until("go-spiffe gets its first SVID", lambda: "svid " in log.read_text(), 45)
    c.check("spiffe://shop.example/ns/prod/sa/go-spiffe" in log.read_text(),
            "go-spiffe: the SVID comes when the registration appears", log.read_text())
    wait_until("go-spiffe sees a rotation", lambda: len(set(re.findall(r"serial[= ]([0-9a-f]+)", log.read_text()))) >= 2, 30)
    c.check(True, "go-spiffe: X509Source sees a rotation")
    child.send_signal(signal.SIGTERM)
    child.wait(10)


def stats(pattern):
    with urllib.request.urlopen(f"http://127.0.0.1:18592/stats?filter={pattern}&format=json", timeout=5) as answer:
        return {s["name"]: s["value"] for s in json.load(answer)["stats"] if "value" in s}


def envoy_serials():
    """Serials of Envoy's own leaves; the authority's, which stands in the validation context, is no leaf."""
    with urllib.request.urlopen("http://127.0.0.1:18592/certs", timeout=5) as answer:
        certificates = json.load(answer)["certificates"]
    return {chain["serial_number"] for entry in certificates for chain in entry.get("cert_chain", [])
            if any("/sa/envoy" in name.get("uri", "") for name in chain.get("subject_alt_names", []))}


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def envoy(c):
    """Certificate and validation context over our SDS, mTLS both ways, two rotations under load."""
    c.mesh.run("apply", "-f", HERE / "envoy/mesh.yaml")
    c.mesh.run("apply", "-f", HERE / "envoy/policies")
    program = c.mesh.top / "envoy"
    shutil.copy(c.work / "envoy", program)
    program.chmod(0o755)
    bootstrap = c.mesh.top / "bootstrap.yaml"
    bootstrap.write_text((HERE / "envoy/bootstrap.yaml").read_text().replace(
        "{{agent_socket}}", f"{c.mesh.folder}/agent/agent.sock"))
    bootstrap.chmod(0o644)
    _, log = c.start("envoy", [str(program), "-c", str(bootstrap), "--concurrency", "1", "--disable-hot-restart",
                               "--log-level", "warning"], ENVOY_UID)

    def up():
        try:
            return get("http://127.0.0.1:18591/orders/7")[0] == 200
        except OSError:
            return False

    wait_until("Envoy's listeners are up (log: " + str(log) + ")", up, 30)
    c.check(True, "Envoy: certificate and validation context (SPIFFE validator) over SDS; it reads an order from orders")
    status, body = get("http://127.0.0.1:18591/admin")
    c.check(status == 403 and "decision" in body, "Envoy: what policy does not allow it is 403", f"{status} {body}")
    status, body = wait_until("web reaches Envoy", lambda: (lambda r: r if r[0] == 200 else None)(
        c.mesh.curl("http://127.0.0.1:18090/anything")), 15)
    c.check(body.strip() == "envoy says hello", "web's proxy reaches Envoy, each verifying the other's SPIFFE ID", body)
    serials = envoy_serials()
    load = Load(c.mesh, 50)
    failures, requests = [], 0
    deadline = time.monotonic() + 32
    while time.monotonic() < deadline:
        for status, _ in (get("http://127.0.0.1:18591/orders/7"), c.mesh.curl("http://127.0.0.1:18090/x")):
            requests += 1
            if status != 200:
                failures.append(status)
        serials |= envoy_serials()
        time.sleep(0.05)
    counts, failed, _, _ = load.stop()
    c.check(not failures and not failed and set(counts) == {200},
            f"Envoy: {requests} requests both ways during rotations, none failed", f"{failures[:5]} {failed[:3]} {counts}")
    c.check(len(serials) >= 3, f"Envoy ran {len(serials)} SVIDs of its own in that time", str(serials))
    rejected = {k: v for k, v in stats("sds.*update_rejected").items() if v}
    c.check(not rejected, "Envoy rejected no secret of ours", str(rejected))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    mesh = Mesh(arguments.bin, print)
    c = Conformance(mesh, arguments.work)
    keep = True
    try:
        mesh.start()
        debian_peers(c)
        go_spiffe(c)
        envoy(c)
        pdp_envoy(arguments.bin, arguments.work / "envoy", c.check)
        print(f"{c.count} passed, 0 failed")
        keep = False
        return 0
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(f"FAILED  {error}\nlogs: {mesh.top}", file=sys.stderr)
        return 1
    finally:
        c.stop()
        mesh.stop(keep)


sys.exit(main())
