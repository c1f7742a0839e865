#!/usr/bin/env python3
"""The documentation names tests, files and verbs: each must exist."""
import pathlib
import re
import sys

TOP = pathlib.Path(sys.argv[1])


def known_tests():
    names = set()
    for path in (TOP / "tests").rglob("*.cc"):
        for suite, test in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", path.read_text(), re.M):
            names.add(f"{suite}.{test}")
    return names


def main():
    errors, tests, links = [], known_tests(), 0
    for path in [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]:
        text = path.read_text()
        for name in re.findall(r"`(\w+Test\.\w+)`", text):
            links += 1
            if name not in tests:
                errors.append(f"{path.name}: no test {name}")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            links += 1
            if not (path.parent / target).exists():
                errors.append(f"{path.name}: no file {target}")
        for target in re.findall(r"`((?:docs|tests|examples|deploy|tools|bench|policies|proto)/[\w./-]+)`", text):
            links += 1
            if not (TOP / target).exists():
                errors.append(f"{path.name}: no file {target}")
    print("\n".join(errors))
    print(f"{links} names and links looked up, {len(errors)} missing")
    return 1 if errors or links < 60 else 0


sys.exit(main())
