"""requests.jsonl in the run folder: everything that a run asked of the gateway, allowed or refused, one JSON object a line.

    {"at", "side": "model" | "egress", "method", "host", "path", "allowed", "status", "why", "sent", "received", "seconds", "model", "tokens",
     "number", "refused"}

number: how many there were with this one; refused: how many of them were. Bounded: after RECORDED only the sums go on. No query string, no
header and no body is in it."""
import json
import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.jobs import RECORDED
from engine.text import from_outside
from engine.times import utc

HOSTS, TEXT = 200, 300
TROUBLES = 20    # different sentences about the network that one sandbox gives rise to


@dataclass
class Asked:
    """One request. sent and received are bytes, as the sandbox sees it; status 0: no answer came."""

    side: str
    method: str = ""
    host: str = ""
    path: str = ""
    allowed: bool = False
    status: int = 0
    why: str = ""
    sent: int = 0
    received: int = 0
    model: str = ""
    tokens: int = 0
    began: float = 0.0


class Record:
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self._count = self._refused = 0
        self._hosts: dict[str, dict[str, int]] = {}
        self._troubles: list[tuple[str, str]] = []  # (host, sentence), of the sandbox that lives
        self._told = 0
        self.totals = {"requests": 0, "refused": 0, "sent": 0, "received": 0}

    def add(self, asked: Asked) -> None:
        line = {"at": utc(asked.began - time.monotonic()), **asdict(asked), "seconds": round(time.monotonic() - asked.began, 3)}
        del line["began"]
        line.update({name: from_outside(value, TEXT) for name, value in line.items() if isinstance(value, str)})
        with self._lock:
            self._count += 1
            self._refused += not asked.allowed
            line |= {"number": self._count, "refused": self._refused}
            if self._count <= RECORDED:
                os.write(self._descriptor, json.dumps(line).encode() + b"\n")
            if asked.side == "egress":
                self._sum(asked)
                trouble = (asked.host[:TEXT], from_outside(asked.why, TEXT))
                if trouble[1] and not (asked.allowed and asked.received) and len(self._troubles) < TROUBLES and trouble not in self._troubles:
                    self._troubles.append(trouble)

    def _sum(self, asked: Asked) -> None:
        name = asked.host[:TEXT]
        sums = [self.totals]
        if name in self._hosts or len(self._hosts) < HOSTS:
            sums.append(self._hosts.setdefault(name, dict.fromkeys(self.totals, 0)))
        for each in sums:
            each["requests"] += 1
            each["refused"] += not asked.allowed
            each["sent"] += asked.sent
            each["received"] += asked.received

    def untold(self) -> list[str]:
        """Sentences about hosts that were refused or did not answer, each once."""
        with self._lock:
            found = self._troubles[self._told:]
            self._told = len(self._troubles)
            return [sentence for _, sentence in found]

    def take_troubles(self) -> list[tuple[str, str]]:
        """[(host, sentence)] since the last call."""
        with self._lock:
            found, self._troubles, self._told = self._troubles, [], 0
            return found

    def counts(self) -> dict[str, int]:
        """Of models and of the network together: {requests, refused, recorded: those that have a line}."""
        with self._lock:
            return {"requests": self._count, "refused": self._refused, "recorded": min(self._count, RECORDED)}

    def as_json(self) -> dict[str, Any]:
        """{requests, refused, sent, received, hosts: [{host, …the same}]}, the busiest hosts first."""
        with self._lock:
            hosts = sorted(self._hosts.items(), key=lambda item: (-item[1]["requests"], item[0]))
            return {**self.totals, "hosts": [{"host": host, **sums} for host, sums in hosts]}

    def close(self) -> None:
        os.close(self._descriptor)
