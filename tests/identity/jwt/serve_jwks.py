#!/usr/bin/python3
"""serve_jwks.py FOLDER: HTTPS on a free port of 127.0.0.1 with FOLDER/{cert,key}.pem; prints the port. Serves
FOLDER/jwks.json at /jwks, and one bad answer a path."""
import http.server
import ssl
import sys

folder = sys.argv[1]


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/jwks":
            self.answer(200, open(folder + "/jwks.json", "rb").read(), Cache_Control="public, max-age=120")
        elif self.path == "/redirect":
            self.answer(302, Location="/jwks")
        elif self.path == "/large":
            self.answer(200, b" " * (1024 * 1024 + 1))
        elif self.path == "/largest":
            self.answer(200, b" " * (1024 * 1024))
        elif self.path == "/broken":
            self.answer(500, b'{"keys":[]}')
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b'{"keys":[]}')
            self.close_connection = True
        else:
            self.answer(404)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"port {server.server_port};", flush=True)
server.serve_forever()
