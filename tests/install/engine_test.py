#!/usr/bin/env python3
"""The installed policy engine: the example builds against it outside of this tree and judges; every installed
header stands alone."""
import argparse
import os
import pathlib
import subprocess
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
OPTIONS = None
ORDERS = "spiffe://shop.example/ns/prod/sa/orders"
WEB = "spiffe://shop.example/ns/prod/sa/web"


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=240, **more)
    return done.returncode, done.stdout, done.stderr


class InstalledEngine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.top = pathlib.Path(cls.folder.name)
        cls.prefix = cls.top / "prefix"
        cls.good(OPTIONS.cmake, "--install", OPTIONS.build, "--component", "engine", "--prefix", cls.prefix)
        cls.include = cls.prefix / "include" / "countersign"

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @staticmethod
    def good(*words):
        code, out, err = run(*words)
        if code != 0:
            raise AssertionError(f"{words}: {code}\n{out}\n{err}")
        return out

    def test_the_example_judges(self):
        # A copy elsewhere: it can find nothing of this tree.
        source = self.top / "engine"
        source.mkdir()
        for name in ("CMakeLists.txt", "judge.cc"):
            (source / name).write_bytes((TOP / "examples" / "engine" / name).read_bytes())
        build = self.top / "build"
        self.good(OPTIONS.cmake, "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
                  f"-DCMAKE_CXX_COMPILER={OPTIONS.compiler}")
        self.good(OPTIONS.cmake, "--build", build)
        judge = build / "judge"
        policies = TOP / "policies" / "shop"
        self.assertEqual(run(judge, policies, ORDERS, WEB, "GET", "/orders/7")[:2], (0, "allow_rule\n"))
        code, out, _ = run(judge, policies, ORDERS, WEB, "DELETE", "/orders/7")
        self.assertEqual((code, out), (1, "deny_rule\n"))
        stranger = "spiffe://shop.example/ns/prod/sa/stranger"
        self.assertEqual(run(judge, policies, ORDERS, stranger, "GET", "/orders/7")[:2], (1, "no_rule_matched\n"))
        broken = self.top / "broken.yaml"
        broken.write_text("kind: Nonsense\n")
        code, out, err = run(judge, broken, ORDERS, WEB, "GET", "/orders/7")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("broken.yaml:1:", err)

    def test_every_header_stands_alone(self):
        headers = sorted(self.include.rglob("*.h"))
        self.assertGreater(len(headers), 10)
        text = "".join(f'#include "{path.relative_to(self.include)}"\n' for path in headers)
        # Together in one go; one that includes what was not installed fails whatever its place.
        together = self.top / "all.cc"
        together.write_text(text)
        self.good(OPTIONS.compiler, "-std=c++20", "-fsyntax-only", "-I", self.include, together)
        included = {line.split('"')[1] for path in headers for line in path.read_text().splitlines()
                    if line.startswith('#include "')}
        for name in included:
            self.assertTrue((self.include / name).exists(), name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--compiler", required=True)
    OPTIONS = parser.parse_args()
    os.environ.pop("CPLUS_INCLUDE_PATH", None)
    unittest.main(argv=["engine_test"], verbosity=2)
