#!/usr/bin/env python3
"""A real Envoy asks `countersign pdp run` by ext_authz. Alone: pdp_envoy.py --bin BIN --envoy ENVOY"""
import argparse
import http.client
import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

ORDERS = "spiffe://shop.example/ns/prod/sa/orders"
WEB = "spiffe://shop.example/ns/prod/sa/web"
POLICY = f"""apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: {{ name: shop }}
spec:
  owner: {{ id: spiffe://shop.example/people/leads }}
  scope: {{ under: spiffe://shop.example }}
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: {{ name: orders }}
spec:
  appliesTo: {{ id: {ORDERS} }}
  rules:
    - name: reads
      effect: allow
      from: [{{ id: {WEB} }}]
      to: [{{ methods: [GET], path: {{ under: /orders }} }}]
    - name: tenant
      effect: allow
      from: [{{ id: {WEB} }}]
      to: [{{ methods: [POST], path: /tenant }}]
      when: {{ headers: {{ x-tenant: acme }} }}
"""
LISTENER = """    - name: {name}
      address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: true
              common_tls_context:
                tls_certificates: [{{certificate_chain: {{filename: {top}/orders.pem}}, private_key: {{filename: {top}/orders.key}}}}]
                validation_context: {{trusted_ca: {{filename: {top}/ca.pem}}}}
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: {name}
                http_filters:
                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                      transport_api_version: V3
                      failure_mode_allow: {failure_mode_allow}
                      encode_raw_headers: {raw}
                      include_tls_session: true
                      grpc_service: {{envoy_grpc: {{cluster_name: pdp}}, timeout: 5s}}
                  - {{name: envoy.filters.http.router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}
                route_config:
                  virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: ""}}, route: {{cluster: application}}}}]}}]
"""
BOOTSTRAP = """static_resources:
  clusters:
    - name: pdp
      type: STATIC
      connect_timeout: 1s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{http2_protocol_options: {{}}}}
      load_assignment: {{cluster_name: pdp, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{pipe: {{path: "{top}/authz.sock"}}}}}}}}]}}]}}
    - name: application
      type: STATIC
      connect_timeout: 1s
      load_assignment: {{cluster_name: application, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {application}}}}}}}}}]}}]}}
  listeners:
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """The application: answers with the headers that reached it."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"headers": self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def make_certificates(top):
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=top, check=True, capture_output=True, timeout=60)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test")
    for name, uri in (("orders", ORDERS), ("web", WEB), ("stranger", "https://shop.example/web")):
        (top / f"{name}.ext").write_text(f"subjectAltName=critical,URI:{uri}\n")
        openssl("req", "-new", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/O=test")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext")


