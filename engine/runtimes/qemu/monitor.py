"""QEMU's monitor (QMP), as far as templates need it: to save the state of a VM's devices, and to go on from it."""
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from engine.errors import Transient

SECONDS = 60.0
# The memory is in a file of its own, which the state does not repeat.
APART = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}


class Monitor:
    def __init__(self, end: socket.socket) -> None:
        end.settimeout(SECONDS)
        self._end, self._file = end, end.makefile("rb")
        self._answer("QMP")
        self.ask("qmp_capabilities")
        self.ask("migrate-set-capabilities", APART)

    def save(self, state: Path) -> None:
        """Writes the state of the VM's devices and stops it at the end; its memory is in its file already. Raises Transient when that
        fails. It is not stopped before: the state says so, and a clone would wait for a word to go on."""
        self._give(state, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self.ask("migrate", {"uri": "fd:state"})
        end = time.monotonic() + SECONDS
        while (status := self.ask("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > end:
                raise Transient(f"The virtual machine's state could not be saved ({status}).")
            time.sleep(0.01)

    def go_on(self, state: Path) -> None:
        """The VM takes that state and runs, soon after this returns. Raises Transient where QEMU refuses it at once."""
        self._give(state, os.O_RDONLY)
        self.ask("migrate-incoming", {"uri": "fd:state"})

    def _give(self, state: Path, flags: int) -> None:
        descriptor = os.open(state, flags | os.O_CLOEXEC, 0o600)
        try:
            self.ask("getfd", {"fdname": "state"}, (descriptor,))
        finally:
            os.close(descriptor)

    def ask(self, command: str, arguments: dict[str, Any] | None = None, descriptors: tuple[int, ...] = ()) -> Any:
        line = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})}).encode() + b"\n"
        if descriptors:
            socket.send_fds(self._end, [line], list(descriptors))
        else:
            self._end.sendall(line)
        return self._answer("return")

    def _answer(self, key: str) -> Any:
        """Raises Transient for a refusal, OSError where QEMU does not answer in time."""
        while line := self._file.readline(1 << 20):
            said = json.loads(line)
            if "error" in said:
                raise Transient(f"QEMU's monitor refused: {said['error'].get('desc')}.")
            if key in said:
                return said[key]
        raise Transient("QEMU ended while its state was being saved.")
