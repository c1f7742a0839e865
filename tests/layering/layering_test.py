#!/usr/bin/env python3
"""Reads every #include of the tree and fails on an arrow that is not allowed; docs/architecture.md says the same."""
import pathlib
import re
import sys

TOP = pathlib.Path(sys.argv[1])

# Room -> rooms it may include. A room is the longest matching path prefix.
ALLOWED = {
    "base": [],
    "base/crypto": ["base"],
    "base/unix_grpc": ["base"],
    "identity/values": ["base"],  # spiffe_id.h, verified_peer.h, local_caller.h: no OpenSSL.
    "identity": ["base", "base/crypto", "identity/values"],
    "identity/jwt": ["base", "base/crypto", "identity", "identity/values"],
    "authz/model": ["base"],
    "authz/yaml": ["base"],
    "authz/language": ["base", "authz/model", "identity/values"],  # No RE2: that is what it is held against.
    "authz/kinds": ["base", "base/crypto", "authz/model", "authz/yaml", "authz/language", "identity/values"],
    "authz/engine": ["base", "base/crypto", "authz/model", "authz/language", "identity/values"],
    "authz/import": ["base", "authz/model", "authz/yaml", "authz/kinds", "identity/values"],
    "authz/prove": ["base", "authz/model", "authz/language", "authz/engine", "authz/kinds", "identity/values"],
    "authz/check": ["base", "authz/model", "authz/kinds", "authz/engine", "authz/language", "authz/prove",
                    "identity/values"],
    "authz/bench": ["base", "authz/model", "authz/kinds", "authz/engine"],
    "audit/record": ["base", "base/crypto", "authz/model"],
    "audit/log": ["base", "base/crypto", "authz/model", "audit/record"],
    "audit/query": ["base", "base/crypto", "authz/model", "audit/record", "audit/log"],
    "audit/replay": ["base", "base/crypto", "authz/model", "authz/kinds", "authz/engine", "authz/prove", "audit/record",
                     "audit/log", "audit/query"],
    "sds/client": ["base", "base/crypto", "identity", "identity/values", "proto"],
    "sds/agent": ["base", "base/crypto", "base/unix_grpc", "identity", "identity/values", "authz/model",
                  "authz/kinds", "audit/record", "audit/log", "proto"],
    "identity/server": ["base", "base/crypto", "base/unix_grpc", "identity", "identity/values", "authz/model",
                        "authz/kinds", "authz/engine", "authz/check", "audit/record", "audit/log", "proto"],
    "proxy_agent/http": ["base", "authz/model", "authz/engine", "identity/values"],
    "proxy_agent/route": ["base", "authz/model", "authz/kinds", "authz/engine"],
    "proxy_agent": ["base", "base/crypto", "identity", "identity/values", "authz/model", "authz/kinds",
                    "authz/engine", "audit/record", "sds/client", "proxy_agent/http", "proxy_agent/route"],
    "pdp": ["base", "base/crypto", "base/unix_grpc", "identity", "identity/values", "authz/model", "authz/kinds",
            "authz/engine", "proxy_agent/http", "proto"],
    "cli": ["base", "base/crypto", "identity", "identity/values", "authz/model", "authz/yaml", "authz/kinds",
            "authz/bench", "authz/engine", "authz/check", "authz/import", "authz/prove",
            "audit/record", "audit/log", "audit/query", "audit/replay", "pdp", "proto"],
}
VALUES = {"identity/spiffe_id", "identity/verified_peer", "identity/local_caller"}

# Third-party header -> rooms that may see it.
THIRD_PARTY = {
    r"openssl/": ["base/crypto", "identity", "identity/jwt", "proxy_agent", "sds/agent", "identity/server"],
    r"yaml-cpp/": ["authz/yaml"],
    r"re2/": ["authz/engine", "authz/kinds", "authz/bench", "authz/import"],
    r"sqlite3\.h": ["identity/server"],
    r"spdlog/": ["base"],
    r"curl/": ["identity/jwt"],
    r"CLI/": ["cli", "identity/server", "sds/agent", "proxy_agent"],
    r"grpcpp/": ["base/unix_grpc", "identity/server", "sds/agent", "sds/client", "pdp", "cli"],
}
# Files in which gRPC types may stand.
GRPC_FILES = re.compile(r"(_service|_client|_channel|_stream|main|unix_grpc.*)\.(cc|h)$|_client_|_service_")
ATOMIC_FILES = re.compile(r"^base/(published|ring|counter|wakeup|clock)\.(h|cc)$")
OPENSSL_PROXY = re.compile(r"^proxy_agent/(.*/)?tls_")


