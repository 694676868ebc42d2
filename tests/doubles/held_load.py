"""Clients that take a server's connections and keep them: half heads, silence, slow bodies, WebSockets and downloads that nobody reads."""
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection

from conftest import HANG

LARGE = 1_000_000


def host(port: int) -> str:
    return f"Host: 127.0.0.1:{port}\r\n"


def half_head(port: int) -> bytes:
    return f"GET / HTTP/1.1\r\n{host(port)}X-More: ".encode()


def part_of_body(port: int, size: int = 1000, path: str = "/api/hitl") -> bytes:
    return f"POST {path} HTTP/1.1\r\n{host(port)}Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n{{".encode()


def websocket_head(port: int, path: str = "/ws") -> bytes:
    return (f"GET {path} HTTP/1.1\r\n{host(port)}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()


def get(port: int, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\n{host(port)}\r\n".encode()


def connect(port: int, data: bytes = b"", small: bool = False) -> socket.socket:
    """small: it has room for few bytes that are not read."""
    sock = socket.socket()
    sock.settimeout(HANG)
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        sock.connect(("127.0.0.1", port))
        sock.sendall(data)
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def held(port: int, count: int, data: bytes = b"", small: bool = False) -> Iterator[list[socket.socket]]:
    """So many connections, each with this data sent and nothing read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    with ExitStack() as stack:
        yield [stack.enter_context(connect(port, data, small)) for _ in range(count)]


def status(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def rest(sock: socket.socket) -> bytes:
    """Everything until the server closes; then this side is closed, too."""
    data = bytearray()
    with sock:
        try:
            while part := sock.recv(65536):
                data += part
        except ConnectionError:
            return bytes(data)
    return bytes(data)
