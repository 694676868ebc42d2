"""The tar that a guest hands over, read with our own eyes: plain files with plain names, and nothing else, are taken out of it."""
import os
import re
from pathlib import Path
from typing import BinaryIO

from engine.errors import AgentFailed
from engine.jobs import OUT_BYTES, OUT_FILES
from engine.runtimes.base import TOO_MUCH

BLOCK = 512
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ +@-]{0,99}")
KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a folder", b"6": "a pipe"}


def unpack(source: Path, outputs: Path) -> None:
    """Writes the files of the tar into the folder. Raises AgentFailed for a tar that holds anything but plain files, or is cut off: then
    none of them is there."""
    written: list[Path] = []
    try:
        with open(source, "rb") as tar:
            _unpack(tar, outputs, written)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _unpack(tar: BinaryIO, outputs: Path, written: list[Path]) -> None:
    size = 0
    while (header := tar.read(BLOCK)) != bytes(BLOCK):
        if len(header) < BLOCK:
            raise _unusable("it is cut off")
        name, length = _entry(header)
        size += length
        if len(written) >= OUT_FILES or size > OUT_BYTES:
            raise AgentFailed(TOO_MUCH)
        written.append(outputs / name)
        _copy(tar, outputs / name, length)


def _entry(header: bytes) -> tuple[str, int]:
    """(name, bytes) of a plain file."""
    if _number(header[148:156]) != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        raise _unusable("it is no tar")
    name = header[:100].partition(b"\0")[0].decode("utf-8", "replace").removeprefix("./")
    kind = header[156:157]
    if kind not in (b"0", b"\0"):
        raise _unusable(f"{name[:60]!r} is {KINDS.get(kind, 'no plain file')}")
    if header[345:500].strip(b"\0") or not _NAME.fullmatch(name):
        raise _unusable(f"{name[:60]!r} is not a name for a file of the outputs")
    return name, _number(header[124:136])


def _number(field: bytes) -> int:
    text = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,12}", text):
        raise _unusable("a number in it is malformed")
    return int(text, 8)


def _copy(tar: BinaryIO, target: Path, length: int) -> None:
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        left = length
        while left:
            data = tar.read(min(left, 1 << 20))
            if not data:
                raise _unusable("it is cut off")
            file.write(data)
            left -= len(data)
    if len(tar.read(-length % BLOCK)) != -length % BLOCK:
        raise _unusable("it is cut off")


def _unusable(why: str) -> AgentFailed:
    return AgentFailed(f"The virtual machine's outputs cannot be used: {why}.")