def room_of(path):
    stem = path.rsplit(".", 1)[0]
    if stem in VALUES:
        return "identity/values"
    if path.startswith("proto/") or path.endswith((".pb.h", ".grpc.pb.h")):
        return "proto"
    best = ""
    for room in ALLOWED:
        if path.startswith(room + "/") and len(room) > len(best):
            best = room
    return best


def check_file(path, errors):
    name = str(path.relative_to(TOP))
    room = room_of(name)
    if not room:
        errors.append(f"{name}: belongs to no room; add the room to docs/architecture.md and to this test")
        return
    text = path.read_text()
    if len(text.splitlines()) > 500:
        errors.append(f"{name}: {len(text.splitlines())} lines, 500 at most")
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not match:
            continue
        kind, target = match.groups()
        where = f"{name}:{number}"
        if kind == '"':
            to = room_of(target)
            if to and to != room and to not in ALLOWED[room]:
                errors.append(f"{where}: {room} may not include {target} ({to})")
        if target == "atomic" and not ATOMIC_FILES.match(name) and room.startswith(("proxy_agent", "authz", "pdp")):
            errors.append(f"{where}: atomics belong in base/")
        for pattern, rooms in THIRD_PARTY.items():
            if re.match(pattern, target) and room not in rooms:
                errors.append(f"{where}: {room} may not include <{target}>")
        if target.startswith("openssl/") and room == "proxy_agent" and not OPENSSL_PROXY.match(name):
            errors.append(f"{where}: OpenSSL stays in proxy_agent/tls_*")
        if target.startswith("grpcpp/") and not GRPC_FILES.search(name):
            errors.append(f"{where}: gRPC types stay in *_service, *_client and main files")


def spelled_out(words):
    """`audit/{record,log}, values` -> the rooms."""
    rooms = set()
    for word in re.findall(r"[\w/]+(?:\{[\w,]+\})?", words):
        prefix, brace, ends = word.partition("{")
        names = [prefix + end for end in ends.rstrip("}").split(",")] if brace else [word]
        for name in names:
            rooms.add("identity/values" if name == "values" else name)
            if name == "identity":
                rooms.add("identity/values")
    return rooms


def rooms_of_the_page():
    """Room -> rooms that docs/architecture.md says it may include."""
    block = (TOP / "docs/architecture.md").read_text().split("## Rooms")[1].split("```")[1]
    told, room = {}, ""
    for line in block.strip().splitlines():
        line = line.partition("[")[0]  # The third parties are THIRD_PARTY's.
        if not line.startswith(" "):
            room, line = line.split()[0].rstrip("/"), line.partition("->")[2]
            told[room] = ""
        told[room] += line
    return {room: {"base"} | spelled_out(words) for room, words in told.items() if room != "base"}


def compare_with_the_page(errors):
    told = rooms_of_the_page()
    for room in sorted(ALLOWED.keys() - {"base"} | told.keys()):
        allowed = set(ALLOWED.get(room, [])) | {"base"}
        if room not in ALLOWED or room not in told:
            errors.append(f"docs/architecture.md: the room {room} is {'not known' if room not in ALLOWED else 'missing'}")
        elif told[room] != allowed:
            errors.append(f"docs/architecture.md: {room}: not allowed: {sorted(told[room] - allowed)}, "
                          f"not told: {sorted(allowed - told[room])}")


def main():
    errors, count = [], 0
    compare_with_the_page(errors)
    for folder in ["base", "identity", "authz", "audit", "sds", "proxy_agent", "pdp", "cli"]:
        for path in sorted((TOP / folder).rglob("*")):
            if path.suffix in (".cc", ".h"):
                check_file(path, errors)
                count += 1
    print("\n".join(errors))
    print(f"{count} files read, {len(errors)} arrows or limits broken")
    return 1 if errors or count < 20 else 0


sys.exit(main())
