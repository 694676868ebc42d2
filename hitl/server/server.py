"""The server of `python app.py`, on a listener that is open already.

One thread accepts, and waits by epoll until a request is complete (room.py). Only then does it cost a thread (workers.py), within the limit of its lane
(lanes.py). Who is over a limit is answered 503, or closed if there is no request yet."""
import errno
import logging
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable

from flask import Flask
from werkzeug.serving import BaseWSGIServer

from engine.log import event
from hitl.server import refusals
from hitl.server.admission import Admission, admitted, everyone
from hitl.server.exchange import Exchange
from hitl.server.handler import Handler
from hitl.server.head import UPLOADS
from hitl.server.lanes import Lanes
from hitl.server.limits import Limits
from hitl.server.memory import give_back
from hitl.server.relay import Relay
from hitl.server.room import Room
from hitl.server.workers import Workers

SWEEP_SECONDS = 0.5
TURN = 32            # connections accepted in one turn of the loop
EVENTS = 2048        # more than the room can have
TOLD_SECONDS = 10.0  # at most one line of the log in so long says that a lane is full
CROWD = 16           # threads and waiting connections from which on their memory is worth giving back


def nothing() -> None:
    return


class Server(BaseWSGIServer):
    """Serves the app on `listener`, and closes it when it stops. leave() is called in each thread before it ends."""

    multithread = True

    def __init__(self, app: Flask, listener: socket.socket, admit: Admission = everyone, limits: Limits | None = None,
                 leave: Callable[[], None] = nothing, tls: ssl.SSLContext | None = None) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, app, Handler, fd=listener.fileno())  # it makes its handlers itself
        listener.close()  # the server has its own descriptor of it
        self.socket.setblocking(False)
        self.ssl_context = tls  # the environ says https
        self.admit, self.limits = admit, limits or Limits()
        self.lanes = Lanes(self.limits, self._start)
        self._workers = Workers(self._answer, leave)
        self._epoll, self._wake = select.epoll(), os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._room = Room(self.limits, self._epoll, self._hand_over)
        self._relay = Relay(tls, self.limits.grace_seconds) if tls else None
        self._answered: deque[socket.socket] = deque()  # from threads, to linger in the room
        self._lock = threading.Lock()  # of the two above, which end with the loop
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._listens, self._sweep_at, self._told_at, self._most_held = False, 0.0, -TOLD_SECONDS, 0

    def serve_forever(self, poll_interval: float = SWEEP_SECONDS) -> None:
        """Serves until shutdown(), then lets the requests that are complete end."""
        self._epoll.register(self._wake, select.EPOLLIN)
        self._listen(True)
        try:
            while not self._stopping.is_set():
                self._turn(poll_interval)
            self._turn(0.0)
            self._turn(0.0)  # what had come before the stop
        finally:
            self.server_close()
            self._room.close()
            self.lanes.close_live()
            self.lanes.wait_until_empty(self.limits.drain_seconds)
            if self._relay is not None:
                self._relay.close(self.limits.linger_seconds)
            self._epoll.close()
            with self._lock:
                self._ended.set()
                os.close(self._wake)
            while self._answered:
                self._answered.pop().close()

    def shutdown(self) -> None:
        """From another thread: serve_forever() ends. Returns when it has."""
        self._stopping.set()
        self._poke()
        self._ended.wait()

    def _poke(self) -> bool:
        """Wakes the loop -> False if it has ended."""
        with self._lock:
            if not self._ended.is_set():
                os.eventfd_write(self._wake, 1)
            return not self._ended.is_set()

    def _turn(self, seconds: float) -> None:
        ready = {descriptor for descriptor, _ in self._epoll.poll(seconds, EVENTS)}
        for descriptor in ready - {self.socket.fileno(), self._wake}:
            self._room.look(descriptor)
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if self.socket.fileno() in ready:
            self._accept()
        while self._answered:
            self._room.linger(self._answered.popleft())
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        self._sweep_at = now + SWEEP_SECONDS
        self._room.expire(now)
        self.lanes.cut_slow(now)
        self._listen(True)
        held = self._workers.alive + len(self._room)
        self._most_held = max(self._most_held, held)
        if self._most_held >= CROWD and held <= self._most_held // 4:
            self._most_held = held
            give_back()

    def _listen(self, wanted: bool) -> None:
        if wanted and not self._listens and not self._stopping.is_set():
            self._epoll.register(self.socket.fileno(), select.EPOLLIN)
            self._listens = True
        elif not wanted and self._listens:
            self._epoll.unregister(self.socket.fileno())
            self._listens = False

    def _accept(self) -> None:
        for _ in range(TURN):
            try:
                accepted, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._listen(False)  # until the next sweep: an epoll would report it without end
                    self._tell("descriptors")
                return
            self._receive(accepted, address)

    def _receive(self, accepted: socket.socket, address: tuple[str, int]) -> None:
        sock = accepted
        try:
            connection = admitted(accepted, address, self.admit)
            if self._relay is not None:
                sock, connection.socket = self._relay.take(accepted)
            self._room.admit(sock, connection)
        except Exception as error:  # the outer edge of the connection: it is closed, and the others are served
            event("error", logging.ERROR, where="server", error=f"{type(error).__name__}: {error}")
            sock.close()

    def _hand_over(self, exchange: Exchange) -> None:
        refused = exchange.connection.refused
        if refused is not None:
            self._refuse(exchange, refusals.forbidden(refused))
        elif not self.lanes.enter(exchange):
            self._tell(exchange.lane)
            self._refuse(exchange, refusals.busy(exchange.received[:exchange.head.size]))

    def _refuse(self, exchange: Exchange, answer: bytes) -> None:
        try:
            exchange.socket.send(answer)  # it does not block, and a new socket has room for so little
        except OSError:
            exchange.socket.close()
            return
        self._room.linger(exchange.socket)

    def _tell(self, full: str) -> None:
        now = time.monotonic()
        if now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            event("server_full", logging.WARNING, full=full, waiting=len(self._room), **self.lanes.counts())

    def _start(self, exchange: Exchange) -> None:
        try:
            self._workers.run(exchange)
        except RuntimeError as error:  # the system gives no more threads
            event("error", logging.ERROR, where="server", error=error)
            exchange.socket.close()
            self.lanes.end(exchange)

    def _answer(self, exchange: Exchange) -> None:
        try:
            Handler(exchange, self, self.lanes.move, self.limits.stall_seconds)
        except Exception as error:  # the outer edge of the thread
            event("error", logging.ERROR, where="server", error=f"{type(error).__name__}: {error}")
        finally:
            self._part(exchange)
            self.lanes.end(exchange)

    def _part(self, exchange: Exchange) -> None:
        """Closes the connection. If the client may still be sending, the room reads that first."""
        sock = exchange.socket
        try:
            sock.setblocking(False)
            unread = exchange.lane == UPLOADS or sock.recv(1, socket.MSG_PEEK) != b""
        except OSError:
            unread = False
        if not unread or sock.fileno() < 0:
            sock.close()
            return
        self._answered.append(sock)
        if not self._poke():
            sock.close()