class Step:
    def __init__(self, programs, envoy, top, check):
        self.programs, self.envoy, self.top, self.check, self.children = programs, envoy, top, check, []
        self.ports = {name: free_port() for name in ("strict", "lenient", "joined")}

    def start(self, name, *command):
        with open(self.top / f"{name}.log", "w") as log:
            child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=subprocess.STDOUT)
        self.children.append(child)
        return child

    def start_pdp(self):
        return self.start("pdp", self.programs / "countersign", "pdp", "run", "--policies", self.top / "policies",
                          "--workload", ORDERS, "--listen-grpc", f"unix:{self.top}/authz.sock")

    def ask(self, listener, method, path, headers=(), caller="web"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(self.top / f"{caller}.pem", self.top / f"{caller}.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports[listener], context=context, timeout=20)
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("content-length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, json.loads(body) if body.startswith("{") else body

    def expect(self, text, status, *arguments, **words):
        got = self.ask(*arguments, **words)
        self.check(got[0] == status, text, str(got))
        return got[1]

    def wait_for(self, what, status, *arguments):
        deadline = time.monotonic() + 60
        got = None
        while time.monotonic() < deadline:
            try:
                got = self.ask(*arguments)
                if got[0] == status:
                    return
            except (OSError, http.client.HTTPException) as error:
                got = error
            time.sleep(0.1)
        self.check(False, what, str(got))

    def run(self):
        make_certificates(self.top)
        (self.top / "policies").mkdir()
        (self.top / "policies/shop.yaml").write_text("kind: [\n")
        application = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=application.serve_forever, daemon=True).start()
        bootstrap = BOOTSTRAP.format(top=self.top, application=application.server_address[1])
        for name, lenient, raw in (("strict", "false", "true"), ("lenient", "true", "true"),
                                   ("joined", "false", "false")):
            bootstrap += LISTENER.format(name=name, port=self.ports[name], top=self.top, failure_mode_allow=lenient, raw=raw)
        (self.top / "bootstrap.yaml").write_text(bootstrap)
        pdp = self.start_pdp()
        deadline = time.monotonic() + 60
        while not (self.top / "authz.sock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.start("envoy", self.envoy, "-c", self.top / "bootstrap.yaml", "--concurrency", "1", "--disable-hot-restart",
                   "--log-level", "warning")
        self.judge(pdp)
        application.shutdown()

    def judge(self, pdp):
        self.wait_for("Envoy is up", 403, "lenient", "GET", "/orders/7")
        self.check(True, "Envoy, pdp: before the first good policy everything is denied, with failure_mode_allow too")
        (self.top / "policies/shop.yaml").write_text(POLICY)
        self.wait_for("the mended folder is in force", 200, "strict", "GET", "/orders/7")
        for listener in ("strict", "lenient", "joined"):
            spoofed = [("X-Countersign-Decision", "spoofed"), ("x-countersign-decision", "again")]
            seen = self.expect(f"Envoy ({listener}): policy allows it", 200, listener, "GET", "/orders/7?page=2", spoofed)
            ids = [value for name, value in seen["headers"] if name.lower() == "x-countersign-decision"]
            self.check(len(ids) == 1 and len(ids[0]) == 32, f"Envoy ({listener}): the decision's id replaces what was spoofed",
                       str(ids))
            body = self.expect(f"Envoy ({listener}): policy denies it: 403", 403, listener, "DELETE", "/orders/7")
            self.check(list(body) == ["decision"] and body["decision"] in (self.top / "pdp.log").read_text(),
                       f"Envoy ({listener}): the denied caller gets the id of the log and nothing more", str(body))
            self.expect(f"Envoy ({listener}): a caller that is no SPIFFE ID is denied", 403, listener, "GET", "/orders/7",
                        caller="stranger")
            body = self.expect(f"Envoy ({listener}): a path that is not canonical is 400", 400, listener, "GET", "//orders/7")
            self.check(body.get("reason") == "not_canonical", f"Envoy ({listener}): and says so", str(body))
            self.expect(f"Envoy ({listener}): one line of a header", 200, listener, "POST", "/tenant", [("x-tenant", "acme")])
            self.expect(f"Envoy ({listener}): two lines of a header that a rule names are 400", 400, listener, "POST", "/tenant",
                        [("x-tenant", "acme"), ("x-tenant", "acme")])
            status = self.ask(listener, "POST", "/tenant", [("x-tenant", b"acme\xff")])[0]
            self.check(status == (400 if listener == "joined" else 403),
                       f"Envoy ({listener}): bytes that are no UTF-8 are judged, not let through", str(status))
        pdp.terminate()
        self.check(pdp.wait(30) == 0, "pdp: SIGTERM ends it with status 0")
        self.expect("Envoy (strict): without the decision point nothing passes", 403, "strict", "GET", "/orders/7")
        self.start_pdp()
        self.wait_for("a decision point that was started again is used", 200, "strict", "GET", "/orders/7")
        self.check(True, "Envoy: a decision point that was started again is used")

    def stop(self):
        for child in self.children:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def pdp_envoy(programs, envoy, check):
    """check(good, text, why) raises when something is not good."""
    with tempfile.TemporaryDirectory(prefix="countersign-pdp-") as name:
        step = Step(pathlib.Path(programs), envoy, pathlib.Path(name), check)
        try:
            step.run()
        except Exception:
            for log in ("pdp.log", "envoy.log"):
                path = step.top / log
                print(f"--- {log}\n{path.read_text()[-4000:] if path.exists() else ''}", file=sys.stderr)
            raise
        finally:
            step.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--envoy", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    count = 0

    def check(good, text, why=""):
        nonlocal count
        if not good:
            raise AssertionError(f"{text}: {why}")
        count += 1
        print(f"ok  {text}", flush=True)

    pdp_envoy(arguments.bin.resolve(), arguments.envoy.resolve(), check)
    print(f"{count} passed, 0 failed")


if __name__ == "__main__":
    main()
