"""Steps 2 to 5: an order is read, a deletion is denied, strangers are refused, SVIDs rotate."""
import json
import os
import signal
import subprocess
import time

from .load import Load, together
from .mesh import Failed, wait_until
from .peers import Authority, Sniffer, certificate_facts, handshake, is_refused

ORDERS = "spiffe://shop.example/ns/prod/sa/orders"
WEB = "spiffe://shop.example/ns/prod/sa/web"
DOOR = "http://127.0.0.1:18080"
ORDERS_ADDRESS = ("127.0.0.1", 18443)


def fetch_svid(mesh, registration, proxy_uid, folder):
    """Writes the SVID that a proxy's user is given by the agent to files, with `countersign svid write`."""
    folder.mkdir(mode=0o700)
    env = mesh.env()
    if mesh.root:
        os.chown(folder, proxy_uid, proxy_uid)
    else:
        env["COUNTERSIGN_DEMO_WORKLOAD"] = registration
    # The agent looks at the caller's user; the copy in the mesh's folder is one that every user may run.
    done = subprocess.run([mesh.cli_for_users(), "svid", "write", "--dir", str(folder), "--once"], env=env,
                          capture_output=True, text=True, timeout=30, cwd="/", **mesh.as_user(proxy_uid))
    if done.returncode != 0:
        raise RuntimeError(f"countersign svid write: {done.stdout}{done.stderr}")
    return folder / "svid.pem", folder / "key.pem"


def reads_an_order(story):
    story.step(2, "web reads an order, through two proxies")
    mesh = story.mesh
    sniffer = Sniffer([18443, 18444]) if mesh.root else None
    status, body = mesh.curl(f"{DOOR}/orders/7")
    captured = sniffer.stop() if sniffer else b""
    story.check(status == 200 and "a kettle" in body, f"GET /orders/7 is 200, with nginx's own bytes: {body.strip()}",
                f"{status} {body!r}")
    if sniffer:
        story.check(len(captured) > 500, f"{len(captured)} bytes were captured between the proxies")
        story.check(b"kettle" not in captured and b"GET " not in captured and b"orders/7" not in captured,
                    "none of them is plaintext")
        story.check(b"\x00\x2b\x00\x02\x03\x04" in captured, "the ServerHello among them chose TLS 1.3")
    else:
        story.note("the capture between the proxies needs root")
    status, body = mesh.curl(f"{DOOR}/orders/caller")
    story.check(f"URI={WEB}" in body, "the application is told who called, by the proxy: " + body.strip()[-60:], body)
    mesh.svid = fetch_svid(mesh, "web", 70020, mesh.top / "web-svid")
    mesh.svid_written = time.monotonic()
    version, certificate, answer = handshake(ORDERS_ADDRESS, *mesh.svid)
    story.check(version == "TLSv1.3" and certificate_facts(certificate)[1] == [ORDERS],
                f"a TLS 1.3 client with web's SVID meets {ORDERS}", str(certificate_facts(certificate)))
    found = wait_until("the record and its end are in the log", lambda: [
        r for r in mesh.json("audit", "search", "--caller", WEB, "--callee", ORDERS, "--effect", "allow")
        if r["listener"] == "http" and r["path"] == "/orders/7" and "completion" in r])
    story.check(found[0]["method"] == "GET", "both identities stand in the audit record, with the method and the path",
                str(found[0]))
    ended = found[0]["completion"]
    story.check(ended["status"] == 200 and ended["bytes_out"] > 40 and ended["duration_ns"] > 0,
                f"and so does how it ended: {ended['status']}, {ended['bytes_out']} bytes, "
                f"{ended['duration_ns'] / 1e6:.1f} ms", str(ended))


