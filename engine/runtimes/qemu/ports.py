"""The lines between the host and a guest, on the host's side: a thread for each virtual machine, which believes nothing it hears.

Three socket pairs: `talk` carries lines both ways (what they mean is said in engine/image/guest/main), `console` is the guest's kernel,
`out` is the tar with the outputs. What comes is bounded: a guest that says too much loses its VM."""
import os
import secrets
import select
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine.jobs import OUT_BYTES
from engine.text import from_outside

LONGEST_LINE, MOST_LINES = 400, 10_000
BUSY_SECONDS = 1.0  # between two lines that say so; such lines are not counted
CONSOLE_BYTES = 8192
RESULT_BYTES = OUT_BYTES + 2_000_000  # with the headers of the tar
SEED_BYTES = 64


@dataclass
class Heard:
    """What a guest has said. Seconds are of the monotonic clock. wrong: what it did that no guest does."""

    ready: float | None = None
    awake: float | None = None
    begun: float | None = None
    busy: float | None = None
    code: int | None = None
    failed: str | None = None
    wrong: str | None = None
    too_much: bool = False
    full: list[str] = field(default_factory=list)
    console: bytes = b""


class Ports:
    """Made before the VM is started; `ends` are the VM's descriptors, to be closed here with close_ends() once it has them."""

    def __init__(self, store: Path, answer: bool = True) -> None:
        """store: where the tar goes. answer: False for a template, which is to go on waiting."""
        self.heard, self._store, self._answer = Heard(), store, answer
        self._pairs = {name: socket.socketpair() for name in ("talk", "console", "out")}
        self.ends = {name: pair[1].fileno() for name, pair in self._pairs.items()}
        self._changed = threading.Condition()
        self._line, self._lines, self._bytes = b"", 0, 0
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._serve, name="ports", daemon=True)
        if answer:
            self._pairs["talk"][0].sendall(b"wake\n")  # is delivered when the guest listens

    def close_ends(self) -> None:
        for _, end in self._pairs.values():
            end.close()

    def close(self) -> None:
        """For a VM that was never started."""
        self.close_ends()
        for own, _ in self._pairs.values():
            own.close()

    def serve(self, child: subprocess.Popen[bytes]) -> None:
        """From now on the lines are read, until the VM's end. It is ended here when the guest is done, or says what no guest says."""
        self._child = child
        self._thread.start()

    def wait(self, word: str, seconds: float) -> bool:
        """True once the guest has said `word` (an attribute of Heard); False after `seconds`, or when the VM ended before."""
        end = time.monotonic() + seconds
        with self._changed:
            while getattr(self.heard, word) is None and self._thread.is_alive() and time.monotonic() < end:
                self._changed.wait(min(0.5, max(0.0, end - time.monotonic())))
        return getattr(self.heard, word) is not None

    def end(self, seconds: float) -> None:
        """Asks the guest to end its agent, which has `seconds` from SIGTERM to SIGKILL, and to let the first process of the command go on."""
        if self.heard.begun is not None and self._thread.is_alive():
            self._send(f"end {seconds:.0f}\n")

    def join(self) -> None:
        """Waits until all that the ended VM has said is taken in."""
        self._thread.join(10.0)

    def _serve(self) -> None:
        own = {pair[0].fileno(): (name, pair[0]) for name, pair in self._pairs.items()}
        poll = select.poll()
        for descriptor in own:
            poll.register(descriptor, select.POLLIN)
        store = os.open(self._store, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            while own:
                for descriptor, _ in poll.poll():
                    name, end = own[descriptor]
                    data = _receive(end)
                    if data:
                        self._take(name, data, store)
                    else:
                        poll.unregister(descriptor)
                        end.close()
                        del own[descriptor]
        finally:
            os.close(store)
            with self._changed:
                self._changed.notify_all()

    def _take(self, name: str, data: bytes, store: int) -> None:
        if name == "console":
            self.heard.console = (self.heard.console + data)[-CONSOLE_BYTES:]
        elif name == "out":
            self._bytes += len(data)
            if self._bytes > RESULT_BYTES:
                self.heard.too_much = True
                self._kill()
                return
            while data:
                data = data[os.write(store, data):]
        else:
            *lines, self._line = (self._line + data).split(b"\n")
            self._lines += len(lines)
            for line in lines:
                self._hear(from_outside(line, LONGEST_LINE))
            if len(self._line) > LONGEST_LINE or self._lines > MOST_LINES:
                self._is_wrong("it talked too much")

    def _hear(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        heard, now = self.heard, time.monotonic()
        if word == "ready":
            heard.ready = now
        elif word == "awake" and heard.awake is None and self._answer:
            heard.awake = now
            self._send(f"go {time.time():.6f} {secrets.token_hex(SEED_BYTES)}\n")
        elif word == "begin" and heard.awake is not None and heard.begun is None:
            heard.begun = now
        elif word == "full" and heard.begun is not None:
            if rest not in heard.full:
                heard.full.append(rest)
        elif line == "busy" and heard.begun is not None:
            self._lines -= heard.busy is None or now - heard.busy > BUSY_SECONDS  # a long run may say it often
            heard.busy = now
        elif word == "failed" and heard.code is None:
            heard.failed = heard.failed or rest
            self._kill()
        elif word == "exit" and heard.begun is not None and heard.code is None and rest.isascii() and rest.isdigit() and int(rest) < 256:
            heard.code = int(rest)
            self._kill()  # nothing of it is needed any more: quicker than to let it power itself off
        else:
            self._is_wrong(f"it said {line[:40]!r}")
        with self._changed:
            self._changed.notify_all()

    def _send(self, line: str) -> None:
        try:
            self._pairs["talk"][0].sendall(line.encode())
        except OSError:
            self._is_wrong("it does not listen")

    def _is_wrong(self, what: str) -> None:
        self.heard.wrong = self.heard.wrong or what
        self._kill()

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(1 << 16)
    except ConnectionError:
        return b""
