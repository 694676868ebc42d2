"""One connection that speaks TLS: `outer` to the client, `inner` to the server behind. Only the relay's thread touches it."""
import socket
import ssl

PIECE = 65536  # bytes that are on their way in one direction
ROUNDS = 16    # before another line has its turn
BLOCKED = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
PLAIN = (b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
         b"This server speaks TLS alone. Put https:// in front of its address.\n")


class Line:
    def __init__(self, outer: ssl.SSLSocket, inner: socket.socket) -> None:
        self.outer, self.inner = outer, inner
        self.descriptors = (outer.fileno(), inner.fileno())
        self.deadline: float | None = None  # since the server has closed its side; what is left must be read until then
        self._shaken = False
        self._up, self._down = b"", b""  # decrypted, for the server; from the server, to be encrypted
        self._up_ended = self._down_ended = self._has_said_so = False

    def step(self) -> bool | None:
        """Moves what can be moved, until both sides block -> None; True: there is more, after others had their turn; False: it is over."""
        try:
            if not self._shaken:
                self.outer.do_handshake()
                self._shaken = True
            for _ in range(ROUNDS):
                if not self._pull() | self._push():
                    break
            else:
                return True
        except BLOCKED:
            return None if self.deadline is None else False  # the server does not wait for its handshake any longer
        except ssl.SSLError as error:
            if not self._shaken and error.reason == "HTTP_REQUEST":
                self._say_plainly()
            return False
        except OSError:  # one of the two is gone
            return False
        over = self._down_ended and not self._down
        if over:
            self._say_that_it_was_all()
        return False if over and (self._up_ended or self.deadline is not None) else None

    def _pull(self) -> bool:
        """From the client to the server -> whether anything moved."""
        moved = False
        try:
            if not self._up and not self._up_ended:
                self._up = self.outer.recv(PIECE)
                moved, self._up_ended = True, not self._up
                if self._up_ended:
                    self.inner.shutdown(socket.SHUT_WR)
            if self._up:
                self._up = self._up[self.inner.send(self._up):]
                moved = True
        except BLOCKED:
            return moved
        return moved

    def _push(self) -> bool:
        """From the server to the client -> whether anything moved."""
        moved = False
        try:
            if not self._down and not self._down_ended:
                self._down = self._received()
                moved, self._down_ended = True, not self._down
            if self._down:
                self._down = self._down[self.outer.send(self._down):]
                moved = True
        except BLOCKED:
            return moved
        return moved

    def _received(self) -> bytes:
        try:
            return self.inner.recv(PIECE)
        except ConnectionError:  # the server has closed and not read everything; what it had sent was received before
            return b""

    def _say_that_it_was_all(self) -> None:
        """So that the client can tell it from a line that broke. Its own bytes are still received."""
        if self._has_said_so:
            return
        self._has_said_so = True
        try:
            self.outer.unwrap()
        except OSError:  # it has not said the same yet
            return

    def _say_plainly(self) -> None:
        with socket.socket(fileno=self.outer.detach()) as plain:
            plain.send(PLAIN)
            plain.shutdown(socket.SHUT_WR)
            plain.recv(PIECE)  # what it sent, or closing would take the answer with it

    def close(self) -> None:
        self.outer.close()
        self.inner.close()
