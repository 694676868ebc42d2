"""Says whether a write-ahead log has lost finished changes, before SQLite opens it. SQLite reads the log up to its first bad frame, takes that for its
end and says nothing. Nothing here changes a file of the database. Formats: https://www.sqlite.org/walformat.html.

A torn end is normal: a kill or a power cut stops a transaction that nobody was told of. So this is what counts as lost:

- swarm.db-shm is the index that the last process kept. It survives a kill, and says how many frames belong to finished transactions (`frames`) and
  how many of those are in the database file already (`copied`). Fewer readable frames than that: they are lost, exactly so many. If all were copied,
  nothing is lost. If some were copied that can no longer be read, the database file is of two times, and nothing can be served.
- Without a usable index, the frames behind the first bad one decide. Under synchronous FULL a transaction is on the disk before the next one begins,
  so at most the last one may be torn. Two ends of transactions there mean that one was finished.
- A log without a readable header was not left by a power cut, because the header is on the disk before the first frame is written."""
import fcntl
import os
import shutil
import sqlite3
import struct
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from engine.errors import Refused
from engine.store.place import beside, restore_words

HEADER, FRAME, INDEX = 32, 24, 136  # bytes: of the log's header, of a frame's header, of the part of the index that is read
FORMAT = 3007000
ALIVE_LOCK = 128                    # byte of the index on which every connection holds a lock
UNSURE = " Without the file swarm.db-shm it cannot be known whether all that is left fits together."
GENERATIONS = 1 << 24               # so far back a frame may be a left-over; each reset of the log adds 1 to its first salt


class Index(NamedTuple):
    """tried: how many frames a copying into the database file has begun with; more than `copied` if it did not end."""

    frames: int
    copied: int
    tried: int
    salts: bytes


class Loss(NamedTuple):
    """fact: what cannot be read. aside: the log must not be read, because nothing in it is of use. harmless: the database file has all of it."""

    fact: str
    aside: bool
    harmless: bool = False


def examine(path: Path) -> Loss | None:
    """What the log of this database has lost, None if nothing can be said to be lost. Raises Refused if no state of the database is whole.

    Must not be called in a process that has a connection to the database: closing the index would free the locks that SQLite holds."""
    log = beside(path, "-wal")
    size = log.stat().st_size if log.exists() else 0
    index, in_use = _index(beside(path, "-shm"))
    if in_use or (size == 0 and index is None):
        return None  # those who use it now have read it already
    header = _header(log) if size >= HEADER else None
    if index is not None and header is not None and index.salts != header[1]:
        index = None  # of another time
    readable = _readable_frames(path, log) if header is not None else 0
    if index is not None:
        return _by_index(path, log, index, readable, size)
    return _by_log(log, header, readable, size)


def _by_index(path: Path, log: Path, index: Index, readable: int, size: int) -> Loss | None:
    what = f"{log} is {'damaged' if size else 'empty' if log.exists() else 'missing'}"
    if readable >= index.frames:
        return None
    if index.copied >= index.frames:
        return Loss(f"{what}, but all that it held was in {path.name} already. Nothing was lost.", True, True) if size else None
    if readable < index.tried:  # what is copied skips pages that a later frame has again, so without that frame the file is of two times
        raise Refused(f"{what}, and a part of it had been written into {path} already, so neither of them is whole. They were not changed. "
                      f"{restore_words(path, 'Restore')}. To start with what is left, though its parts may not fit together, move "
                      f"{log.name} and {beside(path, '-shm').name} away.")
    return Loss(f"{what}: {index.frames - readable} of the last {index.frames} saved pages cannot be read. What was saved last before the stop is lost.",
                readable == 0)


def _by_log(log: Path, header: tuple[int, bytes] | None, readable: int, size: int) -> Loss | None:
    if header is None:
        return None if size <= HEADER else Loss(f"{log} is damaged: none of its {size} bytes can be read. What it held and {log.name[:-4]} did not is lost; "
                                                "how much that was cannot be known.{UNSURE}", True)
    page, salts = header
    ends = foreign = 0
    with open(log, "rb", buffering=0) as file:
        for place in range(HEADER + readable * (FRAME + page), size - FRAME + 1, FRAME + page):
            _, ends_at, salt, rest = struct.unpack(">II4s4s", os.pread(file.fileno(), 16, place))
            if salt + rest == salts:
                ends += ends_at > 0
            elif any(salt + rest) and not 0 < int.from_bytes(salts[:4], "big") - int.from_bytes(salt, "big") < GENERATIONS:
                foreign += 1
    if ends > 1:
        return Loss(f"{log} is damaged: behind its page {readable}, {ends - 1} or more finished changes cannot be read. They are lost.{UNSURE}", False)
    if foreign:
        return Loss(f"{log} is damaged: behind its page {readable} are {foreign * (FRAME + page)} bytes that are no changes. Whether finished changes "
                    "were there cannot be known.{UNSURE}", False)
    return None


def _header(log: Path) -> tuple[int, bytes] | None:
    """(page size, salts) of the log, or None if its header cannot be read."""
    with open(log, "rb") as file:
        data = file.read(HEADER)
    magic, version, page = struct.unpack(">III", data[:12])
    if magic & ~1 != 0x377F0682 or version != FORMAT or data[24:] != _checksum(data[:24], ">" if magic & 1 else "<", ">"):
        return None
    return page, data[16:24]


def _index(path: Path) -> tuple[Index | None, bool]:
    """(what the index says, None if it cannot be trusted; whether a connection of some process is open)"""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, False
    try:
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, ALIVE_LOCK, 1, 0)
        in_use = struct.unpack("hhqqi", fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK
        data = os.pread(descriptor, INDEX, 0)
    finally:
        os.close(descriptor)
    if len(data) < INDEX or data[:48] != data[48:96] or struct.unpack("=I", data[:4])[0] != FORMAT or data[40:48] != _checksum(data[:40], "=", "="):
        return None, in_use
    (frames,), (copied,), (tried,) = (struct.unpack("=I", data[at:at + 4]) for at in (16, 96, 128))
    return Index(frames, copied, max(tried, copied), data[32:40]), in_use


def _checksum(data: bytes, read: str, written: str) -> bytes:
    first = second = 0
    for a, b in struct.iter_unpack(f"{read}II", data):
        first = (first + a + second) & 0xFFFFFFFF
        second = (second + b + first) & 0xFFFFFFFF
    return struct.pack(f"{written}II", first, second)


def _readable_frames(path: Path, log: Path) -> int:
    """How many frames SQLite takes from the log: it reads a second name of it, beside the first page of the database, and makes another index."""
    room = path.parent / "looking"
    shutil.rmtree(room, ignore_errors=True)  # of a process that was killed
    room.mkdir(mode=0o700)
    try:
        with open(path, "rb") as file:
            (room / "look.db").write_bytes(file.read(65536))
        try:
            os.link(log, room / "look.db-wal")
        except OSError:  # a file system without second names
            shutil.copyfile(log, room / "look.db-wal")
        with closing(sqlite3.connect(f"{(room / 'look.db').absolute().as_uri()}?mode=ro", uri=True)) as connection:
            with suppress(sqlite3.Error):  # the rest of the database is not there, but by then the log has been read
                connection.execute("select 1 from sqlite_schema").fetchone()
            found, _ = _index(room / "look.db-shm")
        return found.frames if found else 0
    finally:
        shutil.rmtree(room, ignore_errors=True)