def is_denied(story):
    story.step(3, "web deletes an order: denied, and the denial explains itself")
    mesh = story.mesh
    status, body = mesh.curl("-X", "DELETE", f"{DOOR}/orders/7")
    answer = json.loads(body)
    story.check(status == 403 and list(answer) == ["decision"], f"403 with a decision id and nothing more: {body}",
                f"{status} {body}")
    mesh.denied = answer["decision"]
    stopped = mesh.pid("server")
    os.kill(stopped, signal.SIGSTOP)  # A server that answers nothing.
    try:
        env = dict(mesh.env(), COUNTERSIGN_SERVER_SOCKET="/nonexistent")
        text = wait_until("the record is in the log", lambda: explain(mesh, env))
        facts = mesh.json("audit", "explain", mesh.denied, env=env)
    finally:
        os.kill(stopped, signal.SIGCONT)
    story.check("shop/orders/nobody-purges" in text, "countersign audit explain names the rule, with the server dead",
                text)
    versions = {s["digest"] for s in mesh.proxies()["orders-1"]["acknowledged"]}
    judged = [p for p in facts["policies"] if p["digest"] in versions]
    story.check(judged and f"shop version {judged[0]['version']}" in text, "and the policy version that judged",
                f"{text} {facts} {versions}")
    nearest = facts.get("nearest_miss", {})
    story.check(bool(nearest.get("rule")) and bool(nearest.get("field")),
                f"and the nearest allow: {nearest.get('rule')}, which failed in {nearest.get('field')}", str(facts))
    for line in text.strip().splitlines():
        story.note("    " + line)
    detours(story)


def detours(story):
    """One byte string is judged, forwarded and logged, however the path was written."""
    mesh = story.mesh
    status, body = mesh.curl("--path-as-is", "-X", "DELETE", f"{DOOR}/static/../orders/7")
    story.check(status == 403, "DELETE /static/../orders/7 is denied as well", f"{status} {body}")
    decision = json.loads(body)["decision"]
    shown = wait_until("its record is in the log", lambda: record(mesh, decision))
    story.check((shown["method"], shown["path"], shown["rule"]) == ("DELETE", "/orders/7", "shop/orders/nobody-purges"),
                f"and logged as what was judged: {shown['method']} {shown['path']}", str(shown))
    story.check(shown["completion"]["status"] == 403 and shown["completion"]["bytes_out"] == len(body),
                f"and as what was answered: 403, {len(body)} bytes", f"{shown} {body!r}")
    status, body = mesh.curl("--path-as-is", f"{DOOR}/static/../orders/detour")
    forwarded = json.loads(body)["order"] if status == 200 else ""
    logged = wait_until("its record is in the log", lambda: {
        r["path"] for r in mesh.json("audit", "search", "--caller", WEB, "--callee", ORDERS, "--effect", "allow")
        if r["listener"] == "http" and "detour" in r["path"]})
    story.check({forwarded} == logged, f"GET /static/../orders/detour: forwarded and logged as {forwarded}",
                f"{status} {body} {logged}")


def record(mesh, decision):
    """A decision's record once it and its end are in the log."""
    done = mesh.run("audit", "show", decision, "-o", "json", ok=None)
    shown = json.loads(done.stdout) if done.returncode == 0 else {}
    return shown if "completion" in shown else None


def explain(mesh, env):
    done = mesh.run("audit", "explain", mesh.denied, env=env, ok=None)
    return done.stdout if done.returncode == 0 else ""


