#!/usr/bin/env python3
"""Runs every block of a page about policies: files load, commands print what is shown, refused rules are refused."""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent

WRAPPER = """apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: wrapper }
spec: { owner: { id: spiffe://shop.example/people/ana }, scope: { under: spiffe://shop.example } }
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: page }
spec:
  appliesTo: all
  rules:
"""


class Page:
    def __init__(self, binary_folder, folder):
        self.folder, self.count, self.failures = folder, 0, []
        self.sample_log = binary_folder.parent / "tests/sample_log"
        self.env = dict(os.environ, PATH=f"{binary_folder}:/usr/bin:/bin")

    def shell(self, text):
        done = subprocess.run(["bash", "-uo", "pipefail", "-c", text], cwd=self.folder, env=self.env, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def expect(self, good, what, output):
        self.count += 1
        if not good:
            self.failures.append(f"{what}\n--- printed:\n{output}")

    def rules(self, mark, body):
        folder = self.folder / f"rules-{self.count}"
        folder.mkdir()
        (folder / "set.yaml").write_text(WRAPPER + "".join(f"    {line}\n" for line in body.splitlines()))
        status, output = self.shell(f"countersign policy check {folder.name}")
        word, _, wanted = mark.partition(": ")
        if word == "rules":
            self.expect(status == 0 and "0 errors, 0 warnings" in output, f"must be accepted:\n{body}", output)
        else:
            self.expect(status == (1 if word == "refused" else 0) and wanted in output,
                        f"must be {word} with {wanted!r}:\n{body}", output)

    def record(self, mark, body):
        """Writes the audit log of a node where these requests came, judged by the policies of a folder."""
        folder, _, policies = mark.partition(", judged by ")
        done = subprocess.run([self.sample_log, folder, policies], cwd=self.folder, input=body, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.expect(done.returncode == 0, f"must be recorded:\n{body}", done.stdout)

    def run(self, found):
        for index, (kind, body) in enumerate(found):
            first, _, rest = body.partition("\n")
            if kind == "yaml" and first.startswith("# file: "):
                path = self.folder / first[len("# file: "):]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(body)
            elif kind == "yaml":
                self.rules(first.removeprefix("# "), rest)
            elif kind == "sh":
                status, output = self.shell(body)
                wanted = found[index + 1][1] if index + 1 < len(found) and found[index + 1][0] == "output" else ""
                for line in wanted.splitlines():
                    self.expect(line in output, f"{body}must print {line!r}", output)
                self.expect(status == 0, f"{body}must succeed", output)
            elif kind == "requests":
                self.record(first.removeprefix("# in "), rest)
            elif kind != "output":
                self.expect(False, f"a block of unknown kind {kind!r}", body)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--page", default="docs/policy.md")
    arguments = parser.parse_args()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (TOP / arguments.page).read_text(), re.M | re.S)
    with tempfile.TemporaryDirectory(prefix="policy-page-") as folder:
        page = Page(pathlib.Path(arguments.bin).resolve(), pathlib.Path(folder))
        page.run(found)
        print(f"{len(found)} blocks, {page.count} checks, {len(page.failures)} failed")
        print("\n".join(page.failures))
        return 1 if page.failures or page.count < 15 else 0


sys.exit(main())
