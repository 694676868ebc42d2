"""Looks at repositories, in the background: no request waits for a host that does not answer."""
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.git.look import Look, look

MOST, AT_ONCE = 200, 4           # results that are kept, and looks at the same time
GOOD_SECONDS, BAD_SECONDS = 60.0, 5.0  # how long a result counts: one with trouble shortly, because somebody may be mending it


@dataclass
class _Entry:
    done: threading.Event = field(default_factory=threading.Event)
    seen: Look | None = None
    until: float = float("inf")  # monotonic


class Looks:
    """Results by URL and branch, in memory. A result is shared by all who ask while it counts."""

    def __init__(self, look: Callable[..., Look] = look) -> None:
        self._look = look
        self._entries: OrderedDict[tuple[str, str | None], _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._running = threading.Semaphore(AT_ONCE)

    def at(self, url: str, protocols: tuple[str, ...], branch: str | None, login: Mapping[str, str], wait: float) -> Look | None:
        """What is seen there; None if that is not known after `wait` seconds. Ask again later: the look goes on."""
        key = (url, branch)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.until < time.monotonic():
                entry = self._entries[key] = _Entry()
                self._entries.move_to_end(key)
                while len(self._entries) > MOST:
                    self._entries.popitem(last=False)
                threading.Thread(target=self._go, args=(entry, url, protocols, branch, login), name="look", daemon=True).start()
        entry.done.wait(wait)
        return entry.seen

    def _go(self, entry: _Entry, url: str, protocols: tuple[str, ...], branch: str | None, login: Mapping[str, str]) -> None:
        try:
            with self._running:
                entry.seen = self._look(url, protocols, branch, login)
        finally:  # after a bug, which Python prints, the next who asks starts another look
            entry.until = time.monotonic() + (GOOD_SECONDS if entry.seen and entry.seen.state == "usable" else BAD_SECONDS)
            entry.done.set()