def are_refused(story):
    story.step(4, "Strangers are refused, in the handshake")
    mesh = story.mesh
    story.check(is_refused(ORDERS_ADDRESS), "no client certificate")
    evil = Authority(mesh.top / "evil")
    story.check(is_refused(ORDERS_ADDRESS, *evil.leaf("web", ["spiffe://evil.example/ns/prod/sa/web"])),
                "a certificate of another trust domain")
    story.check(is_refused(ORDERS_ADDRESS, *evil.leaf("forged", [WEB])), "web's name under another authority")
    if mesh.root:
        own = Authority(mesh.top / "own", *mesh.ca_files())
        good = own.leaf("good", [WEB])
        story.check(not is_refused(ORDERS_ADDRESS, *good), "(a well-formed leaf of the mesh's own authority is let in)")
        story.check(is_refused(ORDERS_ADDRESS, *own.leaf("two", [WEB, WEB + "2"])), "two URI SANs")
        story.check(is_refused(ORDERS_ADDRESS, *own.leaf("authority", [WEB], ca=True)), "a CA certificate as leaf")
        story.check("kettle" in dial_directly(mesh, 70021).stdout, "(the application answers its own proxy's user)")
        done = dial_directly(mesh, 70010)
        story.check(done.returncode != 0 and not done.stdout, "the application dialled directly by another user")
        status, body = mesh.curl(f"{DOOR}/orders/7", uid=70099)
        story.check(status == 403 and "kettle" not in body, "web's outbound port, used by a user that is not web's")
    else:
        story.note("hostile leaves of the mesh's own authority, and other users, need root")


def dial_directly(mesh, uid):
    return subprocess.run(["curl", "-s", "--max-time", "5", "--unix-socket",
                           str(mesh.folder / "apps/orders-app-1/app.sock"), "http://orders/orders/7"],
                          capture_output=True, text=True, **mesh.as_user(uid))


def rotates_under_load(story):
    story.step(5, "SVIDs live 20 s and are rotated under load; 7000 requests notice nothing")
    mesh = story.mesh
    before = mesh.proxies()
    serials = {name: [before[name]["svid_serial"]] for name in ("web", "orders-1", "orders-2")}
    loads = [Load(mesh, 100), Load(mesh, 100)]
    started = time.monotonic()
    mismatched = []
    # A machine that is too busy for 200 a second gets the time for as many requests, and the line says so.
    while time.monotonic() < started + 35 or sum(load.sent() for load in loads) < 7000:
        if time.monotonic() > started + 140:
            raise Failed(f"{sum(load.sent() for load in loads)} requests were sent in 140 s, and 7000 were due in 35 s")
        time.sleep(0.5)
        now = mesh.proxies()
        for name, seen in serials.items():
            if now[name]["svid_serial"] not in seen:
                seen.append(now[name]["svid_serial"])
        shown = certificate_facts(handshake(ORDERS_ADDRESS, *fresh_svid(mesh))[1])[0]
        # What the proxy says of itself reaches the server a moment after it is in force.
        told, later = time.monotonic() + 5, now["orders-1"]["svid_serial"]
        while shown != later and time.monotonic() < told:
            time.sleep(0.1)
            later = mesh.proxies()["orders-1"]["svid_serial"]
        if shown != later and shown != now["orders-1"]["svid_serial"]:
            mismatched.append((shown, later))
    counts, failures, slowest, seconds = together(loads)
    sent = sum(counts.values()) + len(failures)
    story.check(sent >= 7000 and counts == {200: sent},
                f"{sent} requests in {seconds:.0f} s, not one failed (slowest {slowest * 1000:.0f} ms)",
                f"{counts} {failures[:3]} {len(failures)} failures")
    for name, seen in serials.items():
        story.check(len(seen) >= 3, f"{name}: {len(seen) - 1} rotations", str(seen))
    story.check(not mismatched, "each new connection met the SVID that the proxy had acknowledged", str(mismatched[:3]))
    pause = mesh.svid_written + 21 - time.monotonic()
    if pause > 0:
        time.sleep(pause)
    story.check(is_refused(ORDERS_ADDRESS, *mesh.svid), "web's first SVID, now expired, is refused")


def fresh_svid(mesh):
    """web's current SVID; fetched anew when the one in hand is half used."""
    if getattr(mesh, "fresh", None) is None or time.monotonic() - mesh.fresh_at > 8:
        mesh.fresh_number = getattr(mesh, "fresh_number", 0) + 1
        mesh.fresh = fetch_svid(mesh, "web", 70020, mesh.top / f"web-svid-{mesh.fresh_number}")
        mesh.fresh_at = time.monotonic()
    return mesh.fresh
