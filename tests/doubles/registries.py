"""A company's network: a registry behind https with a certificate authority of its own, and a proxy to the world outside."""
import base64
import gzip
import hashlib
import io
import json
import select
import socket
import ssl
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import HANG

ADDRESS = "127.0.0.2"  # no address that sandboxes reach by themselves, and no public one


def own_name() -> str:
    """A name of this machine that its resolver knows. npm does not check a certificate for an address when it goes through a proxy."""
    name = socket.gethostname().lower()
    try:
        socket.gethostbyname(name)
    except OSError:
        pytest.skip(f"the name {name} of this machine cannot be resolved")
    return name


@dataclass
class Registry:
    """Serves the package `greet` below /simple (PyPI) and /npm. login: user:password that it wants, or ''. broken: status that it answers everything
    with, or 0. asked: paths."""

    login: str = ""
    broken: int = 0
    asked: list[str] = field(default_factory=list)
    url: str = ""
    authorities: Path = Path()

    def answer(self, path: str) -> tuple[str, bytes] | None:
        if path in ("/simple/greet/", "/simple/greet"):
            return "text/html", b"<a href='/files/greet-1.0-py3-none-any.whl'>greet-1.0-py3-none-any.whl</a>"
        if path == "/files/greet-1.0-py3-none-any.whl":
            return "application/octet-stream", wheel()
        if path == "/npm/greet":
            dist = {"tarball": f"{self.url}/npm/greet/-/greet-1.0.0.tgz",
                    "integrity": f"sha512-{base64.b64encode(hashlib.sha512(tarball()).digest()).decode()}"}
            return "application/json", json.dumps({"name": "greet", "dist-tags": {"latest": "1.0.0"},
                                                   "versions": {"1.0.0": {"name": "greet", "version": "1.0.0", "dist": dist}}}).encode()
        return ("application/octet-stream", tarball()) if path == "/npm/greet/-/greet-1.0.0.tgz" else None


def wheel() -> bytes:
    files = {"greet.py": b"WORDS = 'hello from the mirror'\n", "greet-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n",
             "greet-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    files["greet-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in (*files, "greet-1.0.dist-info/RECORD")).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def tarball() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in {"package.json": b'{"name": "greet", "version": "1.0.0", "main": "index.js"}',
                              "index.js": b"module.exports = 'hello from the mirror'\n"}.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(data.getvalue(), mtime=0)


def authority(folder: Path, name: str) -> tuple[Path, Path]:
    """-> (certificate of an authority, certificate for a name that it signed, with its key beside it)"""
    def openssl(*argv: str) -> None:
        subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=Company", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *key, "-subj", f"/CN={name}", "-keyout", "leaf.key", "-out", "leaf.csr")
    (folder / "names").write_text(f"subjectAltName={'IP' if name[0].isdigit() else 'DNS'}:{name}")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "leaf.pem")
    return folder / "ca.pem", folder / "leaf.pem"


@contextmanager
def registry(folder: Path, host: str = ADDRESS, **values: object) -> Iterator[Registry]:
    """A registry at a free port. host: an address or a name of this machine; its certificate is for that."""
    made = Registry(**values)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            wanted = f"Basic {base64.b64encode(made.login.encode()).decode()}" if made.login else None
            found = None if made.broken else made.answer(self.path)
            status = made.broken or (401 if wanted and self.headers["Authorization"] != wanted else 200 if found else 404)
            kind, content = found if found and status == 200 else ("text/plain", b"No.")
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="registry"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    made.authorities, leaf = authority(folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf, leaf.with_suffix(".key"))
    server = ThreadingHTTPServer((socket.gethostbyname(host), 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    made.url = f"https://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANG)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """A server at ADDRESS that gives each connection to `serve`, in a thread."""
    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server((ADDRESS, 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)


def silent(sock: socket.socket) -> None:
    """Reads all, and answers nothing."""
    with sock, suppress(OSError):
        while sock.recv(65536):
            pass


@contextmanager
def parent_proxy(to: tuple[str, int], login: str = "") -> Iterator[tuple[str, list[str]]]:
    """A proxy whose outside is one server. -> (its host:port, the first lines that it was asked)"""
    asked: list[str] = []
    wanted = f"proxy-authorization: Basic {base64.b64encode(login.encode()).decode()}".lower() if login else ""

    def serve(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(65536)
            lines = head.decode().split("\r\n")
            asked.append(lines[0])
            if wanted and wanted not in [line.lower() for line in lines]:
                sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(to) as up:
                if lines[0].startswith("CONNECT"):
                    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    up.sendall(head)
                both, poll = {sock.fileno(): (sock, up), up.fileno(): (up, sock)}, select.poll()  # select() knows no descriptor above 1,023
                for descriptor in both:
                    poll.register(descriptor, select.POLLIN)
                while both:
                    for descriptor, _ in poll.poll():
                        come, goes = both[descriptor]
                        data = come.recv(65536)
                        if not data:
                            return
                        goes.sendall(data)

    with listening(serve) as (host, port):
        yield f"{host}:{port}", asked
