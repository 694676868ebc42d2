"""Looks for secrets in what a setup leaves: each value as it is, in base64 at any of its three alignments, in a URL and in JSON.

What was compressed, encrypted or cut into pieces is not found."""
import base64
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

PIECE = 1 << 20  # bytes of a file that are looked at together
_LINE_ENDS = b"\r\n"


class Forms(NamedTuple):
    """plain: bytes to look for. base64: the same, in text without line ends, because programs wrap it."""

    plain: tuple[bytes, ...]
    base64: tuple[bytes, ...]


def forms(value: str) -> Forms:
    """The forms of a secret."""
    value = value.strip()
    as_url = quote(value, safe="")
    plain = {value, as_url, _lower_escapes(as_url), quote(value), quote_plus(value), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    encoded = {form for shift in range(3) for form in _aligned(value.encode(), shift)}
    return Forms(tuple(sorted(text.encode() for text in plain)), tuple(sorted(encoded)))


def _lower_escapes(url: str) -> str:
    parts = url.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def _aligned(value: bytes, shift: int) -> tuple[bytes, bytes]:
    """The characters of base64, in both alphabets, that depend on the value alone, where it begins `shift` bytes after a whole group."""
    whole = base64.b64encode(b"\0" * shift + value)
    text = whole[-(-shift * 8 // 6):(shift + len(value)) * 8 // 6]
    return text, text.translate(bytes.maketrans(b"+/", b"-_"))


def hidden(secrets: Mapping[str, str]) -> list[str]:
    """All that must not be shown in a log: every form of each value, and long lines of one that has several."""
    found = []
    for value in secrets.values():
        found += [form.decode() for part in forms(value) for form in part]
        found += [line for line in value.split("\n") if len(line) >= 16]
    return sorted(set(found), key=len, reverse=True)


def find(folder: Path, secrets: Mapping[str, str]) -> tuple[str, str] | None:
    """Looks in the names and contents of all files below a folder. -> (name of a secret, path below the folder where it is); None if there is none."""
    wanted = {name: forms(value) for name, value in secrets.items()}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            found = _in_bytes(os.fsencode(name), wanted) or (_in_bytes(os.fsencode(os.readlink(path)), wanted) if os.path.islink(path) else
                                                             _in_file(path, wanted) if name in files and os.path.isfile(path) else None)
            if found:
                return found, os.path.relpath(path, folder)
    return None


def find_in(text: str, secrets: Mapping[str, str]) -> str | None:
    """The name of a secret that is in a text."""
    return _in_bytes(text.encode("utf-8", "surrogateescape"), {name: forms(value) for name, value in secrets.items()})


def _in_file(path: str, wanted: Mapping[str, Forms]) -> str | None:
    overlap = 2 * max((len(form) for each in wanted.values() for form in (*each.plain, *each.base64)), default=0)
    held = b""
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            found = _in_bytes(held + piece, wanted)
            if found:
                return found
            held = (held + piece)[-overlap:]
    return None


def _in_bytes(data: bytes, wanted: Mapping[str, Forms]) -> str | None:
    joined = data.translate(None, _LINE_ENDS)
    return next((name for name, each in wanted.items() if _has(data, each.plain) or _has(joined, each.base64)), None)


def _has(data: bytes, forms: Iterable[bytes]) -> bool:
    return any(form in data for form in forms)
