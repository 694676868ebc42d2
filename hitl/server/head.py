"""The little that must be known of a request before a thread reads it: where its head ends, how long its body is, and which lane it takes."""
import re
from dataclasses import dataclass

ANSWERS, UPLOADS, DOWNLOADS, LIVE = "answers", "uploads", "downloads", "live"
_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(\d{1,15})[ \t]*\r?$")
_LONG = re.compile(rb"(?im)^(transfer-encoding:.*chunked|expect:[ \t]*100-continue)")
_UPGRADE = re.compile(rb"(?im)^upgrade:[ \t]*websocket[ \t]*\r?$")


@dataclass(frozen=True)
class Head:
    """size: bytes up to the body. body: its announced length, None if only its end will tell or if the client waits to be asked for it."""

    size: int
    body: int | None
    is_upgrade: bool

    def is_complete(self, received: int, small: int) -> bool:
        """Whether a thread can begin: the body is there, or it is too large to wait for without one."""
        return self.body is None or self.body > small or received - self.size >= self.body

    def lane(self, small: int) -> str:
        return LIVE if self.is_upgrade else UPLOADS if self.body is None or self.body > small else ANSWERS


def read_head(data: bytes | bytearray, start: int = 0) -> Head | None:
    """The head, if all of it is there. start: up to where an earlier look found no end. Handlers read the request again, in full."""
    end = _END.search(data, max(0, start - 3))
    if end is None:
        return None
    head = bytes(data[:end.end()])
    lengths = [int(length) for length in _LENGTH.findall(head)]
    return Head(end.end(), None if _LONG.search(head) else max(lengths, default=0), _UPGRADE.search(head) is not None)
