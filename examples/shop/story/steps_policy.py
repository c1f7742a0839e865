"""Step 6: a changed policy is refused while its test fails, then applied live, then rolled back."""
import select
import shutil
import subprocess
import time

from .mesh import SHOP, Failed, wait_until

PYTHON = "/usr/bin/python3"  # Debian's own, which every user may run.
LEDGER_BY_WEB = ("127.0.0.1", 18081)

# A client of a TCP port, in a process of its user: says each answer, and "cut" with the time when it ends.
TCP_CLIENT = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
while True:
    try:
        s.sendall(b"GET / HTTP/1.1\\r\\nHost: ledger\\r\\n\\r\\n")
        data = s.recv(4096)
        if not data:
            raise ConnectionError("closed")
    except OSError as error:
        print("cut", time.time(), flush=True)
        break
    print("answer", time.time(), flush=True)
    time.sleep(0.02)
"""


class TcpClient:
    """A long-lived TCP connection through the mesh, with a request each 20 ms."""

    def __init__(self, mesh, address, uid):
        self.answered_at = 0.0
        self.process = subprocess.Popen([PYTHON, "-c", TCP_CLIENT, address[0], str(address[1])],
                                        stdout=subprocess.PIPE, text=True, cwd="/", **mesh.as_user(uid))
        if not self.process.stdout.readline().startswith("answer"):
            raise Failed(f"no TCP connection through {address}")

    def cut_at(self, seconds):
        """Waits for the end of the connection; its time, or None if it still lives after `seconds`.
        answered_at is the time of the newest answer that was read."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 0.05)[0]:
                line = self.process.stdout.readline()
                if line.startswith("cut"):
                    return float(line.split()[1])
                self.answered_at = float(line.split()[1])
        return None

    def stop(self):
        self.process.kill()
        self.process.wait()


class KeptConnection:
    """An open keep-alive HTTP connection of the web application, in a process of its user."""

    CODE = """
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", 18080, timeout=10)
c.connect()
local = c.sock.getsockname()
for line in sys.stdin:
    c.request("GET", line.strip(), headers={"Host": "orders"})
    a = c.getresponse(); a.read()
    print(a.status, c.sock is not None and c.sock.getsockname() == local, flush=True)
"""

    def __init__(self, mesh):
        self.process = subprocess.Popen([PYTHON, "-c", self.CODE], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, cwd="/", **mesh.as_user(70010))

    def get(self, path):
        """(status, whether it is still the first connection)"""
        self.process.stdin.write(path + "\n")
        self.process.stdin.flush()
        status, same = self.process.stdout.readline().split()
        return int(status), same == "True"

    def stop(self):
        self.process.kill()
        self.process.wait()


def edit(folder, name, old, new):
    path = folder / name
    text = path.read_text()
    if old not in text:
        raise Failed(f"{path} no longer holds {old!r}")
    path.write_text(text.replace(old, new, 1))


def acknowledged(mesh, name):
    return {s["set"]: s["digest"] for s in mesh.proxies()[name]["acknowledged"]}


def wait_acknowledged(mesh, digest, names):
    """Waits until each proxy acknowledged the digest; returns the time at which it was seen."""
    wait_until("the proxies acknowledge the new version",
               lambda: all(digest in acknowledged(mesh, name).values() for name in names))
    return time.time()


def changes_live(story):
    story.step(6, "The policy changes while connections are open")
    mesh = story.mesh
    candidate = mesh.top / "candidate"
    shutil.copytree((SHOP / "policies").resolve(), candidate)
    kept = KeptConnection(mesh)
    denied_soon = TcpClient(mesh, LEDGER_BY_WEB, 70010)
    allowed = TcpClient(mesh, ("127.0.0.1", 18084), 70011)
    try:
        tell_change(story, mesh, candidate, kept, denied_soon, allowed)
    finally:
        for client in (kept, denied_soon, allowed):
            client.stop()


def tell_change(story, mesh, candidate, kept, denied_soon, allowed):
    story.check(kept.get("/orders/7")[0] == 200, "a keep-alive connection is open, and two TCP connections to ledger")
    before = acknowledged(mesh, "orders-1")
    edit_candidate(candidate)
    done = mesh.run("diff", "-f", candidate, ok=(1,))
    story.check("freeze" in done.stdout, "countersign diff -f shows what would change (exit status 1)", done.stdout)
    done = mesh.run("apply", "-f", candidate, ok=None)
    story.check(done.returncode != 0 and "web reads an order" in done.stdout + done.stderr,
                "countersign apply -f refuses it: its own PolicyTest fails", done.stdout + done.stderr)
    story.check(acknowledged(mesh, "orders-1") == before and kept.get("/orders/7")[0] == 200,
                "the running version stays")
    mend_candidate(candidate)
    done = mesh.json("apply", "-f", candidate)
    digest = next(c["digest"] for c in done["changes"] if c.get("digest") and c["verb"] != "unchanged")
    at = wait_acknowledged(mesh, digest, ["billing"])  # The ledger's own proxy; the cut counts from here.
    wait_acknowledged(mesh, digest, ["orders-1", "orders-2"])
    story.check(True, f"mended, it is accepted; every proxy acknowledges {digest[:12]}")
    status, same = kept.get("/orders/7")
    story.check(status == 403 and same, "the next request on the open keep-alive connection is judged by it", str(status))
    cut = denied_soon.cut_at(5)
    story.check(cut is not None and cut - at < 1.0,
                "the TCP connection that it denies is cut within a second of the acknowledgement",
                f"cut {cut}, acknowledged {at}")
    story.check(allowed.cut_at(1.0) is None and allowed.answered_at > at + 0.5,
                "the one that it allows is untouched, and still answers", f"{allowed.answered_at} {at}")
    mesh.run("rollback", "shop")
    wait_until("the rollback is acknowledged", lambda: acknowledged(mesh, "orders-1") == before)
    status, _ = kept.get("/orders/7")
    story.check(status == 200, "countersign rollback restores the version before", str(status))


FREEZE = """    - name: freeze
      effect: deny
      from:
        - id: spiffe://shop.example/ns/prod/sa/web
      to:
        - methods: [GET, HEAD]
          path: { under: /orders }
    # Stands even if"""


def edit_candidate(folder):
    """Freezes orders for web and takes the ledger from web; leaves the tests as they are."""
    edit(folder, "orders.yaml", "    # Stands even if", FREEZE)
    edit(folder, "billing.yaml", "    - spiffe://shop.example/ns/prod/sa/web\n", "")


def mend_candidate(folder):
    """Changes the tests to what the new policy means."""
    edit(folder, "orders.yaml", "expect: allow\n      rule: shop/orders/storefront-reads",
         "expect: deny\n      rule: shop/orders/freeze")
    edit(folder, "billing.yaml", "port: 18544\n      expect: allow\n      rule: shop/billing/ledger",
         "port: 18544\n      expect: deny")
