"""TLS peers of Debian's packages, which hold SVIDs in files: openssl s_client, curl, nginx; wrk as load."""
import os
import pathlib
import re
import subprocess
import time

from story.mesh import wait_until
from story.peers import certificate_facts
from story.steps_traffic import fetch_svid

HERE = pathlib.Path(__file__).resolve().parent
NGINX_UID = 70050
NAME = "orders.shop.example"
DOOR = ("127.0.0.1", 18443)


def tool(*words):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=30, cwd="/")


def s_client(folder, *words, request="GET /orders/7 HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n"):
    return subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % DOOR, "-CAfile", folder / "bundle.pem",
                           "-verify_return_error", "-verify_hostname", NAME, "-ign_eof", *words],
                          input=request, capture_output=True, text=True, timeout=30)


def openssl_and_curl(c):
    folder = fetch_svid(c.mesh, "web", 70020, c.mesh.top / "peer-svid")[0].parent
    own = ("-cert", folder / "svid.pem", "-key", folder / "key.pem")

    def named():
        done = s_client(folder, *own)
        return done if "Verify return code: 0 (ok)" in done.stdout else None

    done = wait_until("orders shows an SVID with its DNS name", named, 30)
    c.check("HTTP/1.1 200 OK" in done.stdout and "TLSv1.3" in done.stdout and "kettle" in done.stdout,
            "openssl s_client with web's SVID verifies orders by the bundle and reads an order", done.stdout[-600:])
    done = s_client(folder)
    c.check("HTTP/1.1" not in done.stdout and "certificate required" in done.stderr,
            "openssl s_client without a certificate is told that one is required", done.stderr[-400:])
    done = s_client(folder, *own, "-tls1_2")
    c.check("HTTP/1.1" not in done.stdout and "protocol version" in done.stderr,
            "openssl s_client with TLS 1.2 is refused", done.stderr[-400:])
    url = f"https://{NAME}:{DOOR[1]}/orders/7"
    words = ("curl", "-sS", "--max-time", "10", "--resolve", f"{NAME}:{DOOR[1]}:{DOOR[0]}", "--cacert", folder / "bundle.pem")
    done = tool(*words, "--cert", folder / "svid.pem", "--key", folder / "key.pem", url)
    c.check(done.returncode == 0 and "kettle" in done.stdout, "curl with web's SVID reads an order", done.stderr)
    done = tool(*words, "--cert", folder / "svid.pem", "--key", folder / "key.pem", "-X", "DELETE", "-w", "%{http_code}", url)
    c.check(done.stdout.endswith("403"), "curl's DELETE is judged by the same policy: 403", done.stdout)
    done = tool(*words, url)
    c.check(done.returncode != 0 and not done.stdout, "curl without a certificate gets nothing", done.stdout)


def nginx_both_ways(c):
    run = c.mesh.top / "nginx"
    run.mkdir(mode=0o700)
    os.chown(run, NGINX_UID, NGINX_UID)
    (run / "nginx.conf").write_text((HERE / "debian/nginx.conf").read_text().replace("{{run}}", str(run)))
    wait_until("the agent gives nginx its SVID", lambda: first_files(c, run), 30)
    c.start("nginx", ["/usr/sbin/nginx", "-p", str(run), "-c", "nginx.conf", "-e", "stderr"], NGINX_UID)
    wait_until("nginx is up", (run / "nginx.pid").exists, 10)
    _, log = c.start("svid-write", [c.mesh.cli_for_users(), "svid", "write", "--dir", str(run / "svid"),
                                         "--pid-file", str(run / "nginx.pid"), "--signal", "HUP"], NGINX_UID)
    there = ("http://127.0.0.1:18091/x", "nginx met SUCCESS over TLSv1.3")
    back = ("http://127.0.0.1:18596/orders/7", "kettle")
    wait_until("web reaches nginx", lambda: there[1] in c.mesh.curl(there[0])[1], 20)
    c.check(True, "web's proxy reaches nginx, which verified web's SVID by the bundle")
    wait_until("nginx reaches orders", lambda: back[1] in c.mesh.curl(back[0])[1], 20)
    c.check(True, "nginx with its SVID in files reaches orders, and verified its name and chain")
    serials, wrong, asked = set(), [], 0
    deadline = time.monotonic() + 14
    while time.monotonic() < deadline:
        serials.add(certificate_facts(run / "svid/svid.pem")[0])
        for url, text in (there, back):
            asked += 1
            status, body = c.mesh.curl(url)
            if status != 200 or text not in body:
                wrong.append((url, status, body))
        time.sleep(0.05)
    c.check(len(serials) >= 3, f"countersign svid write --signal HUP: {len(serials) - 1} rotations", log.read_text())
    c.check(not wrong, f"nginx, reloaded each time: {asked} requests both ways, none failed", str(wrong[:3]))


def first_files(c, run):
    folder = run / "svid"
    if folder.exists():
        folder.rmdir()
    try:
        return fetch_svid(c.mesh, "nginx", NGINX_UID, folder)
    except RuntimeError:
        return None  # The registration has not reached the agent yet.


def wrk_load(c):
    done = subprocess.run(["wrk", "-t1", "-c20", "-d5", "-H", "Host: orders", "http://127.0.0.1:18080/orders/7"],
                          capture_output=True, text=True, timeout=30, cwd="/", **c.mesh.as_user(70010))
    sent = int((re.search(r"(\d+) requests in", done.stdout) or [0, 0])[1])
    c.check(sent > 500 and "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout,
            f"wrk: {sent} requests on 20 connections, each answered with 200", done.stdout + done.stderr)


def debian_peers(c):
    c.mesh.run("apply", "-f", HERE / "debian/mesh.yaml")
    c.mesh.run("apply", "-f", HERE / "debian/policies")
    openssl_and_curl(c)
    nginx_both_ways(c)
    wrk_load(c)
