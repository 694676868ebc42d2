"""The host's end of a VM's gateway link: each stream of the guest becomes a connection to the gateway's unix socket."""
import os
import socket
import threading
from pathlib import Path

from engine.gateway.link.frames import BrokenLink
from engine.gateway.link.mux import Mux

LINK_BYTES = 20_000_000_000   # in both directions, of one run
STEP_SECONDS = 0.25
AGAIN_SECONDS = 0.05


class Bridge:
    """bridge = Bridge(port, gateway); bridge.start(); …; bridge.stop()

    port: the unix socket of a virtio-serial chardev (server=on, wait=off); it may appear later, and again after it was lost.
    gateway: SandboxJob.gateway. The thread ends with stop(), or when the guest has broken a rule: `broken` then says which."""

    def __init__(self, port: Path, gateway: Path) -> None:
        self._port, self._gateway = port, gateway
        self._stopping = threading.Event()
        self._moved = 0
        self.broken: str | None = None
        self._thread = threading.Thread(target=self._run, name="gateway bridge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(4 * STEP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with connected(self._port) as link:
                    self._serve(link)
            except BrokenLink as error:
                self.broken = str(error)
                return
            except OSError:  # not there yet, or gone: QEMU has one client at a time
                self._stopping.wait(AGAIN_SECONDS)

    def _serve(self, link: socket.socket) -> None:
        mux = Mux(link.fileno(), connect=lambda: connected(self._gateway))
        before = self._moved
        try:
            while not self._stopping.is_set() and mux.step(STEP_SECONDS):
                self._moved = before + mux.moved
                if self._moved > LINK_BYTES:
                    raise BrokenLink(f"more than {LINK_BYTES // 10**9} GB")
        finally:
            mux.close()
        self._stopping.wait(AGAIN_SECONDS)


def connected(path: Path) -> socket.socket:
    """Connects to a unix socket, whose path may have at most 107 bytes. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX)
    folder = -1
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        sock.settimeout(5.0)
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
        return sock
    except OSError:
        sock.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
