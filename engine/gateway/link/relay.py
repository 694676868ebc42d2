"""Inside a sandbox: connections to 127.0.0.1 go to the gateway outside.

    relay unix:/run/swarm/gateway.sock 8787    by a unix socket (bubblewrap)
    relay port:/dev/virtio-ports/gateway 8787  by a virtio-serial port (a VM)

Prints the port that it listens on (a free one where 8787 is taken) as soon as connections will get through, and goes on in the
background. Exit code 1, with a sentence on standard error, when the gateway cannot be reached."""
from __future__ import annotations

import os
import socket
import sys
import time

from .mux import Mux
from .pairs import Pairs

WAIT_SECONDS = 30.0      # for the gateway to be there
SEGMENT = 1448           # bytes; see listen()


def main() -> None:
    kind, _, path = sys.argv[1].partition(":")
    listener = listen(int(sys.argv[2]))
    try:
        if kind == "port":
            serve_port(listener, path)
        else:
            serve_socket(listener, path)
    except OSError as error:
        sys.exit(f"The gateway cannot be reached: {error}.")


def listen(port: int) -> socket.socket:
    """Segments are kept small: on the loopback device one may have 64 KiB, which does not fit into the receive buffer of a client that
    has set a small one. The kernel drops it there, again and again, and the connection stands still."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def go_on_alone(listener: socket.socket) -> None:
    """Says that it is ready, and leaves the shell that waits for that."""
    print(listener.getsockname()[1], flush=True)
    if os.fork():
        os._exit(0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)


def serve_socket(listener: socket.socket, path: str) -> None:
    def connect() -> socket.socket:
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(path)
        except OSError:
            far.close()
            raise
        return far

    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    path = f"/proc/self/fd/{folder}/{os.path.basename(path)}"  # a socket's own path may have 107 bytes only
    connect().close()
    go_on_alone(listener)
    pairs = Pairs(listener, connect)
    while True:
        pairs.step()


def serve_port(listener: socket.socket, path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    waiting, end = True, time.monotonic() + WAIT_SECONDS
    while True:
        mux = Mux(descriptor, listener=listener)
        while mux.step(0.05 if waiting else None):
            if waiting and mux.link.ready:
                waiting = False
                go_on_alone(listener)
            elif waiting and time.monotonic() > end:
                raise OSError("nobody answers at the other end of the port")
        mux.close()  # the host has closed its end, and will be back
        if waiting and time.monotonic() > end:
            raise OSError("nobody answers at the other end of the port")
        time.sleep(0.02)
