#!/usr/bin/env python3
"""Runs every block of docs/walkthrough.md, in order, against a real shop mesh."""
import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "examples/shop"))
sys.dont_write_bytecode = True

from story.mesh import Failed, Mesh, wait_until  # noqa: E402


def blocks(text):
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)


class Walk:
    def __init__(self, mesh):
        self.mesh, self.folder, self.sessions, self.count = mesh, mesh.top / "walk", [], 0
        self.folder.mkdir(mode=0o755)
        programs = mesh.top / "bin"  # Where the walk's users may execute them.
        programs.mkdir(mode=0o755)
        for name in ("countersign", "countersign-proxy"):
            (programs / name).write_bytes((mesh.programs / name).read_bytes())
            (programs / name).chmod(0o755)
        self.env = dict(mesh.env(), PATH=f"{programs}:/usr/bin:/bin")

    def shell(self, text, must):
        output = self.folder / f"out-{self.count}"
        self.count += 1
        with open(output, "w") as out:
            shell = subprocess.Popen(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.env, stdout=out,
                                     stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
            self.sessions.append(shell.pid)
            if shell.wait(60) != 0 and must:
                raise Failed(f"{text}: exit status {shell.returncode}\n{output.read_text()}")
        return output.read_text()

    def run(self, found):
        for index, (kind, body) in enumerate(found):
            if kind == "yaml":
                path = self.folder / re.match(r"# file: (\S+)", body).group(1)
                path.parent.mkdir(exist_ok=True)
                path.write_text(body)
            elif kind == "sh":
                wanted = found[index + 1][1].strip() if index + 1 < len(found) and found[index + 1][0] == "output" else ""
                if wanted:
                    # A record or a refreshed listener may take a moment: what is asked for must come.
                    wait_until(f"{body} prints {wanted}", lambda: wanted in self.shell(body, must=False))
                else:
                    self.shell(body, must=True)
                print(f"ok  {body.strip().splitlines()[-1]}", flush=True)

    def stop(self):
        for session in self.sessions:
            try:
                os.killpg(session, signal.SIGKILL)
            except ProcessLookupError:
                pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    mesh = Mesh(parser.parse_args().bin, print)
    found = blocks((TOP / "docs/walkthrough.md").read_text())
    keep = True
    walk = Walk(mesh)
    try:
        if len(found) < 8:
            raise Failed("docs/walkthrough.md has lost its blocks")
        mesh.start()
        walk.run(found)
        keep = False
        return 0
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(f"FAILED  {error}\nlogs: {mesh.top}", file=sys.stderr)
        return 1
    finally:
        walk.stop()
        mesh.stop(keep)


sys.exit(main())
