"""What a forge is asked, whichever it is. Its answers are foreign: they are bounded and looked at before they are kept."""
import re
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from engine.errors import Permanent
from engine.text import from_outside

LONGEST_URL = 500
LONGEST_REMARK = 20_000   # characters of one comment
MARK = "<!-- hitl-swarm -->"  # in our own comments, so that they are never read as comments of people
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]|[\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class PullRequest:
    """A pull request, or merge request. url: None if it is not a page of this forge. ours: we opened it; its text has our mark."""

    number: int
    url: str | None
    draft: bool
    ours: bool = False


@dataclass(frozen=True)
class Failed:
    """A check that failed, with the end of its log."""

    name: str
    log: str


@dataclass(frozen=True)
class Remark:
    """A comment on the change. path and line: its place, if it has one. user: its author's number on the forge. bot: a program wrote it.
    member: the forge names its author as someone of the repository. Where it does not say so, may_write() tells: membership may be private."""

    id: str
    author: str
    text: str
    path: str = ""
    line: int | None = None
    user: int = 0
    bot: bool = False
    member: bool = False


@dataclass(frozen=True)
class State:
    """How a change stands. state: 'open', 'merged' or 'closed'. head: the commit that failed and pending are about.
    pending: whether checks are still running; some may have failed already. remarks: of everyone, the newest of each kind at least, oldest first;
    never our own."""

    state: str
    head: str
    pending: bool = False
    failed: list[Failed] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


class Forge(Protocol):
    """One repository on a forge. Every method may raise Permanent, TokenRefused, Transient or RateLimited, with a sentence for people."""

    name: str

    def default_branch(self) -> str: ...
    def find_open_change(self, branch: str) -> PullRequest | None: ...
    def open_change(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """As a draft where the forge knows drafts. One that is open already is taken as it is."""
    def finish_draft(self, number: int, title: str, body: str, ready: bool = True) -> None:
        """Its title and text as they are now, unless a person changed them. ready: and no draft any more."""
    def move_base(self, number: int, old: str, new: str) -> None:
        """Onto another branch, if it is open and still onto `old`: a person or the forge may have moved it."""
    def comment(self, number: int, text: str) -> None: ...
    def check_state(self, number: int) -> State: ...
    def may_write(self, remark: Remark) -> bool | None:
        """Whether its author may write to the repository; None if the forge does not tell us."""


def page(url: object, origins: tuple[str, ...]) -> str | None:
    """The URL if it is one of a page on one of these origins (scheme://host[:port]), else None."""
    if not isinstance(url, str) or len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or re.search(r'[\s"\'<>\\^`{|}]', url):
        return None
    return url if origin_of(url) in origins else None


def origin_of(url: str) -> str:
    """'https://host[:port]', without a user; '' for what is no http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return ""
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != default else "")


def whole(value: object) -> int:
    """A number of a change. Raises Permanent for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**53:
        raise Permanent("The forge's answer is not the number of a pull request.")
    return value


def named(value: object) -> str:
    """A branch's or a project's name. Raises Permanent for anything else."""
    if not isinstance(value, str) or not value or len(value) > 300 or not value.isprintable() or value.startswith("-"):
        raise Permanent("The forge's answer is not the name of a branch or project.")
    return value


def clean(text: Any, most: int = LONGEST_REMARK) -> str:
    """Foreign text or bytes as text of bounded length, without terminal codes and invisible characters. Cut at its beginning: in a log the end matters."""
    kept = _CONTROL.sub("", from_outside(text, len(text)).replace("\r\n", "\n")) if isinstance(text, bytes | str) else ""
    return kept if len(kept) <= most else "…" + kept[-most:]
