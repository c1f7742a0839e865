#!/usr/bin/env python3
"""The documentation names tests, files and verbs: each must exist, and each attack of the threat model has its test."""
import pathlib
import re
import sys

TOP = pathlib.Path(sys.argv[1])
ROOMS = "docs|tests|examples|deploy|tools|bench|policies|proto|base|identity|authz|audit|sds|proxy_agent|cli"


def known_tests():
    names = set()
    for path in (TOP / "tests").rglob("*.cc"):
        for suite, test in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", path.read_text(), re.M):
            names.add(f"{suite}.{test}")
    return names


def known_steps():
    return {number for path in (TOP / "examples/shop/story").glob("*.py")
            for number in re.findall(r"\.step\((\d+),", path.read_text())}


def exists(target):
    """A file, a folder, or the files that a brace or a star stands for."""
    base, brace, rest = target.partition("{")
    if brace:
        words, _, end = rest.partition("}")
        return all(exists(base + word + end) for word in words.split(","))
    if (TOP / target).exists() or any(TOP.glob(target)):
        return True
    # Also a module (`identity/peer_verifier`) and a library's short name (`authz/yaml`).
    return any(TOP.glob(target.rstrip("/") + ".*"))


def rows_without_a_test(path, tests):
    """Rows of the tables whose last column is "test": each names a test, a step of the story or a test's file."""
    column, steps = False, known_steps()
    for line in path.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            column = False
        elif cells[-1].rstrip(" |") == "test":
            column = True
        elif column and not set(line) <= set("|- "):
            named = set(re.findall(r"`(\w+\.\w+)`", cells[-1])) & tests
            told = set(re.findall(r"story (\d+)", cells[-1])) & steps
            files = [f for f in re.findall(r"`(tests/[\w./]+)`", cells[-1]) if (TOP / f).exists()]
            if not named and not told and not files:
                yield cells[0]


def packages_and_their_page():
    """docs/dependencies.md names each package that the scripts install, in a column of its own, and no other."""
    lines = (TOP / "tools/packages.txt").read_text().splitlines()
    installed = {line.split()[1] for line in lines if line and not line.startswith("#")}
    named, column = set(), None
    for line in (TOP / "docs/dependencies.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            column = None
        elif "Debian package" in cells:
            column = cells.index("Debian package")
        elif column is not None and len(cells) > column:
            named |= set(re.findall(r"`([^`]+)`", cells[column]))
    for name in sorted(installed ^ named):
        yield f"dependencies.md: {name} is " + ("not named" if name in installed else "not in tools/packages.txt")


def metrics_and_their_page():
    """docs/operations.md lists every metric of the proxy with its type and meaning, and no other."""
    source = (TOP / "proxy_agent/metrics.cc").read_text()
    made = {(name, kind, doc) for name, kind, doc in
            re.findall(r'\.Family\("(\w+)",\s*"(\w+)",\s*"([^"]+)"\)', source)}
    page = (TOP / "docs/operations.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `countersign_proxy_(\w+)` \| (\w+) \| (.+) \|$", page, re.M))
    if len(made) < 20 or len(made) != source.count(".Family("):
        yield "proxy_agent/metrics.cc: its metrics cannot be read any more"
    for name, kind, doc in sorted(made ^ told):
        yield f"operations.md: the metric {name} ({kind}: {doc}) is " + ("missing" if (name, kind, doc) in made else "not made")


def main():
    errors, tests, links = [], known_tests(), 0
    for path in [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]:
        text = path.read_text()
        for name in re.findall(r"`(\w+Test\.\w+)`", text):
            links += 1
            if name not in tests:
                errors.append(f"{path.name}: no test {name}")
        for number in re.findall(r"\bstory (\d+)", text):
            links += 1
            if number not in known_steps():
                errors.append(f"{path.name}: the story has no step {number}")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            links += 1
            if not (path.parent / target).exists():
                errors.append(f"{path.name}: no file {target}")
        for target in re.findall(rf"`((?:{ROOMS})/[\w./*{{}},-]+)`", text):
            links += 1
            if not exists(target):
                errors.append(f"{path.name}: no file {target}")
    for name in ("threat_model.md", "operations.md"):
        errors += [f"{name}: no test for: {row}" for row in rows_without_a_test(TOP / "docs" / name, tests)]
    errors += packages_and_their_page()
    errors += metrics_and_their_page()
    print("\n".join(errors))
    print(f"{links} names and links looked up, {len(errors)} missing")
    return 1 if errors or links < 60 else 0


sys.exit(main())
