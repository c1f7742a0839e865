#!/usr/bin/env python3
"""The example of a policy repository: its CI passes as it stands, and tells what a change means or breaks."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
ORDERS = "policies/shop/orders.yaml"
READS = "        - methods: [GET, HEAD]\n"
REQUEST = "{{ caller: spiffe://shop.example/ns/prod/sa/web, workload: spiffe://shop.example/ns/prod/sa/orders, method: {}, path: {} }}\n"


class Repository:
    """A copy of the example, changed by one test."""

    def __init__(self, folder, build):
        self.folder = folder / "repo"
        shutil.copytree(TOP / "examples/policy-repo", self.folder)
        shutil.copytree(self.folder / "policies", self.folder / "old")
        self.build = build
        self.env = dict(os.environ, PATH=f"{build / 'bin'}:/usr/bin:/bin")

    def change(self, before, after):
        path = self.folder / ORDERS
        text = path.read_text()
        if before not in text:
            raise AssertionError(f"{before!r} is not in {ORDERS}")
        path.write_text(text.replace(before, after))

    def record(self, requests):
        subprocess.run([self.build / "tests/sample_log", "log", "old"], input=requests, text=True, cwd=self.folder,
                       check=True, timeout=60)
        self.env["AUDIT_LOG"] = "log"

    def review(self):
        done = subprocess.run(["ci/review", "old", "policies", "out"], cwd=self.folder, env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        sarif = json.loads((self.folder / "out/policies.sarif").read_text())
        return done.returncode, (self.folder / "out/review.md").read_text(), sarif["runs"][0]["results"]


def as_it_stands(repo, check):
    status, review, findings = repo.review()
    check("ends well", status == 0, review)
    check("no finding", findings == [], findings)
    check("nothing changes", "no change in meaning" in review and "second person" not in review, review)
    check("tests ran", "3 cases, 0 failed" in review, review)
    check("the assertion is proved", "1 assertion proved" in review, review)


def a_widening(repo, check):
    repo.change(READS, READS.replace("HEAD", "HEAD, PUT"))
    status, review, _ = repo.review()
    check("people decide", status == 0, review)
    check("says what is newly allowed", "newly allowed:" in review and "method: PUT" in review, review)
    check("asks for a second person", "a second person approves it" in review, review)


def a_narrowing(repo, check):
    repo.change(READS, READS.replace("GET, HEAD", "GET"))
    status, review, _ = repo.review()
    check("people decide", status == 0, review)
    check("says what is newly denied", "newly denied:" in review and "second person" not in review, review)


def a_failing_test(repo, check):
    repo.change("path: /orders/{id}", "path: /orders/7/{id}")
    status, review, _ = repo.review()
    check("fails", status == 1 and "## Tests: failed" in review, review)


def a_broken_assertion(repo, check):
    repo.change("        - id: spiffe://shop.example/ns/prod/sa/web\n",
                "        - id: spiffe://shop.example/ns/prod/sa/web\n        - id: { under: 'spiffe://partner.example' }\n")
    status, review, findings = repo.review()
    check("fails", status == 1 and "## Checks and assertions: failed" in review, review)
    check("names it beside its line", any(f["ruleId"] == "assertion" for f in findings), findings)


def a_loose_layout(repo, check):
    repo.change("spec:\n  appliesTo:", "spec:\n  appliesTo:  ")
    status, review, _ = repo.review()
    check("fails", status == 1 and "## Layout: failed" in review and ORDERS in review, review)


def a_file_that_does_not_load(repo, check):
    repo.change("effect: allow", "effect: alow")
    status, review, findings = repo.review()
    check("fails", status != 0 and "did you mean" in review, review)
    check("has a finding", len(findings) > 0, findings)


def recorded_requests(repo, check):
    repo.record(REQUEST.format("GET", "/orders/7") + REQUEST.format("PUT", "/orders/7"))
    repo.change(READS, READS.replace("HEAD", "HEAD, PUT, POST"))
    status, review, _ = repo.review()
    check("people decide", status == 0, review)
    check("one flips", "newly allowed: 1 request" in review and "1 of PUT /orders/{id}" in review, review)


def a_damaged_log(repo, check):
    repo.record(REQUEST.format("GET", "/orders/7"))
    bundle = next((repo.folder / "log/tile/entries").rglob("*.p/*"))
    bundle.write_bytes(bundle.read_bytes().replace(b"/orders/7", b"/orders/8"))
    status, review, _ = repo.review()
    check("cannot be done", status == 2 and "countersign audit verify" in review, review)


CASES = (as_it_stands, a_widening, a_narrowing, a_failing_test, a_broken_assertion, a_loose_layout,
         a_file_that_does_not_load, recorded_requests, a_damaged_log)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    build, failures, count = parser.parse_args().build.resolve(), [], 0
    for case in CASES:
        def check(what, good, shown):
            nonlocal count
            count += 1
            if not good:
                failures.append(f"{case.__name__}: {what}\n--- shown:\n{shown}")
        with tempfile.TemporaryDirectory(prefix="policy-repo-") as folder:
            case(Repository(pathlib.Path(folder), build), check)
    print(f"{len(CASES)} changes, {count} checks, {len(failures)} failed")
    print("\n".join(failures))
    return 1 if failures or count < 15 else 0


sys.exit(main())
