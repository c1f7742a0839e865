#!/usr/bin/env python3
"""Runs the worked example of docs/pdp.md: every block in turn, each printing what the page shows; then exit codes."""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
MARK = "=== block"


def blocks(text):
    example = text.split("## A worked example\n")[1].split("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```$", example, re.M | re.S)


def exit_codes(command, folder):
    """What is wrong use or cannot be done ends with 2 and a sentence, before anything is served."""
    workload = ["--workload", "spiffe://shop.example/ns/prod/sa/orders"]
    for words, said in ((["--listen-http", "127.0.0.1:0"], "--policies is required"),
                        (["--policies", "policies"], "--listen-grpc, --listen-http or both"),
                        (["--policies", "policies", "--listen-grpc", "127.0.0.1:0"], "--workload"),
                        (["--policies", "policies", "--listen-grpc", "127.0.0.1:0", "--workload", "x"], "spiffe://"),
                        (["--policies", "policies", "--listen-http", "localhost:1"], "neither unix:PATH nor IP:PORT"),
                        (["--policies", "policies", "--listen-http", "0.0.0.0:0"], "--insecure-network"),
                        (["--policies", "policies", "--listen-grpc", "[::]:0", *workload], "--insecure-network"),
                        (["--policies", "policies", "--listen-http", "unix:/nowhere/at/all.sock"], "/nowhere"),
                        (["--policies", "policies", "--listen-http", "127.0.0.1:0", "--socket-mode", "9"], "octal"),
                        (["--policies", "policies", "--listen-http", "127.0.0.1:0", "--log-level", "x"], "x")):
        done = subprocess.run([command, "pdp", "run", *words], cwd=folder, capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 2 or done.stdout or said not in done.stderr:
            yield f"{' '.join(words)}: exit status {done.returncode}, printed {done.stdout!r} {done.stderr!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    programs = parser.parse_args().bin.resolve()
    script, wanted = ["set -uo pipefail", "trap 'kill $(jobs -p) 2>/dev/null' EXIT"], []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for kind, body in blocks((TOP / "docs/pdp.md").read_text()):
            if kind == "yaml":
                path = folder / body.partition("\n")[0].removeprefix("# file: ")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(body)
            elif kind == "sh":
                script += [f"echo '{MARK}'", body]
                wanted.append("")
            else:
                wanted[-1] = body
        try:
            done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=folder, timeout=90, text=True,
                                  env=dict(os.environ, PATH=f"{programs}:/usr/bin:/bin"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            printed = done.stdout
        except subprocess.TimeoutExpired as late:
            printed = (late.stdout or b"").decode() + "\ndid not end\n"
        printed = re.sub(r'"id":"[0-9a-f]{32}"', '"id":"ID"', printed)
        got = printed.split(f"{MARK}\n")[1:]
        log = folder / "pdp.log"
        lines = log.read_text() if log.exists() else ""
        wrong_use = list(exit_codes(programs / "countersign", folder))
    faults = [f"wanted:\n{want}\nprinted:\n{have}" for want, have in zip(wanted, got) if want != have]
    if len(got) != len(wanted) or len(wanted) < 4:
        faults.append(f"{len(wanted)} blocks, {len(got)} ran:\n{printed}")
    if '"decision"' not in lines or "folder refused" not in lines:
        faults.append("the log has no decision, or no refusal of the folder")
    faults += wrong_use
    print("\n".join(faults + ([f"log:\n{lines}"] if faults else [])))
    print(f"{len(wanted)} blocks, {len(faults)} faults")
    return 1 if faults else 0


sys.exit(main())
