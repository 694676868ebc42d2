"""The title and the text of a pull request, as long as they are ours: what a person wrote there is left alone.

The text ends with a mark that no reader sees: hashes of the title and the text that we wrote last. Where the hash is another, a person wrote."""
import re
from hashlib import sha256

_MARK = re.compile(r"\s*<!-- hitl-swarm title:([0-9a-f]{16}) text:([0-9a-f]{16}) -->\s*\Z")


def marked(title: str, text: str) -> str:
    """The text with its mark. title: without a mark of drafts."""
    return _with_mark(text, _hash(title))


def is_marked(text: object) -> bool:
    return isinstance(text, str) and _MARK.search(text) is not None


def updated(title_there: object, text_there: object, title: str, text: str) -> tuple[str | None, str | None]:
    """(title, marked text) to write, each None where nothing is to be written: it is as we want it, or a person's."""
    found = _MARK.search(text_there) if isinstance(text_there, str) else None
    if found is None or not isinstance(title_there, str) or not isinstance(text_there, str) or _hash(text_there[:found.start()]) != found[2]:
        return None, None
    ours = _hash(title_there) == found[1]
    wanted = _with_mark(text, _hash(title) if ours else found[1])
    return title if ours and title_there != title else None, wanted if _plain(wanted) != _plain(text_there) else None


def _with_mark(text: str, title_hash: str) -> str:
    return f"{text.rstrip()}\n\n<!-- hitl-swarm title:{title_hash} text:{_hash(text)} -->"


def _hash(text: str) -> str:
    return sha256(_plain(text).encode("utf-8", "replace")).hexdigest()[:16]


def _plain(text: str) -> str:
    """As it was sent: forges and browsers change the ends of lines, and cut the end."""
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").strip().split("\n"))
