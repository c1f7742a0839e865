"""TLS peers of the story: good and deliberately bad certificates, raw handshakes, a sniffer."""
import pathlib
import socket
import ssl
import subprocess
import threading
import time


def openssl(*words, folder):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


class Authority:
    """A certificate authority on files: of another domain, or the mesh's own key for hostile leaves."""

    def __init__(self, folder, certificate=None, key=None, trust_domain="evil.example"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = certificate, key
        if certificate is None:
            self.certificate, self.key = self.folder / "ca.pem", self.folder / "ca.key"
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    self.key, "-out", self.certificate, "-subj", f"/O={trust_domain}", "-days", "1",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                    "-addext", f"subjectAltName=URI:spiffe://{trust_domain}", folder=self.folder)

    def leaf(self, name, uris, ca=False, days="1"):
        """A leaf with the given URI SANs; returns (chain file, key file)."""
        key, request = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        extensions, certificate = self.folder / f"{name}.ext", self.folder / f"{name}.pem"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                "-out", request, "-subj", f"/O=story/CN={name}", folder=self.folder)
        usage = "keyCertSign,cRLSign,digitalSignature" if ca else "digitalSignature"
        extensions.write_text(
            f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}\nkeyUsage=critical,{usage}\n"
            "extendedKeyUsage=serverAuth,clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
            "subjectAltName=" + ",".join(f"URI:{uri}" for uri in uris) + "\n")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", certificate, folder=self.folder)
        return certificate, key


def handshake(address, certificate=None, key=None, version=ssl.TLSVersion.TLSv1_3):
    """Speaks TLS to a proxy and asks for an order; returns (TLS version, peer certificate DER, answer).

    The server's certificate is not verified here: what is looked at is what the proxy makes of ours. An
    ssl.SSLError or ConnectionError means that the proxy refused.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["http/1.1"])
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    with socket.create_connection(address, timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname="orders") as tls:
            tls.sendall(b"GET /orders/7 HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n")
            answer = b""
            while block := tls.recv(65536):
                answer += block
            if not answer:
                raise ConnectionError("closed without an answer")
            return tls.version(), tls.getpeercert(binary_form=True), answer


def is_refused(address, certificate=None, key=None, version=ssl.TLSVersion.TLSv1_3):
    """True if the proxy ended the connection before any application byte came back."""
    try:
        handshake(address, certificate, key, version)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def certificate_facts(der_or_path):
    """(serial in lower-case hex, list of URI SANs) of a certificate."""
    data = der_or_path if isinstance(der_or_path, bytes) else pathlib.Path(der_or_path).read_bytes()
    form = ["-inform", "DER"] if isinstance(der_or_path, bytes) else []
    text = subprocess.run(["openssl", "x509", *form, "-noout", "-serial", "-ext", "subjectAltName"], input=data,
                          capture_output=True, check=True).stdout.decode()
    serial = text.split("serial=")[1].split()[0].lower().lstrip("0")
    uris = [part.strip().removeprefix("URI:") for line in text.splitlines() for part in line.split(",")
            if part.strip().startswith("URI:")]
    return serial, uris


class Sniffer:
    """Reads the loopback interface as root and keeps the payload of the given TCP ports."""

    def __init__(self, ports):
        self.ports = set(ports)
        self.bytes = bytearray()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.1)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while not self.done.is_set() or time.monotonic() < self.drained_by:
            try:
                frame = self.socket.recv(65536)
            except socket.timeout:
                if self.done.is_set():
                    return  # Nothing is queued any more.
                continue
            header = 14 + (frame[14] & 15) * 4
            if len(frame) < header + 20 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
                continue
            ports = {int.from_bytes(frame[header:header + 2], "big"),
                     int.from_bytes(frame[header + 2:header + 4], "big")}
            if ports & self.ports:
                self.bytes += frame[header + (frame[header + 12] >> 4) * 4:]

    def stop(self):
        self.drained_by = time.monotonic() + 2  # The interface may never be quiet.
        self.done.set()
        self.thread.join()
        self.socket.close()
        return bytes(self.bytes)
