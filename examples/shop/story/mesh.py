"""Starts and stops the shop mesh, and asks its programs things through the `countersign` command."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

SHOP = pathlib.Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A check of the story that did not hold."""


def wait_until(what, condition, seconds=15.0):
    """Polls until the condition is true; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


class Mesh:
    """One running shop mesh in a folder of its own."""

    def __init__(self, programs, say):
        self.programs = pathlib.Path(programs).resolve()
        self.say = say
        self.root = os.geteuid() == 0
        # Short, since a Unix socket's path has 107 bytes at most; 0711, since other users pass through.
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="cs-shop-", dir="/tmp"))
        self.top.chmod(0o711)
        self.folder = self.top / "mesh"
        self.process = None
        self.lines = []

    def env(self):
        return {
            "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "COUNTERSIGN_SERVER_SOCKET": str(self.folder / "server/admin.sock"),
            "COUNTERSIGN_AGENT_SOCKET": str(self.folder / "agent/agent.sock"),
            "COUNTERSIGN_AUDIT_DIR": str(self.folder / "audit"),
            "LANG": "C.UTF-8",
        }

    def start(self):
        self.output = open(self.top / "dev-up.log", "w+")
        self.process = subprocess.Popen(
            [self.programs / "countersign", "dev", "up", str(SHOP), "--dir", str(self.folder), "--keep"],
            stdout=self.output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.env(),
            start_new_session=True)

        def up():
            if self.process.poll() is not None:
                raise Failed("countersign dev up ended:\n" + self.up_output())
            return "the mesh is up" in self.up_output()

        wait_until("the mesh comes up", up, 90)
        return [line for line in self.up_output().splitlines() if line and line[0].isalpha()]

    def up_output(self):
        return (self.top / "dev-up.log").read_text()

    def stop(self, keep):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if not keep:
            shutil.rmtree(self.top, ignore_errors=True)

    def left_running(self):
        """Processes of the mesh's session; stat's sixth field, after the name in brackets."""
        left = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                name, fields = (folder / "stat").read_text().rsplit(")", 1)
            except OSError:
                continue  # Ended meanwhile.
            if int(fields.split()[3]) == self.process.pid and fields.split()[0] != "Z":
                left.append(f"{folder.name} {name.split('(', 1)[1]}")
        return left

    # The command.

    def run(self, *words, ok=(0,), env=None):
        done = subprocess.run([self.programs / "countersign", *map(str, words)], env=env or self.env(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if ok is not None and done.returncode not in ok:
            raise Failed(f"countersign {' '.join(map(str, words))}: exit status {done.returncode}\n"
                         f"{done.stdout}{done.stderr}")
        return done

    def json(self, *words, ok=(0,), env=None):
        done = self.run(*words, "-o", "json", ok=ok, env=env)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise Failed(f"countersign {' '.join(map(str, words))} printed no JSON:\n{done.stdout}{done.stderr}")

    def proxies(self):
        """Name of the instance -> what it acknowledged."""
        return {p["instance"]: p for p in items(self.json("get", "proxies"))}

    def processes(self):
        return json.loads((self.folder / "processes.json").read_text())

    def pid(self, name):
        return self.processes()[name]["pid"]

    def kill(self, name, signal_number=signal.SIGKILL):
        pid = self.pid(name)
        os.kill(pid, signal_number)
        return pid

    def wait_restarted(self, name, old_pid):
        wait_until(f"{name} is restarted", lambda: self.pid(name) not in (old_pid, -1))

    def ready(self, admin_port):
        done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2",
                               f"http://127.0.0.1:{admin_port}/ready"], capture_output=True, text=True)
        return done.stdout == "200"

    def cli_for_users(self):
        """The command where every user of the demo may execute it, wherever the build is."""
        if not self.root:
            return str(self.programs / "countersign")
        copy = self.top / "countersign"
        if not copy.exists():
            shutil.copy(self.programs / "countersign", copy)
            copy.chmod(0o755)
        return str(copy)

    def ca_files(self):
        """Certificate and key of the mesh's own authority: root may read them, and only root."""
        authority = self.folder / "server/data/ca/authority.pem"
        return authority, authority

    # Users.

    def as_user(self, uid):
        """Arguments for subprocess that run a command as another user, or as ourselves without root."""
        return {"user": uid, "group": uid, "extra_groups": []} if self.root else {}

    def curl(self, *words, uid=70010):
        """curl as the web application's user; (status, body)."""
        done = subprocess.run(["curl", "-s", "--max-time", "10", "-w", "\n%{http_code}", *words],
                              capture_output=True, text=True, cwd="/", **self.as_user(uid))
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body


def items(value):
    """The list in a JSON answer, bare or under `items`."""
    return value["items"] if isinstance(value, dict) else value
