"""Many connections over one byte link, both ends for real; and a host that believes a guest nothing."""
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conftest import HANG, until
from gateway_side import side
from model_upstream import served

from engine.config import ROOT
from engine.gateway.bridge import Bridge
from engine.gateway.link import frames
from engine.gateway.link.frames import BrokenLink
from engine.gateway.link.mux import CREDIT, STREAMS, Mux
from engine.gateway.link.relay import listen

RELAY = "import sys; sys.path.insert(0, sys.argv.pop(1)); from link.relay import main; main()"
Handle = Callable[[socket.socket], None]


class Far:
    """What a host connects its streams to: a thread for each, with this handler."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    def connect(self) -> socket.socket:
        near, far = socket.socketpair()

        def run() -> None:
            with far, suppress(OSError):
                self.handle(far)

        threading.Thread(target=run, daemon=True).start()
        return near


class Linked:
    """A guest with a listener and a host, over a socketpair, each in a thread."""

    def __init__(self, handle: Handle) -> None:
        self.far, self.listener = Far(handle), listen(0)
        self.ends = socket.socketpair()
        self.guest, self.host = Mux(self.ends[0].fileno(), listener=self.listener), Mux(self.ends[1].fileno(), connect=self.far.connect)
        self.stopping = False
        self.threads = [threading.Thread(target=self._run, args=(mux,), daemon=True) for mux in (self.guest, self.host)]
        for thread in self.threads:
            thread.start()
        until(lambda: self.guest.link.ready and self.host.link.ready)

    def _run(self, mux: Mux) -> None:
        with suppress(BrokenLink):
            while not self.stopping and mux.step(0.05):
                pass
        mux.close()

    def client(self, receive: int = 0) -> socket.socket:
        sock = socket.socket()
        sock.settimeout(HANG)
        sock.connect(self.listener.getsockname())
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        return sock


@contextmanager
def linked(handle: Handle) -> Iterator[Linked]:
    made = Linked(handle)
    try:
        yield made
    finally:
        made.stopping = True
        for thread in made.threads:
            thread.join(HANG)
        for sock in (*made.ends, made.listener):
            sock.close()


def echo(sock: socket.socket) -> None:
    while data := sock.recv(65536):
        sock.sendall(data)


def everything(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_streams_go_both_ways_with_their_ends() -> None:
    def upper(sock: socket.socket) -> None:
        sock.sendall(everything(sock).upper())

    with linked(upper) as link:
        def one(number: int, replies: dict[int, bytes]) -> None:
            with link.client() as sock:
                sock.sendall(b"stream %d " % number * 5000)
                sock.shutdown(socket.SHUT_WR)
                replies[number] = everything(sock)

        replies: dict[int, bytes] = {}
        threads = [threading.Thread(target=one, args=(number, replies)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG)
        assert replies == {number: b"STREAM %d " % number * 5000 for number in range(20)}
        until(lambda: not link.guest.streams and not link.host.streams)


def test_a_reader_that_stands_still_stops_only_itself() -> None:
    def pour(sock: socket.socket) -> None:
        if sock.recv(4) == b"pour":
            sock.sendall(bytes(50_000_000))
        else:
            echo(sock)

    with linked(pour) as link, link.client() as still, link.client() as lively:
        still.sendall(b"pour")
        until(lambda: any(stream.may_send == 0 for stream in list(link.host.streams.values())))
        lively.sendall(b"echo")
        for number in range(50):
            lively.sendall(b"%06d" % number)
            assert lively.recv(6, socket.MSG_WAITALL) == b"%06d" % number
        assert link.host.link.unsent < 2 * CREDIT and sum(len(stream.waiting) for stream in list(link.guest.streams.values())) <= CREDIT


def test_a_client_with_a_small_receive_buffer_gets_everything() -> None:
    """On the loopback device segments are so large that they do not fit into such a buffer, unless the relay keeps them small."""
    with linked(lambda sock: sock.sendall(bytes(2_000_000))) as link:
        began = time.monotonic()
        with link.client(receive=2048) as sock:
            count = 0
            while data := sock.recv(1000):
                count += len(data)
        assert count == 2_000_000 and time.monotonic() - began < 60


def test_either_side_may_break_off() -> None:
    left = threading.Event()

    def talk(sock: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock.sendall(b"x" * 1000)
        left.set()

    with linked(talk) as link:
        with link.client() as sock:
            assert sock.recv(1)
        assert left.wait(HANG)
        until(lambda: not link.host.streams and not link.guest.streams)


def test_more_streams_than_allowed_are_closed() -> None:
    with linked(echo) as link:
        clients = [link.client() for _ in range(STREAMS)]
        try:
            until(lambda: len(link.host.streams) == STREAMS)
            with link.client() as one_more:
                assert one_more.recv(1) == b""
        finally:
            for sock in clients:
                sock.close()


def _relay(where: str, folder: Path) -> tuple[int, str]:
    """Starts the relay as a sandbox does. -> (port, what it said)"""
    with open(folder / "relay.err", "wb") as errors:  # it keeps that open
        argv = [sys.executable, "-I", "-S", "-B", "-c", RELAY, str(ROOT / "engine" / "gateway"), where, "8787"]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=errors, timeout=HANG)
    return (int(done.stdout) if done.returncode == 0 else 0), (folder / "relay.err").read_text()


def _end_relay(path: str) -> None:
    import signal
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if path.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)


def test_the_relay_reaches_the_gateway_from_a_folder_with_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with served() as upstream, side(folder, {"openai": upstream.url}) as gateway:
        where = f"unix:{gateway.door}"
        port, _ = _relay(where, tmp_path)
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as sock:
                sock.sendall(b"GET /openai/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
                assert everything(sock).startswith(b"HTTP/1.1 401 ")
        finally:
            _end_relay(where)


def test_the_relay_says_when_there_is_no_gateway(tmp_path: Path) -> None:
    port, said = _relay(f"unix:{tmp_path}/none.sock", tmp_path)
    assert port == 0 and "The gateway cannot be reached" in said


def test_a_bridge_serves_a_port_that_comes_late_and_comes_back(tmp_path: Path) -> None:
    port, listener = tmp_path / "port.sock", listen(0)
    with served() as upstream, side(tmp_path, {"openai": upstream.url}) as gateway, listener:
        bridge = Bridge(port, gateway.door)
        bridge.start()
        for _ in range(3):
            _guest_once(port, listener, gateway.token)
        _guest_breaks(port)
        until(lambda: bridge.broken)
        bridge.stop()
        assert bridge.broken == "no frame"


def _guest_once(port: Path, listener: socket.socket, token: str) -> None:
    """A VM's life: its port appears, one request is asked through it, it is gone."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(port))
        server.listen(1)
        link = server.accept()[0]
    port.unlink()
    with link:
        mux, done = Mux(link.fileno(), listener=listener), threading.Event()

        def run() -> None:
            while not done.is_set() and mux.step(0.02):
                pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        until(lambda: mux.link.ready)
        with socket.create_connection(listener.getsockname(), 10) as sock:
            sock.sendall(f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 14\r\n\r\n"
                         '{"model": "m"}'.encode())
            assert everything(sock).startswith(b"HTTP/1.1 200 ")
        done.set()
        thread.join(HANG)
        mux.close()


def _guest_breaks(port: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(port))
        server.listen(1)
        with server.accept()[0] as link:
            greeting = link.recv(1 << 20)
            while frames.MARK not in greeting:
                greeting += link.recv(1 << 20)
            link.sendall(greeting[greeting.index(frames.MARK):] + b"nonsense, not a frame")
            with suppress(OSError):
                everything(link)
